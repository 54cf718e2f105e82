/// The instructions of a Dockerfile as types. Variables in them are not expanded yet, and what can
/// be checked without their values has been checked: a flag or an argument that is not understood
/// is refused, none is passed over.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dockerfile/syntax/checked.h"
#include "dockerfile/syntax/heredoc.h"
#include "dockerfile/syntax/position.h"
#include "dockerfile/syntax/run_options.h"
#include "dockerfile/syntax/statement.h"

namespace starling::dockerfile::syntax {

struct Instruction;

/// NAME=VALUE of ENV and LABEL, quotes included.
struct KeyValue {
  Text key;
  Text value;
};

/// FROM IMAGE [AS NAME].
struct From {
  Text image;
  /// In lower case, as it is referred to.
  std::optional<Text> name;
  /// As written.
  std::string written_name;
  std::string written_as;
  std::optional<Text> platform;
};

struct Arg {
  struct Entry {
    Text name;
    std::optional<Text> default_value;
  };
  std::vector<Entry> entries;
};

struct Env {
  std::vector<KeyValue> entries;
  /// ENV KEY VALUE, without `=`.
  bool old_form = false;
};

struct Label {
  std::vector<KeyValue> entries;
  bool old_form = false;
};

struct Maintainer {
  Text name;
};

/// What COPY and ADD have in common.
struct Transfer {
  /// A file whose content stands in the Dockerfile.
  struct InlineFile {
    std::string name;
    std::string content;
    bool expand = true;
    Range range;
  };
  std::vector<Text> sources;
  std::vector<InlineFile> files;
  Text destination;
  std::optional<Text> chown;
  std::optional<Text> chmod;
  std::vector<Text> exclude;
  bool link = false;
};

struct Copy {
  Transfer transfer;
  std::optional<Text> from;
  bool parents = false;
};

struct Add {
  Transfer transfer;
  std::optional<Text> checksum;
  std::optional<bool> keep_git_directory;
  std::optional<bool> unpack;
};

struct Workdir {
  Text path;
};

/// What RUN, CMD, ENTRYPOINT and HEALTHCHECK start.
struct CommandLine {
  /// A JSON array, and `arguments` are the process's. Else one text for the shell, or none.
  bool exec_form = false;
  std::vector<std::string> arguments;
  std::vector<Heredoc> heredocs;
  Range range;
};

enum class Network { kDefault, kNone, kHost };
enum class Security { kSandbox, kInsecure };

struct Run {
  CommandLine command;
  std::vector<Mount> mounts;
  std::vector<Device> devices;
  Network network = Network::kDefault;
  Security security = Security::kSandbox;
};

struct Cmd {
  CommandLine command;
};

struct Entrypoint {
  CommandLine command;
};

struct Healthcheck {
  /// Nothing for NONE.
  std::optional<CommandLine> command;
  /// Zero: what the base image or the runtime says.
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{0};
  int retries = 0;
};

struct Expose {
  std::vector<Text> ports;
};

struct User {
  Text user;
};

struct Volume {
  std::vector<Text> paths;
};

struct StopSignal {
  Text signal;
};

struct Shell {
  std::vector<std::string> command;
};

struct Onbuild {
  /// What the image's configuration keeps: the trigger as it was written, heredocs included.
  std::string expression;
  std::shared_ptr<const Instruction> trigger;
};

struct Instruction {
  /// As written, in any case.
  Text keyword;
  Range range;
  /// The instruction with continuation lines joined, without heredocs.
  std::string source;
  std::vector<Text> comments;
  bool has_empty_continuation = false;
  std::variant<From, Arg, Env, Label, Maintainer, Copy, Add, Workdir, Run, Cmd, Entrypoint,
               Healthcheck, Expose, User, Volume, StopSignal, Shell, Onbuild>
      value;
};

/// Gives a statement its type.
Checked<Instruction> ParseInstruction(const Statement& statement);

/// Whether a part of `text` may be a variable: it cannot be checked yet.
inline bool MayExpand(std::string_view text) { return text.find('$') != std::string_view::npos; }

}  // namespace starling::dockerfile::syntax

/// What a build does, as a graph of typed operations: what Dockerfiles and recipes are turned into,
/// and all that the execution needs to know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dockerfile/syntax/git_reference.h"
#include "dockerfile/syntax/instruction.h"
#include "dockerfile/syntax/position.h"
#include "dockerfile/syntax/values.h"
#include "oci/digest.h"
#include "oci/platform.h"

namespace starling::dockerfile::plan {

/// A node's place in Graph::nodes.
using NodeId = size_t;

/// An empty root file system.
struct Scratch {};

/// The root file system of an image.
struct ImageSource {
  /// As oci::Reference writes it with its tag or digest, or transport and path of an OCI layout
  /// ("oci:DIRECTORY:NAME").
  std::string reference;
  oci::Platform platform;
  /// Of the manifest of that platform: what decides about cache keys.
  oci::Digest manifest;
};

/// A directory of the machine that builds, as its ignore file leaves it. Owners count as 0:0.
struct ContextSource {
  /// Empty is the build's own context, else one of --build-context.
  std::string name;
};

/// One file from the network.
struct HttpSource {
  std::string url;
  std::optional<oci::Digest> checksum;
};

/// A repository's files at one commit.
struct GitSource {
  syntax::GitReference reference;
  bool keep_git_directory = false;
};

/// Files whose content stands in the Dockerfile, mode 0644, in an otherwise empty tree.
struct InlineSource {
  struct File {
    std::string name;
    std::string content;
  };
  std::vector<File> files;
};

/// A mount of Run, values expanded.
struct RunMount {
  syntax::MountType type = syntax::MountType::kBind;
  /// bind, and cache with a seed: whose files `source` names.
  std::optional<NodeId> input;
  std::string source;  // a path in `input`, "/" is all of it
  std::string target;  // absolute and clean; empty for a secret that is only a variable
  std::string id;      // cache, secret, ssh
  std::string variable;
  bool read_only = false;
  bool required = false;
  syntax::CacheSharing sharing = syntax::CacheSharing::kShared;
  std::optional<uint32_t> mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<uint64_t> size_bytes;
};

/// Runs a process on the files of `base`; what it changes is a layer.
struct Run {
  NodeId base = 0;
  std::vector<std::string> arguments;
  /// NAME=value: the image's, then the arguments that are declared.
  std::vector<std::string> environment;
  /// NAME=value: how the network is reached; no part of what the step is.
  std::vector<std::string> proxies;
  std::string working_directory;
  std::string user;  // as USER says; empty is root
  syntax::Network network = syntax::Network::kDefault;
  syntax::Security security = syntax::Security::kSandbox;
  std::vector<RunMount> mounts;
  std::vector<syntax::Device> devices;
  /// The script of a heredoc that names its interpreter: it appears as the executable file
  /// /dev/pipes/NAME during the step.
  struct Script {
    std::string name;
    std::string content;
  };
  std::optional<Script> script;
};

/// Where Copy takes files from.
struct CopySource {
  NodeId input = 0;
  /// A path or pattern in `input`, cleaned to its root and relative to it; empty is all of it.
  std::string path;
  /// Whether `path` may be a pattern; names of inline files and downloads are none.
  bool is_pattern = false;
  /// An archive at `path` is unpacked.
  bool unpack = false;
};

/// COPY and ADD: files of other trees onto those of `base`; a layer.
struct Copy {
  NodeId base = 0;
  std::vector<CopySource> sources;
  /// Absolute; ends in a slash when it must be a directory.
  std::string destination;
  /// As written, expanded: names are looked up in `base`. Empty: 0:0 for what comes from a context
  /// or the network, else what each file has.
  std::string chown;
  std::optional<syntax::ModeChange> chmod;
  std::vector<std::string> exclude;  // patterns of ignore files, relative to each source
  bool parents = false;
  /// The layer is made without looking at `base`.
  bool link = false;
};

/// WORKDIR: the directory and its parents where they are missing; a layer, which may be empty.
struct MakeDirectory {
  NodeId base = 0;
  std::string path;
  /// The owner of what is made, as USER says; empty is root.
  std::string user;
};

using Operation = std::variant<Scratch, ImageSource, ContextSource, HttpSource, GitSource,
                               InlineSource, Run, Copy, MakeDirectory>;

struct Node {
  Operation operation;
  /// "[stage 2/3] RUN make", as progress shows it.
  std::string title;
  /// Where the instruction stands; nowhere for one that comes from elsewhere.
  syntax::Range range;
  /// Done again even when a former result is known.
  bool no_cache = false;
};

/// Each node's inputs stand before it.
struct Graph {
  std::vector<Node> nodes;
};

/// What a downloaded file is called: the last part of the URL's path, "__unnamed__" without one.
std::string FileNameOf(const HttpSource& source);
/// The nodes that `operation` takes files from, each as often as it does, the base first.
std::vector<NodeId> InputsOf(const Operation& operation);
/// `root` and all that it takes files from, directly or not, inputs first.
std::vector<NodeId> NeededBy(const Graph& graph, NodeId root);
/// The node whose layers lie below those that `operation` makes; nothing for a source.
std::optional<NodeId> BaseOf(const Operation& operation);

}  // namespace starling::dockerfile::plan

/// A recipe: the steps of an image as types, instead of as text. docs/recipe.md explains each step
/// and its members; the names here are those of the JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace starling::dockerfile::recipe {

/// The version of the format that is read and written.
inline constexpr int kRecipeVersion = 1;

/// What a recipe's steps become: a number for each way that differs in the instructions, the keys
/// or the layers that come of the same recipe. docs/builder-versions.md says what each does.
inline constexpr int kOldestBuilderVersion = 1;
inline constexpr int kNewestBuilderVersion = 2;
/// From this one on, tools are released programs whose digests are known, and a lock says which
/// packages are installed.
inline constexpr int kPinsPackagesFrom = 2;
/// The label of images that have it.
inline constexpr const char* kBuilderVersionLabel = "dev.starling.builder-version";

/// NAME and VALUE, in order.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

/// A file or directory of a named build context. `path` is relative to its root and literal: no
/// character in it is a pattern.
struct ContextPath {
  std::string context;
  std::string path;
  bool operator==(const ContextPath&) const = default;
};

/// A secret of the build, in a variable of the environment during one step.
struct SecretVariable {
  std::string id;
  std::string variable;
  bool operator==(const SecretVariable&) const = default;
};

/// FROM an image, or "scratch". The first step, unless that is a Dockerfile.
struct From {
  static constexpr std::string_view kStep = "from";
  std::string image;
  std::optional<std::string> platform;
  bool operator==(const From&) const = default;
};

/// Everything that a Dockerfile says, up to the end of the stage `target` (the last one without).
/// Its COPY and ADD are of the main build context.
struct WholeDockerfile {
  static constexpr std::string_view kStep = "dockerfile";
  std::string text;
  std::optional<std::string> target;
  NamedValues build_arguments;
  /// What is left out of the main build context, instead of what its ignore file says.
  std::optional<std::vector<std::string>> ignore;
  bool operator==(const WholeDockerfile&) const = default;
};

/// Each command is one RUN of the image's shell.
struct Run {
  static constexpr std::string_view kStep = "run";
  std::vector<std::string> commands;
  std::vector<SecretVariable> secrets;
  bool operator==(const Run&) const = default;
};

struct Copy {
  static constexpr std::string_view kStep = "copy";
  ContextPath source;
  /// Absolute; with a slash at the end it is a directory.
  std::string destination;
  /// By the rules of ignore files, relative to `source`.
  std::vector<std::string> ignore;
  bool operator==(const Copy&) const = default;
};

struct Env {
  static constexpr std::string_view kStep = "env";
  NamedValues variables;
  bool operator==(const Env&) const = default;
};

struct Workdir {
  static constexpr std::string_view kStep = "workdir";
  std::string path;
  bool operator==(const Workdir&) const = default;
};

struct Entrypoint {
  static constexpr std::string_view kStep = "entrypoint";
  std::vector<std::string> command;
  bool operator==(const Entrypoint&) const = default;
};

struct Cmd {
  static constexpr std::string_view kStep = "cmd";
  std::vector<std::string> command;
  bool operator==(const Cmd&) const = default;
};

struct Shell {
  static constexpr std::string_view kStep = "shell";
  std::vector<std::string> command;
  bool operator==(const Shell&) const = default;
};

struct Label {
  static constexpr std::string_view kStep = "label";
  NamedValues labels;
  bool operator==(const Label&) const = default;
};

struct User {
  static constexpr std::string_view kStep = "user";
  std::string user;
  bool operator==(const User&) const = default;
};

struct Expose {
  static constexpr std::string_view kStep = "expose";
  std::vector<std::string> ports;
  bool operator==(const Expose&) const = default;
};

struct Apt {
  static constexpr std::string_view kStep = "apt";
  std::vector<std::string> packages;
  std::vector<SecretVariable> secrets;
  bool operator==(const Apt&) const = default;
};

/// What pip and uv have in common.
struct PythonPackages {
  std::vector<std::string> packages;
  std::vector<ContextPath> requirements;
  std::optional<std::string> find_links;
  std::optional<std::string> index_url;
  std::optional<std::string> extra_index_url;
  /// Versions that are not released yet count, too.
  bool pre = false;
  /// Further arguments, each one word.
  std::vector<std::string> extra_options;
  std::vector<SecretVariable> secrets;
  bool operator==(const PythonPackages&) const = default;
};

struct Pip : PythonPackages {
  static constexpr std::string_view kStep = "pip";
  bool operator==(const Pip&) const = default;
};

struct UvPip : PythonPackages {
  static constexpr std::string_view kStep = "uv_pip";
  /// A version of uv, or "latest"; without, the one that the builder version stands for.
  std::optional<std::string> uv_version;
  bool operator==(const UvPip&) const = default;
};

/// Installs what a uv project asks for into /.uv/.venv, which comes first in PATH then.
struct UvSync {
  static constexpr std::string_view kStep = "uv_sync";
  ContextPath project;              // pyproject.toml
  std::optional<ContextPath> lock;  // uv.lock
  std::vector<std::string> groups;
  std::vector<std::string> extras;
  /// Fail when the lock is not up to date, instead of locking again. Needs `lock`.
  bool frozen = false;
  std::vector<std::string> extra_options;
  std::optional<std::string> uv_version;
  std::vector<SecretVariable> secrets;
  bool operator==(const UvSync&) const = default;
};

struct Poetry {
  static constexpr std::string_view kStep = "poetry";
  ContextPath project;              // pyproject.toml
  std::optional<ContextPath> lock;  // poetry.lock
  std::vector<std::string> with;
  std::vector<std::string> without;
  std::vector<std::string> only;
  /// "latest", or a version or specifier such as "~=1.7"; without, poetry is there already.
  std::optional<std::string> poetry_version;
  bool old_installer = false;
  std::vector<SecretVariable> secrets;
  bool operator==(const Poetry&) const = default;
};

struct Micromamba {
  static constexpr std::string_view kStep = "micromamba";
  std::vector<std::string> packages;
  std::optional<ContextPath> spec_file;
  std::vector<std::string> channels;
  /// A version, or "latest": that program installs, on any base. Without, the image's own does.
  std::optional<std::string> micromamba_version;
  std::vector<SecretVariable> secrets;
  bool operator==(const Micromamba&) const = default;
};

/// Puts a Python of python-build-standalone below /usr/local. It comes from the build context
/// "python-VERSION", which has the tree in `python/`; who builds has a release in its place when
/// nobody has named one.
struct AddPython {
  static constexpr std::string_view kStep = "add_python";
  /// A series or an exact version, with a `t` at the end for a free-threaded one.
  std::string version;
  bool operator==(const AddPython&) const = default;
};

/// Runs a Python script in the image.
struct PythonFunction {
  static constexpr std::string_view kStep = "python_function";
  std::string script;
  std::vector<SecretVariable> secrets;
  bool operator==(const PythonFunction&) const = default;
};

/// Instructions as text. COPY without --from is of `context`, or of the main one; each RUN has the
/// secrets.
struct DockerfileLines {
  static constexpr std::string_view kStep = "dockerfile_lines";
  std::vector<std::string> lines;
  std::optional<std::string> context = {};
  std::vector<SecretVariable> secrets = {};
  bool operator==(const DockerfileLines&) const = default;
};

using Step = std::variant<From, WholeDockerfile, Run, Copy, Env, Workdir, Entrypoint, Cmd, Shell,
                          Label, User, Expose, Apt, Pip, UvPip, UvSync, Poetry, Micromamba,
                          AddPython, PythonFunction, DockerfileLines>;

struct Recipe {
  std::vector<Step> steps;
  int builder_version = kNewestBuilderVersion;
  bool operator==(const Recipe&) const = default;
};

}  // namespace starling::dockerfile::recipe

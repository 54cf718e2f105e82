/// Which variables an instruction sees: ARG, ENV, build arguments and what is predefined.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/checked.h"
#include "dockerfile/syntax/dockerfile.h"
#include "dockerfile/syntax/shell_words.h"
#include "oci/platform.h"

namespace starling::dockerfile::syntax {

/// The PATH of an image that sets none.
inline constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All names and values of one scope together; a process could not be started with more.
inline constexpr size_t kMaxScopeBytes = size_t{1} << 20U;

/// All values that one scope has ever been given; a small file could otherwise set a large value
/// again and again for hours.
inline constexpr size_t kMaxScopeBytesSet = size_t{16} << 20U;

/// What --build-arg says.
using BuildArguments = std::map<std::string, std::string, std::less<>>;

struct Variable {
  std::string name;
  std::string value;
  bool operator==(const Variable&) const = default;
};

/// The variables at one point of a Dockerfile. The last ARG or ENV of a name decides about its
/// value; the image's environment is what ENV said, whatever an ARG says later.
class Scope {
 public:
  std::optional<std::string> Find(std::string_view name) const;
  /// Set, or named by an ARG that gave it no value.
  bool Declares(std::string_view name) const { return values_.contains(name); }
  /// All names that are declared, in order of the alphabet.
  std::vector<std::string_view> Names() const;

  /// A name that is there keeps its place in environment().
  void SetEnv(const std::string& name, const std::string& value);
  /// Without a value the name is declared, and keeps one that it has.
  void SetArg(const std::string& name, const std::optional<std::string>& value);

  /// Of the image.
  const std::vector<Variable>& environment() const { return environment_; }
  /// By ARG, with a value, in order of their first declaration.
  const std::vector<Variable>& arguments() const { return arguments_; }
  /// Of all names and values.
  size_t size_bytes() const { return size_bytes_; }
  /// Of all values since the scope was made, those that were replaced included.
  size_t set_bytes() const { return set_bytes_; }

 private:
  void Set(const std::string& name, const std::optional<std::string>& value);
  static void Put(std::vector<Variable>& variables, const std::string& name,
                  const std::string& value);

  std::map<std::string, std::optional<std::string>, std::less<>> values_;
  std::vector<Variable> environment_;
  std::vector<Variable> arguments_;
  size_t size_bytes_ = 0;
  size_t set_bytes_ = 0;
};

/// Whether `name` is a predefined argument that says how the network is reached, a password perhaps
/// included: it is in no key, no history and no provenance.
bool IsProxyArgument(std::string_view name);

/// What is known before the first line is read.
struct BuildSettings {
  BuildArguments arguments;
  /// Where the build runs, and what the image is for.
  oci::Platform build_platform = oci::Platform::Host();
  oci::Platform target_platform = oci::Platform::Host();
  /// The stage that is built; empty is the last one.
  std::string target;
};

/// Replaces variables in `text`.
StatusOr<std::string> ExpandIn(const Scope& scope, std::string_view text, char escape);

/// The global scope: what is predefined (TARGETPLATFORM and its kin), then each ARG in front of
/// the first FROM, which sees those above it.
Checked<Scope> GlobalScope(const Dockerfile& dockerfile, const BuildSettings& settings);

/// Does what ARG does. A value comes from the build arguments, else from the default, else from
/// `globals` (null in the global scope itself).
std::optional<Problem> ApplyArg(const Arg& arg, const BuildSettings& settings, const Scope* globals,
                                char escape, Scope& scope);
/// Does what ENV does: all entries see the values from before it.
std::optional<Problem> ApplyEnv(const Env& env, char escape, Scope& scope);

}  // namespace starling::dockerfile::syntax

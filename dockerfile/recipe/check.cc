#include "dockerfile/recipe/check.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "dockerfile/syntax/ignore_file.h"
#include "dockerfile/syntax/paths.h"
#include "dockerfile/syntax/values.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace starling::dockerfile::recipe {
namespace {

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Letters, digits and `others`; not empty, and a letter, a digit or one of `first` in front.
bool IsName(std::string_view text, std::string_view others, std::string_view first = {}) {
  return !text.empty() &&
         (IsLetterOrDigit(text.front()) || first.find(text.front()) != std::string_view::npos) &&
         std::all_of(text.begin(), text.end(), [others](char c) {
           return IsLetterOrDigit(c) || others.find(c) != std::string_view::npos;
         });
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (c >= 0 && c < 0x20) || c == 0x7F; });
}

/// Checks one step; `pointer_` is its JSON pointer.
class StepChecker {
 public:
  explicit StepChecker(std::string pointer) : pointer_(std::move(pointer)) {}

  Status operator()(const From& step) const {
    if (step.image != "scratch") {
      const auto reference = oci::Reference::Parse(step.image);
      if (!reference.ok()) {
        return Wrong("/image", MessageOf(reference.status()));
      }
    }
    if (step.platform) {
      const auto platform = oci::Platform::Parse(*step.platform);
      if (!platform.ok()) {
        return Wrong("/platform", MessageOf(platform.status()));
      }
    }
    return OkStatus();
  }
  Status operator()(const WholeDockerfile& step) const {
    RETURN_IF_ERROR(Text("/text", step.text));
    for (const auto& [name, value] : step.build_arguments) {
      RETURN_IF_ERROR(Text("/build_arguments", value));
    }
    return step.ignore ? Ignore(*step.ignore) : OkStatus();
  }
  Status operator()(const Run& step) const {
    RETURN_IF_ERROR(NotEmpty("/commands", step.commands));
    for (size_t i = 0; i < step.commands.size(); ++i) {
      const std::string member = fmt::format("/commands/{}", i);
      if (TrimSpace(step.commands[i]).empty()) {
        return Wrong(member, "an empty command does nothing; leave it out");
      }
      RETURN_IF_ERROR(Text(member, step.commands[i]));
    }
    return Secrets(step.secrets);
  }
  Status operator()(const Copy& step) const {
    RETURN_IF_ERROR(Path("/source", step.source));
    RETURN_IF_ERROR(OneLine("/destination", step.destination));
    if (!step.destination.starts_with('/')) {
      return Wrong("/destination", "this must be an absolute path in the image");
    }
    return Ignore(step.ignore);
  }
  Status operator()(const Env& step) const {
    for (const auto& [name, value] : step.variables) {
      RETURN_IF_ERROR(Variable("/variables", name));
      RETURN_IF_ERROR(Text("/variables/" + name, value));
    }
    return NotEmpty("/variables", step.variables);
  }
  Status operator()(const Workdir& step) const { return OneLine("/path", step.path); }
  Status operator()(const Entrypoint& step) const { return Texts("/command", step.command); }
  Status operator()(const Cmd& step) const { return Texts("/command", step.command); }
  Status operator()(const Shell& step) const {
    RETURN_IF_ERROR(NotEmpty("/command", step.command));
    return Texts("/command", step.command);
  }
  Status operator()(const Label& step) const {
    for (const auto& [name, value] : step.labels) {
      if (!IsName(name, "._-/")) {
        return Wrong("/labels", fmt::format("\"{}\" is no name of a label: letters, digits and "
                                            "._-/ with a letter or a digit in front",
                                            name));
      }
      RETURN_IF_ERROR(Text("/labels/" + name, value));
    }
    return NotEmpty("/labels", step.labels);
  }
  Status operator()(const User& step) const {
    if (!IsName(step.user, "._-:", "_")) {
      return Wrong("/user", "this must be USER or USER:GROUP, each a name or a number");
    }
    return OkStatus();
  }
  Status operator()(const Expose& step) const {
    for (size_t i = 0; i < step.ports.size(); ++i) {
      if (const auto port = syntax::ParsePort(step.ports[i]); !port.ok()) {
        return Wrong(fmt::format("/ports/{}", i), MessageOf(port.status()));
      }
      RETURN_IF_ERROR(OneLine(fmt::format("/ports/{}", i), step.ports[i]));
    }
    return NotEmpty("/ports", step.ports);
  }
  Status operator()(const Apt& step) const {
    RETURN_IF_ERROR(NotEmpty("/packages", step.packages));
    RETURN_IF_ERROR(
        Packages(step.packages, "for options of apt-get write a \"run\" step with the command"));
    return Secrets(step.secrets);
  }
  Status operator()(const Pip& step) const { return Python(step); }
  Status operator()(const UvPip& step) const {
    RETURN_IF_ERROR(Python(step));
    return ToolVersion("uv", "0.8.0", step.uv_version);
  }
  Status operator()(const UvSync& step) const {
    RETURN_IF_ERROR(Path("/project", step.project));
    RETURN_IF_ERROR(OptionalPath("/lock", step.lock));
    if (step.frozen && !step.lock) {
      return Wrong("/frozen", "only a lock can be frozen; name uv.lock in \"lock\"");
    }
    RETURN_IF_ERROR(Groups("/groups", step.groups));
    RETURN_IF_ERROR(Groups("/extras", step.extras));
    RETURN_IF_ERROR(Lines("/extra_options", step.extra_options));
    RETURN_IF_ERROR(ToolVersion("uv", "0.8.0", step.uv_version));
    return Secrets(step.secrets);
  }
  Status operator()(const Poetry& step) const {
    RETURN_IF_ERROR(Path("/project", step.project));
    RETURN_IF_ERROR(OptionalPath("/lock", step.lock));
    RETURN_IF_ERROR(Groups("/with", step.with));
    RETURN_IF_ERROR(Groups("/without", step.without));
    RETURN_IF_ERROR(Groups("/only", step.only));
    if (step.poetry_version && !IsName(*step.poetry_version, ".*~=<>!,+-", "~=<>!")) {
      return Wrong("/poetry_version", "this must be \"latest\", a version or a specifier (~=1.7)");
    }
    if (step.old_installer && step.poetry_version == "latest") {
      return Wrong("/old_installer",
                   "poetry has one installer from 1.5 on; name a \"poetry_version\" that has the "
                   "old one (~=1.4.0)");
    }
    return Secrets(step.secrets);
  }
  Status operator()(const Micromamba& step) const {
    if (step.packages.empty() && !step.spec_file) {
      return Wrong("", "nothing to install: name \"packages\" or a \"spec_file\"");
    }
    RETURN_IF_ERROR(
        Packages(step.packages, "for options of micromamba write a \"run\" step with the command"));
    RETURN_IF_ERROR(OptionalPath("/spec_file", step.spec_file));
    RETURN_IF_ERROR(Lines("/channels", step.channels));
    RETURN_IF_ERROR(ToolVersion("micromamba", "2.8.1-0", step.micromamba_version));
    return Secrets(step.secrets);
  }
  Status operator()(const AddPython& step) const {
    const std::string_view version =
        std::string_view(step.version).substr(0, step.version.find_last_not_of('t') + 1);
    const bool numbers = std::all_of(version.begin(), version.end(),
                                     [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
    const auto points = std::count(version.begin(), version.end(), '.');
    if (!numbers || !version.starts_with("3.") || version.ends_with('.') ||
        version.find("..") != std::string_view::npos || points > 2 ||
        step.version.size() > version.size() + 1 || version.size() > 16) {
      return Wrong("/version",
                   fmt::format("\"{}\" is no version of Python: write a series (3.12), an exact "
                               "one (3.12.4) or a free-threaded one (3.14t)",
                               step.version));
    }
    return OkStatus();
  }
  Status operator()(const PythonFunction& step) const {
    if (TrimSpace(step.script).empty()) {
      return Wrong("/script", "an empty script does nothing; leave the step out");
    }
    RETURN_IF_ERROR(Text("/script", step.script));
    return Secrets(step.secrets);
  }
  Status operator()(const DockerfileLines& step) const {
    RETURN_IF_ERROR(NotEmpty("/lines", step.lines));
    RETURN_IF_ERROR(Texts("/lines", step.lines));
    if (step.context) {
      RETURN_IF_ERROR(Context("/context", *step.context));
    }
    return Secrets(step.secrets);
  }

 private:
  Status Ignore(const std::vector<std::string>& ignore) const {
    std::vector<syntax::IgnorePattern> patterns;
    for (size_t i = 0; i < ignore.size(); ++i) {
      RETURN_IF_ERROR(OneLine(fmt::format("/ignore/{}", i), ignore[i]));
      patterns.push_back({.text = ignore[i]});
    }
    if (const auto parsed = syntax::IgnoreFile::FromPatterns(patterns); !parsed.ok()) {
      return Wrong("/ignore", MessageOf(parsed.status()));
    }
    return OkStatus();
  }
  Status Wrong(const std::string& member, std::string_view message) const {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{}{}: {}", pointer_, member, message));
  }

  /// No program gets a NUL byte in an argument or its environment.
  Status Text(const std::string& member, std::string_view text) const {
    if (text.find('\0') != std::string_view::npos) {
      return Wrong(member, "this has a NUL character in it, which cannot be passed on");
    }
    return OkStatus();
  }
  Status Texts(const std::string& member, const std::vector<std::string>& texts) const {
    for (size_t i = 0; i < texts.size(); ++i) {
      RETURN_IF_ERROR(Text(fmt::format("{}/{}", member, i), texts[i]));
    }
    return OkStatus();
  }
  Status OneLine(const std::string& member, std::string_view text) const {
    if (TrimSpace(text).empty()) {
      return Wrong(member, "this must not be empty");
    }
    if (HasControlCharacter(text)) {
      return Wrong(member, "this has a line end or another control character in it");
    }
    return OkStatus();
  }
  Status Lines(const std::string& member, const std::vector<std::string>& texts) const {
    for (size_t i = 0; i < texts.size(); ++i) {
      RETURN_IF_ERROR(OneLine(fmt::format("{}/{}", member, i), texts[i]));
    }
    return OkStatus();
  }
  template <typename T>
  Status NotEmpty(const std::string& member, const std::vector<T>& values) const {
    return values.empty() ? Wrong(member, "nothing is in here; leave the step out") : OkStatus();
  }
  Status Variable(const std::string& member, std::string_view name) const {
    if (!IsName(name, "_", "_") || (name.front() >= '0' && name.front() <= '9')) {
      return Wrong(member, fmt::format("\"{}\" is no name of a variable: letters, digits and _, "
                                       "without a digit in front",
                                       name));
    }
    return OkStatus();
  }
  Status Context(const std::string& member, std::string_view name) const {
    if (!IsName(name, "._-") || LowerCase(name) != name) {
      return Wrong(member, fmt::format("\"{}\" is no name of a build context: lower-case letters, "
                                       "digits and ._- with a letter or a digit in front",
                                       name));
    }
    return OkStatus();
  }
  Status Path(const std::string& member, const ContextPath& path) const {
    RETURN_IF_ERROR(Context(member + "/context", path.context));
    RETURN_IF_ERROR(OneLine(member + "/path", path.path));
    const std::string clean = syntax::CleanPath(path.path);
    if (clean.starts_with('/') || clean == ".." || clean.starts_with("../")) {
      return Wrong(member + "/path",
                   "this must be a path inside of the build context, relative to its root");
    }
    return OkStatus();
  }
  Status OptionalPath(const std::string& member, const std::optional<ContextPath>& path) const {
    return path ? Path(member, *path) : OkStatus();
  }
  Status Secrets(const std::vector<SecretVariable>& secrets) const {
    std::set<std::string_view> variables;
    for (size_t i = 0; i < secrets.size(); ++i) {
      const std::string member = fmt::format("/secrets/{}", i);
      if (!IsName(secrets[i].id, "._-", "_")) {
        return Wrong(member + "/id", "this must be letters, digits and ._-");
      }
      RETURN_IF_ERROR(Variable(member + "/variable", secrets[i].variable));
      if (!variables.insert(secrets[i].variable).second) {
        return Wrong(member + "/variable", "another secret of this step has this variable already");
      }
    }
    return OkStatus();
  }
  Status Packages(const std::vector<std::string>& packages, std::string_view instead) const {
    for (size_t i = 0; i < packages.size(); ++i) {
      const std::string member = fmt::format("/packages/{}", i);
      RETURN_IF_ERROR(OneLine(member, packages[i]));
      if (packages[i].starts_with('-')) {
        return Wrong(member,
                     fmt::format("\"{}\" is an option and no package; {}", packages[i], instead));
      }
    }
    return OkStatus();
  }
  Status Groups(const std::string& member, const std::vector<std::string>& names) const {
    for (size_t i = 0; i < names.size(); ++i) {
      if (!IsName(names[i], "._-")) {
        return Wrong(fmt::format("{}/{}", member, i), "this is no name of a group or an extra");
      }
    }
    return OkStatus();
  }
  Status ToolVersion(std::string_view tool, std::string_view example,
                     const std::optional<std::string>& version) const {
    if (version && !IsName(*version, "._-")) {
      return Wrong(fmt::format("/{}_version", tool),
                   fmt::format("this must be a version of {}, such as {}", tool, example));
    }
    return OkStatus();
  }
  Status Python(const PythonPackages& step) const {
    if (step.packages.empty() && step.requirements.empty()) {
      return Wrong("", "nothing to install: name \"packages\" or \"requirements\"");
    }
    RETURN_IF_ERROR(Packages(step.packages, "put it into \"extra_options\""));
    std::set<std::string> names;
    for (size_t i = 0; i < step.requirements.size(); ++i) {
      const std::string pointer = fmt::format("/requirements/{}", i);
      RETURN_IF_ERROR(Path(pointer, step.requirements[i]));
      const std::string path = syntax::CleanPath(step.requirements[i].path);
      if (!names.insert(path.substr(path.rfind('/') + 1)).second) {
        return Wrong(pointer, "two files of requirements have this name; rename one");
      }
    }
    for (const auto& [pointer, url] :
         {std::pair("/find_links", &step.find_links), std::pair("/index_url", &step.index_url),
          std::pair("/extra_index_url", &step.extra_index_url)}) {
      if (*url) {
        RETURN_IF_ERROR(OneLine(pointer, **url));
      }
    }
    RETURN_IF_ERROR(Lines("/extra_options", step.extra_options));
    return Secrets(step.secrets);
  }

  const std::string pointer_;
};

bool IsBase(const Step& step) {
  return std::holds_alternative<From>(step) || std::holds_alternative<WholeDockerfile>(step);
}

}  // namespace

Status CheckRecipe(const Recipe& recipe) {
  if (recipe.builder_version < kOldestBuilderVersion ||
      recipe.builder_version > kNewestBuilderVersion) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format(
            "/builder_version: {} is not a version of the builder that this program knows, "
            "which are {} to {}{}",
            recipe.builder_version, kOldestBuilderVersion, kNewestBuilderVersion,
            recipe.builder_version > kNewestBuilderVersion ? "; a newer Starling may" : ""));
  }
  if (recipe.steps.empty() || !IsBase(recipe.steps.front())) {
    return MakeError(StatusCode::kInvalidArgument,
                     "/steps/0: the first step must say what the image begins from: \"from\" or "
                     "\"dockerfile\"");
  }
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    const std::string pointer = fmt::format("/steps/{}", i);
    if (i > 0 && IsBase(recipe.steps[i])) {
      return MakeError(StatusCode::kInvalidArgument,
                       pointer + ": an image has one base, in the first step; remove this one");
    }
    RETURN_IF_ERROR(std::visit(StepChecker(pointer), recipe.steps[i]));
  }
  return OkStatus();
}

}  // namespace starling::dockerfile::recipe

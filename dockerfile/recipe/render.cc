#include "dockerfile/recipe/render.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "dockerfile/recipe/check.h"
#include "dockerfile/recipe/quote.h"
#include "dockerfile/syntax/git_reference.h"
#include "dockerfile/syntax/json_strings.h"
#include "dockerfile/syntax/paths.h"
#include "dockerfile/syntax/suggest.h"

namespace starling::dockerfile::recipe {
namespace {

constexpr std::string_view kUvImage = "ghcr.io/astral-sh/uv:";  // of builder version 1
constexpr std::string_view kUvVersion = "0.13.9";
// Not in the image: what is fetched once serves all builds, and changes none of them.
constexpr std::string_view kPipCache = "--mount=type=cache,target=/root/.cache/pip ";
constexpr std::string_view kUvCache = "--mount=type=cache,target=/root/.cache/uv ";
constexpr std::string_view kCondaCache = "--mount=type=cache,target=/root/.cache/conda ";
constexpr std::string_view kPoetryCache = "--mount=type=cache,target=/root/.cache/pypoetry ";
// Two apt-get at once would wait for each other's lock in vain.
constexpr std::string_view kAptCache = "--mount=type=cache,target=/var/cache/apt,sharing=locked ";
// Where a stage of a Dockerfile can go on after text of the user's.
constexpr std::string_view kSentinel = "STOPSIGNAL 9\n";

/// Whether micromamba takes the file for conda-lock's, which has each package with its digest.
/// Source: libmamba, is_conda_env_lockfile_name().
bool IsCondaLock(const ContextPath& file) {
  return file.path.ends_with("-lock.yml") || file.path.ends_with("-lock.yaml");
}

/// ENV or LABEL with a line end in the value: what it says.
struct ValueWithLineEnd {
  std::string quoted;
  std::string source;
};

std::string FileName(const ContextPath& path) {
  const std::string clean = syntax::CleanPath(path.path);
  return clean.substr(clean.rfind('/') + 1);
}

size_t CountLines(std::string_view text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::vector<const syntax::Instruction*> InstructionsOf(const syntax::Dockerfile& dockerfile) {
  std::vector<const syntax::Instruction*> all;
  all.reserve(dockerfile.global_arguments.size());
  for (const auto& argument : dockerfile.global_arguments) {
    all.push_back(&argument);
  }
  for (const syntax::Stage& stage : dockerfile.stages) {
    all.push_back(&stage.from_instruction);
    for (const auto& instruction : stage.instructions) {
      all.push_back(&instruction);
    }
  }
  return all;
}

/// Offsets of the lines of `text`; the first line is at index 1.
std::vector<size_t> LineOffsets(std::string_view text) {
  std::vector<size_t> offsets = {0, 0};
  for (size_t end = text.find('\n'); end != std::string_view::npos;
       end = text.find('\n', end + 1)) {
    offsets.push_back(end + 1);
  }
  return offsets;
}

/// `words` with a blank in front of each, as the shell reads them.
std::string Words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += " " + QuoteWord(word);
  }
  return text;
}

std::string Words(std::string_view option, const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) {
    text += fmt::format(" {}{}", option, QuoteWord(value));
  }
  return text;
}

std::string Sorted(std::vector<std::string> packages) {
  std::sort(packages.begin(), packages.end());
  return Words(packages);
}

std::string IndexOptions(const PythonPackages& step, std::string_view pre) {
  std::string text;
  for (const auto& [option, value] :
       {std::pair("--find-links", &step.find_links), std::pair("--index-url", &step.index_url),
        std::pair("--extra-index-url", &step.extra_index_url)}) {
    if (*value) {
      text += fmt::format(" {} {}", option, QuoteWord(**value));
    }
  }
  if (step.pre) {
    text += fmt::format(" {}", pre);
  }
  return text + Words(step.extra_options);
}

std::string SecretMounts(const std::vector<SecretVariable>& secrets) {
  std::string text;
  for (const SecretVariable& secret : secrets) {
    text +=
        fmt::format("--mount=type=secret,id={},env={},required=true ", secret.id, secret.variable);
  }
  return text;
}

/// `body` as a heredoc that nothing in it ends, quoted so that nothing in it is a variable.
std::string Heredoc(std::string_view body) {
  std::string text(body);
  if (!text.ends_with('\n')) {
    text += '\n';
  }
  // A line that looks like the end must not be one.
  std::set<std::string, std::less<>> taken;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (const auto line = std::string_view(text).substr(begin, end - begin);
        line.starts_with("EOF")) {
      taken.emplace(TrimSpace(line));
    }
    begin = end + 1;
  }
  std::string name = "EOF";
  for (int i = 1; taken.contains(name); ++i) {
    name = fmt::format("EOF{}", i);
  }
  return fmt::format("<<'{}'\n{}{}\n", name, text, name);
}

/// Whether RUN with `command` behind its flags means that command to the shell.
bool FitsOnLine(std::string_view command) {
  if (command.find('\n') != std::string_view::npos) {
    return false;
  }
  const auto parsed = syntax::ParseDockerfile(fmt::format("FROM scratch\nRUN {}\n", command));
  if (parsed.problem || parsed.stages.front().instructions.size() != 1) {
    return false;
  }
  const auto* run = std::get_if<syntax::Run>(&parsed.stages.front().instructions.front().value);
  // Flags would be missing from the argument, a heredoc is beside it.
  return run != nullptr && !run->command.exec_form && run->command.heredocs.empty() &&
         run->command.arguments == std::vector{std::string(command)};
}

class Renderer {
 public:
  Renderer(int builder_version, const RenderOptions& options)
      : builder_version_(builder_version), options_(options) {}

  Status Add(size_t index, const Step& step) {
    if (index > 0 && escape_ != '\\') {
      return MakeError(StatusCode::kInvalidArgument,
                       pointer_ +
                           "/text: steps cannot go on after an `escape` directive; use "
                           "the backslash in this Dockerfile");
    }
    pointer_ = fmt::format("/steps/{}", index);
    steps_.push_back({.first_line = next_line_, .instructions = 0});
    return std::visit([this](const auto& value) { return Write(value); }, step);
  }

  StatusOr<RenderedRecipe> Finish() {
    RenderedRecipe result{.text = std::move(text_),
                          .dockerfile = {},
                          .build_arguments = std::move(build_arguments_),
                          .contexts = {contexts_.begin(), contexts_.end()},
                          .line_end_at = std::move(line_end_at_),
                          .installs = std::move(installs_)};
    result.dockerfile = syntax::ParseDockerfile(result.text);
    if (result.dockerfile.problem) {
      return Wrong(StepOf(result.dockerfile.problem->range.begin.line), *result.dockerfile.problem);
    }
    // Whatever a value has in it, it makes no instruction and hides none.
    std::vector<size_t> found(steps_.size());
    for (const syntax::Instruction* instruction : InstructionsOf(result.dockerfile)) {
      ++found[StepOf(instruction->range.begin.line)];
    }
    for (size_t i = 0; i < steps_.size(); ++i) {
      if (found[i] != steps_[i].instructions) {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("/steps/{}: this cannot be written as a Dockerfile", i));
      }
    }
    RestoreLineEnds(result.dockerfile);
    return result;
  }

 private:
  struct StepLines {
    int first_line = 0;
    size_t instructions = 0;
  };

  static Status Wrong(size_t step, const syntax::Problem& problem) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("/steps/{}: {}{}", step, problem.message,
                                 syntax::DidYouMean(problem.suggestion)));
  }

  size_t StepOf(int line) const {
    const auto after = std::upper_bound(
        steps_.begin(), steps_.end(), line,
        [](int wanted, const StepLines& step) { return wanted < step.first_line; });
    return after == steps_.begin() ? 0 : static_cast<size_t>(after - steps_.begin()) - 1;
  }

  void RestoreLineEnds(syntax::Dockerfile& dockerfile) const {
    for (syntax::Instruction& instruction : dockerfile.stages.back().instructions) {
      const auto value = values_.find(instruction.range.begin.line);
      if (value == values_.end()) {
        continue;
      }
      instruction.source = value->second.source;
      if (auto* env = std::get_if<syntax::Env>(&instruction.value)) {
        env->entries.front().value.value = value->second.quoted;
      } else if (auto* label = std::get_if<syntax::Label>(&instruction.value)) {
        label->entries.front().value.value = value->second.quoted;
      }
    }
  }

  /// Whole lines.
  void Append(std::string_view lines) {
    if (is_cut_) {
      return;
    }
    text_ += lines;
    next_line_ += static_cast<int>(CountLines(lines));
  }
  void Instruction(std::string_view line) {
    if (is_cut_) {
      return;
    }
    Append(line);
    if (!line.ends_with('\n')) {
      Append("\n");
    }
    ++steps_.back().instructions;
  }
  void RunCommand(std::string_view flags, std::string_view command) {
    command = TrimSpace(command);
    Instruction(fmt::format("RUN {}{}", flags,
                            FitsOnLine(command) ? std::string(command) : Heredoc(command)));
  }
  void NamedValue(std::string_view keyword, std::string_view member, const std::string& name,
                  const std::string& value) {
    const std::string quoted = QuoteWord(value);
    std::string line = fmt::format("{} {}={}", keyword, name, quoted);
    if (line.find('\n') != std::string::npos) {
      values_[next_line_] = {quoted, line};
      if (line_end_at_.empty()) {
        line_end_at_ = fmt::format("{}/{}/{}", pointer_, member, name);
      }
      std::replace(line.begin(), line.end(), '\n', ' ');
    }
    Instruction(line);
  }
  void CopyInstruction(std::string_view flags, std::string_view source,
                       std::string_view destination) {
    const std::vector<std::string> words = {QuoteWord(source), QuoteWord(destination)};
    const bool blanks = (words[0] + words[1]).find(' ') != std::string::npos;
    Instruction(fmt::format(
        "COPY {} {}", flags,
        blanks ? syntax::JsonOfStrings(words) : fmt::format("{} {}", words[0], words[1])));
  }
  void CopyFrom(const ContextPath& source, const std::string& destination,
                std::string_view more_flags = {}) {
    contexts_.insert(source.context);
    CopyInstruction(fmt::format("--from={}{}", source.context, more_flags),
                    QuoteGlob(syntax::CleanPath(source.path)), destination);
  }
  void CopyUv(const std::optional<std::string>& version) {
    if (builder_version_ < kPinsPackagesFrom) {
      CopyInstruction(fmt::format("--from={}{}", kUvImage, version.value_or("latest")), "/uv",
                      "/.uv/uv");
      return;
    }
    CopyTool("uv", version.value_or(std::string(kUvVersion)));
  }
  /// To /.TOOL/TOOL: a released program, whose digest is known.
  void CopyTool(std::string_view tool, const std::string& version) {
    const std::string context = fmt::format("{}-{}", tool, version);
    contexts_.insert(context);
    CopyInstruction("--link --from=" + context, fmt::format("/{}", tool),
                    fmt::format("/.{0}/{0}", tool));
  }

  /// What installs packages, in each of its forms.
  struct InstallCommands {
    std::string name;
    std::string plain;
    /// Installs what kLockTarget has.
    std::string locked;
    /// Writes what `plain` would install to kResolvedFile.
    std::string resolve;
  };
  void RunInstall(Install::Kind kind, std::string_view flags, const InstallCommands& commands,
                  const std::vector<ContextPath>& requirements = {}) {
    const size_t number = installs_.size();
    installs_.push_back({.step = steps_.size() - 1,
                         .kind = kind,
                         .name = commands.name,
                         .requirements = requirements});
    if (!LocksPackages()) {
      RunCommand(flags, commands.plain);
      return;
    }
    const std::string mount = fmt::format("{}--mount=type=bind,from={},source=/{},target={} ",
                                          flags, options_.lock_context, number, kLockTarget);
    const bool resolves = options_.resolve == number;
    RunCommand(mount, resolves ? commands.resolve : commands.locked);
    is_cut_ = is_cut_ || resolves;
  }
  bool LocksPackages() const {
    return builder_version_ >= kPinsPackagesFrom && !options_.lock_context.empty();
  }
  Status CannotBeLocked(std::string_view what) const {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{}: {}; build it without --lock and --locked", pointer_, what));
  }
  /// In front of a command that writes files with times in them: they are to be those that the
  /// layer will have.
  std::string Dated() const {
    return builder_version_ >= kPinsPackagesFrom && options_.source_date_epoch
               ? fmt::format("SOURCE_DATE_EPOCH={} ", *options_.source_date_epoch)
               : "";
  }
  /// The same for uv, whose compiled files need not look at a time.
  std::string DatedUv() const {
    const std::string dated = Dated();
    return dated.empty() ? dated : dated + "PYC_INVALIDATION_MODE=UNCHECKED_HASH ";
  }
  void RunPipInstall(const std::string& arguments, const std::vector<SecretVariable>& secrets,
                     const std::string& index_options = {},
                     const std::vector<ContextPath>& requirements = {}) {
    const std::string pip = "python -m pip install";
    RunInstall(
        Install::Kind::kPip, std::string(kPipCache) + SecretMounts(secrets),
        {.name = pip + arguments,
         .plain = Dated() + pip + arguments,
         .locked = fmt::format("{}{} --no-deps --require-hashes -r {}{}", Dated(), pip, kLockTarget,
                               index_options),
         .resolve = fmt::format("{} --dry-run --report {}{}", pip, kResolvedFile, arguments)},
        requirements);
  }

  /// What `text` says, as far as `ends_with_stage`, checked to end where it ends.
  StatusOr<syntax::Dockerfile> Parse(const std::string& text) const {
    auto parsed = syntax::ParseDockerfile(text + std::string(kSentinel));
    if (parsed.problem) {
      return Wrong(steps_.size() - 1, *parsed.problem);
    }
    auto& last = parsed.stages.back().instructions;
    if (last.empty() || last.back().range.begin.line != static_cast<int>(CountLines(text)) + 1) {
      return MakeError(StatusCode::kInvalidArgument,
                       pointer_ +
                           ": the last line goes on in the next; end it without a "
                           "continuation");
    }
    last.pop_back();
    return parsed;
  }

  Status Write(const From& step) {
    Instruction(fmt::format("FROM {}{}",
                            step.platform ? fmt::format("--platform={} ", *step.platform) : "",
                            step.image));
    return OkStatus();
  }

  Status Write(const WholeDockerfile& step) {
    std::string text = step.text.ends_with('\n') ? step.text : step.text + "\n";
    ASSIGN_OR_RETURN(syntax::Dockerfile parsed, Parse(text));
    escape_ = parsed.escape;
    if (step.target) {
      const std::string wanted = LowerCase(*step.target);
      // Of several of a name, the last: as a build takes it.
      const auto found = std::find_if(
          parsed.stages.rbegin(), parsed.stages.rend(), [&wanted](const syntax::Stage& candidate) {
            return candidate.from().name && candidate.from().name->value == wanted;
          });
      if (found == parsed.stages.rend()) {
        return MakeError(
            StatusCode::kInvalidArgument,
            fmt::format("{}/target: the Dockerfile has no stage \"{}\"", pointer_, *step.target));
      }
      if (const auto next = found.base(); next != parsed.stages.end()) {
        const auto line = static_cast<size_t>(next->from_instruction.range.begin.line);
        text.resize(LineOffsets(text)[line]);
        parsed.stages.erase(next, parsed.stages.end());
      }
    }
    for (const auto& [name, value] : step.build_arguments) {
      build_arguments_[name] = value;
    }
    Append(text);
    steps_.back().instructions = InstructionsOf(parsed).size();
    return OkStatus();
  }

  Status Write(const DockerfileLines& step) {
    constexpr std::string_view kBase = "FROM scratch\n";
    std::string text(kBase);
    for (const std::string& line : step.lines) {
      text += line;
      text += line.ends_with('\n') ? "" : "\n";
    }
    ASSIGN_OR_RETURN(const syntax::Dockerfile parsed, Parse(text));
    if (parsed.stages.size() != 1) {
      return MakeError(StatusCode::kInvalidArgument,
                       pointer_ +
                           "/lines: FROM cannot stand here; begin the recipe with a "
                           "\"dockerfile\" step for several stages");
    }
    const auto& instructions = parsed.stages.front().instructions;
    ASSIGN_OR_RETURN(text, WithFlags(step, instructions, text));
    Append(std::string_view(text).substr(kBase.size()));
    steps_.back().instructions = instructions.size();
    return OkStatus();
  }

  /// `text` with what the step says in flags: `--from` of its context in each COPY that names no
  /// source, its secrets in each RUN.
  StatusOr<std::string> WithFlags(const DockerfileLines& step,
                                  const std::vector<syntax::Instruction>& instructions,
                                  std::string_view text) {
    if (step.context) {
      contexts_.insert(*step.context);
    }
    const std::vector<size_t> lines = LineOffsets(text);
    const std::string secrets = SecretMounts(step.secrets);
    std::string result;
    size_t done = 0;
    for (const syntax::Instruction& instruction : instructions) {
      std::string flags;
      if (const auto* copy = std::get_if<syntax::Copy>(&instruction.value)) {
        if (step.context && !copy->from && !copy->transfer.sources.empty()) {
          flags = "--from=" + *step.context;
        }
      } else if (std::holds_alternative<syntax::Run>(instruction.value)) {
        flags = TrimSpace(secrets);
      } else if (const auto* add = std::get_if<syntax::Add>(&instruction.value);
                 add != nullptr && step.context) {
        RETURN_IF_ERROR(CheckAdd(*add, *step.context));
      }
      if (!flags.empty()) {
        const syntax::Position& keyword_end = instruction.keyword.range.end;
        const size_t end = lines[static_cast<size_t>(keyword_end.line)] +
                           static_cast<size_t>(keyword_end.column) - 1;
        result += text.substr(done, end - done);
        result += " " + flags;
        done = end;
      }
    }
    result += text.substr(done);
    return result;
  }

  Status CheckAdd(const syntax::Add& add, const std::string& context) const {
    for (const syntax::Text& source : add.transfer.sources) {
      const auto git = syntax::ParseGitReference(source.value);
      if (!syntax::IsHttpUrl(source.value) && !(git.ok() && *git)) {
        return MakeError(StatusCode::kInvalidArgument,
                         fmt::format("{}/lines: ADD has no --from, so {} cannot come from the "
                                     "context \"{}\"; write COPY",
                                     pointer_, source.value, context));
      }
    }
    return OkStatus();
  }

  Status Write(const Run& step) {
    for (const std::string& command : step.commands) {
      RunCommand(SecretMounts(step.secrets), command);
    }
    return OkStatus();
  }
  Status Write(const Copy& step) {
    std::string flags;
    for (const std::string& pattern : step.ignore) {
      flags += " --exclude=" + QuoteFlagValue(pattern);
    }
    CopyFrom(step.source, step.destination, flags);
    return OkStatus();
  }
  Status Write(const Env& step) {
    for (const auto& [name, value] : step.variables) {
      NamedValue("ENV", "variables", name, value);
    }
    return OkStatus();
  }
  Status Write(const Label& step) {
    for (const auto& [name, value] : step.labels) {
      NamedValue("LABEL", "labels", name, value);
    }
    return OkStatus();
  }
  Status Write(const Workdir& step) {
    Instruction("WORKDIR " + QuoteWord(step.path));
    return OkStatus();
  }
  Status Write(const User& step) {
    Instruction("USER " + step.user);
    return OkStatus();
  }
  Status Write(const Expose& step) {
    Instruction("EXPOSE" + Words(step.ports));
    return OkStatus();
  }
  Status Write(const Entrypoint& step) {
    Instruction("ENTRYPOINT " + syntax::JsonOfStrings(step.command));
    return OkStatus();
  }
  Status Write(const Cmd& step) {
    Instruction("CMD " + syntax::JsonOfStrings(step.command));
    return OkStatus();
  }
  Status Write(const Shell& step) {
    Instruction("SHELL " + syntax::JsonOfStrings(step.command));
    return OkStatus();
  }

  Status Write(const Apt& step) {
    // In one step: a list of packages that was cached would be older than the packages.
    const std::string update = "apt-get update && ";
    const std::string install = "apt-get install -y";
    RunInstall(Install::Kind::kApt, std::string(kAptCache) + SecretMounts(step.secrets),
               {.name = install + Words(step.packages),
                .plain = update + Dated() + install + Words(step.packages),
                // The lists, logs and the loader's notes tell of the day and the machine.
                .locked = fmt::format("{}{}{} --no-install-recommends $(cat {}) && rm -rf "
                                      "/var/lib/apt/lists/* /var/log/apt/* /var/log/dpkg.log "
                                      "/var/log/alternatives.log /var/cache/ldconfig/aux-cache",
                                      update, Dated(), install, kLockTarget),
                .resolve = fmt::format("{}{} --simulate{} >{}", update, install,
                                       Words(step.packages), kResolvedFile)});
    return OkStatus();
  }
  Status Write(const Pip& step) {
    std::vector<std::string> files;
    for (const ContextPath& file : step.requirements) {
      files.push_back("/." + FileName(file));
      CopyFrom(file, files.back());
    }
    const std::string index = IndexOptions(step, "--pre");
    RunPipInstall(Sorted(step.packages) + Words("-r ", files) + index, step.secrets, index,
                  step.requirements);
    return OkStatus();
  }
  Status Write(const UvPip& step) {
    CopyUv(step.uv_version);
    std::vector<std::string> files;
    for (const ContextPath& file : step.requirements) {
      files.push_back(fmt::format("/.uv/{}/{}", files.size(), FileName(file)));
      CopyFrom(file, files.back());
    }
    const std::string python = "--python $(command -v python)";
    const std::string install = "/.uv/uv pip install " + python;
    const std::string compile = " --compile-bytecode --link-mode=copy";
    const std::string index = IndexOptions(step, "--prerelease=allow");
    PythonPackages for_index = step;
    for_index.extra_options.clear();
    const std::string packages = Words("-r ", files) + Sorted(step.packages);
    const bool no_deps =
        std::ranges::find(step.extra_options, "--no-deps") != step.extra_options.end();
    RunInstall(Install::Kind::kUv, std::string(kUvCache) + SecretMounts(step.secrets),
               {.name = "uv pip install" + index + packages,
                .plain = DatedUv() + install + compile + index + packages,
                .locked = fmt::format("{}{}{}{} --require-hashes{} -r {}", DatedUv(), install,
                                      compile, no_deps ? "" : " --no-deps", index, kLockTarget),
                // The first command says which versions, the second one their digests.
                .resolve = fmt::format(
                    "{0} --dry-run --refresh{1}{2} 2>{3} || {{ cat {3} >&2; exit 1; }}; {{ cat "
                    "{4}; sed -n "
                    "'/ (from /!s/^ + //p' {3}; }} | /.uv/uv pip compile - {5} --no-deps "
                    "--generate-hashes --no-header --no-annotate{6} -o {7}",
                    install, index, packages, kUvPlanFile, kLockTarget, python,
                    IndexOptions(for_index, "--prerelease=allow"), kResolvedFile)},
               step.requirements);
    return OkStatus();
  }
  Status Write(const UvSync& step) {
    if (LocksPackages() && !(step.lock && step.frozen)) {
      return CannotBeLocked(
          "what uv_sync installs is locked by its own uv.lock alone, with \"frozen\"");
    }
    CopyUv(step.uv_version);
    CopyFrom(step.project, "/.uv/pyproject.toml");
    if (step.lock) {
      CopyFrom(*step.lock, "/.uv/uv.lock");
    }
    RunCommand(std::string(kUvCache) + SecretMounts(step.secrets),
               DatedUv() +
                   "/.uv/uv sync --project=/.uv --no-install-workspace --compile-bytecode "
                   "--link-mode=copy" +
                   Words("--group=", step.groups) + Words("--extra=", step.extras) +
                   (step.frozen ? " --frozen" : "") + Words(step.extra_options));
    Instruction("ENV PATH=/.uv/.venv/bin:$PATH");
    return OkStatus();
  }
  Status Write(const Poetry& step) {
    if (LocksPackages() && !step.lock) {
      return CannotBeLocked("what poetry installs is locked by its own poetry.lock alone");
    }
    if (step.poetry_version) {
      const std::string& version = *step.poetry_version;
      const bool number = version.front() >= '0' && version.front() <= '9';
      const std::string poetry =
          version == "latest" ? "poetry" : "poetry" + (number ? "==" + version : version);
      RunPipInstall(" " + QuoteWord(poetry), {});
    }
    if (step.old_installer) {
      RunCommand("", "poetry config experimental.new-installer false");
    }
    if (step.lock) {
      CopyFrom(*step.lock, "/tmp/poetry/poetry.lock");
    }
    CopyFrom(step.project, "/tmp/poetry/pyproject.toml");
    RunCommand(std::string(kPoetryCache) + SecretMounts(step.secrets),
               "cd /tmp/poetry && poetry config virtualenvs.create false && " + Dated() +
                   "poetry install --no-root" + Words("--with ", step.with) +
                   Words("--without ", step.without) + Words("--only ", step.only) + " --compile");
    return OkStatus();
  }
  Status Write(const Micromamba& step) {
    const bool has_lock =
        step.packages.empty() && step.spec_file.has_value() && IsCondaLock(*step.spec_file);
    if (LocksPackages() && !has_lock) {
      return CannotBeLocked(
          "what micromamba installs is locked by conda-lock's own NAME-lock.yml alone, as "
          "\"spec_file\" without \"packages\"");
    }
    std::string flags = SecretMounts(step.secrets);
    std::string command = "micromamba install" + Words(step.packages);
    if (step.micromamba_version) {
      CopyTool("micromamba", *step.micromamba_version);
      if (!std::exchange(has_conda_, true)) {
        Instruction("ENV MAMBA_ROOT_PREFIX=/opt/conda PATH=/opt/conda/bin:$PATH");
      }
      flags = std::string(kCondaCache) + flags;
      command =
          Dated() + "CONDA_PKGS_DIRS=/root/.cache/conda /.micromamba/" + command + " --always-copy";
    }
    if (step.spec_file) {
      const std::string file = "/" + FileName(*step.spec_file);
      CopyFrom(*step.spec_file, file);
      command += " -f " + QuoteWord(file);
    }
    if (step.spec_file || step.micromamba_version) {
      command += " -n base";
    }
    RunCommand(flags, command + Words("-c ", step.channels) + " --yes");
    return OkStatus();
  }

  Status Write(const AddPython& step) {
    const std::string context = "python-" + step.version;
    contexts_.insert(context);
    // A layer of its own, whatever the base is: one upload for all images.
    CopyInstruction("--link --from=" + context, "/python/.", "/usr/local");
    // Its curses would look below the directory where it was built. Its own descriptions come last,
    // for a base that has none.
    Instruction(
        "ENV TERMINFO_DIRS=/etc/terminfo:/lib/terminfo:/usr/share/terminfo:/usr/lib/terminfo:"
        "/usr/local/share/terminfo");
    return OkStatus();
  }
  Status Write(const PythonFunction& step) {
    Instruction(fmt::format("RUN {}{}", SecretMounts(step.secrets),
                            Heredoc("#!/usr/bin/env python\n" + step.script)));
    return OkStatus();
  }

  const int builder_version_;
  const RenderOptions& options_;
  std::string text_;
  bool is_cut_ = false;  // nothing stands behind
  std::vector<Install> installs_;
  int next_line_ = 1;
  std::string pointer_;
  char escape_ = '\\';
  bool has_conda_ = false;  // a step has put it into PATH
  std::vector<StepLines> steps_;
  std::map<int, ValueWithLineEnd> values_;  // by line
  std::string line_end_at_;
  syntax::BuildArguments build_arguments_;
  std::set<std::string> contexts_;
};

}  // namespace

StatusOr<RenderedRecipe> RenderRecipe(const Recipe& recipe, const RenderOptions& options) {
  RETURN_IF_ERROR(CheckRecipe(recipe));
  Renderer renderer(recipe.builder_version, options);
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    RETURN_IF_ERROR(renderer.Add(i, recipe.steps[i]));
  }
  return renderer.Finish();
}

StatusOr<std::string> RenderDockerfile(const Recipe& recipe) {
  ASSIGN_OR_RETURN(RenderedRecipe rendered, RenderRecipe(recipe));
  if (!rendered.line_end_at.empty()) {
    return MakeError(StatusCode::kFailedPrecondition,
                     rendered.line_end_at +
                         ": no Dockerfile can say a value with a line end; "
                         "the recipe itself (--print=json) can");
  }
  return std::move(rendered.text);
}

}  // namespace starling::dockerfile::recipe

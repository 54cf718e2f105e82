#include "dockerfile/syntax/lint.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <tuple>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/paths.h"
#include "dockerfile/syntax/suggest.h"
#include "dockerfile/syntax/values.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace starling::dockerfile::syntax {
namespace {

bool HasOneCase(std::string_view text) {
  return LowerCase(text) == text || UpperCase(text) == text;
}

/// Names that look like those of secrets, and words that say they are none.
bool LooksSecret(std::string_view name) {
  static const RE2& secret = *new RE2(
      "(?i)(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)"
      "(?:_|$)");
  static const RE2& harmless = *new RE2("(?i)(?:_|^)(?:public|file|version)(?:_|$)");
  return RE2::PartialMatch(name, secret) && !RE2::PartialMatch(name, harmless);
}

class Linter {
 public:
  Linter(const Dockerfile& dockerfile, const LintSettings& settings)
      : dockerfile_(dockerfile), settings_(settings) {}

  LintReport Run() {
    if (settings_.options) {
      options_ = *settings_.options;
    } else if (const Text* directive = dockerfile_.FindDirective("check")) {
      auto options = ParseCheckOptions(*directive);
      if (!options.ok()) {
        report_.problem = options.status();
        return std::move(report_);
      }
      options_ = *std::move(options);
    }
    report_.warnings_are_errors = options_.error;
    CheckText();
    report_.problem = dockerfile_.problem;
    if (!report_.problem) {
      report_.problem = CheckMeaning();
    }
    std::stable_sort(report_.warnings.begin(), report_.warnings.end(),
                     [](const LintWarning& a, const LintWarning& b) {
                       return std::tie(a.range.begin.line, a.range.begin.column) <
                              std::tie(b.range.begin.line, b.range.begin.column);
                     });
    return std::move(report_);
  }

 private:
  /// What a stage is when its variables are known.
  struct StageState {
    Scope scope;
    std::vector<LintWarning> warnings;
    std::optional<Problem> problem;
    /// Earlier stages that it is made of or copies from.
    std::vector<size_t> needs;
    /// The environment of its base image is known: it begins from scratch.
    bool base_known = false;
    bool has_shell = false;
    bool has_workdir = false;
    bool has_on_build = false;
  };

  /// Which warnings the comments in front of an instruction switch off.
  bool IsSkippedAt(const Instruction& instruction, LintRule rule) const {
    for (const Text& comment : instruction.comments) {
      const auto options = ParseCheckComment(comment);
      if (options && options->ok() && ((*options)->skip_all || (*options)->skip.contains(rule))) {
        return true;
      }
    }
    return false;
  }

  void Warn(std::vector<LintWarning>& warnings, const Instruction& instruction, LintRule rule,
            std::string detail, Range where) {
    if (options_.Wants(rule) && !IsSkippedAt(instruction, rule)) {
      warnings.push_back({rule, std::move(detail), where});
    }
  }
  void Warn(const Instruction& instruction, LintRule rule, std::string detail, Range where) {
    Warn(report_.warnings, instruction, rule, std::move(detail), where);
  }

  // What is wrong with the text as such, in all stages.

  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (const Stage& stage : dockerfile_.stages) {
      visit(stage.from_instruction);
      for (const Instruction& instruction : stage.instructions) {
        visit(instruction);
      }
    }
  }

  void CheckText() {
    for (const Instruction& instruction : dockerfile_.global_arguments) {
      CheckContinuation(instruction);
      CheckDescription(instruction);
    }
    ForEach([&](const Instruction& instruction) {
      CheckContinuation(instruction);
      CheckDescription(instruction);
      if (std::holds_alternative<Maintainer>(instruction.value)) {
        Warn(instruction, LintRule::kMaintainerDeprecated,
             "Maintainer instruction is deprecated in favor of using label",
             instruction.keyword.range);
      }
    });
    CheckCasing();
    CheckStageNames();
  }

  void CheckContinuation(const Instruction& instruction) {
    if (instruction.has_empty_continuation) {
      Position last = instruction.range.end;
      if (last.column == 1) {
        --last.line;
      }
      Warn(instruction, LintRule::kNoEmptyContinuation, "Empty continuation line",
           {{last.line, 1}, last});
    }
  }

  void CheckDescription(const Instruction& instruction) {
    if (instruction.comments.empty()) {
      return;
    }
    std::vector<std::string> names;
    std::string shown;
    if (const auto* arg = std::get_if<Arg>(&instruction.value)) {
      for (const Arg::Entry& entry : arg->entries) {
        names.push_back(entry.name.value);
      }
      shown = names.size() == 1 ? names.front() : "<arg_key>";
    } else if (const auto* from = std::get_if<From>(&instruction.value)) {
      if (!from->name) {
        return;
      }
      names = {from->name->value};
      shown = names.front();
    } else {
      return;
    }
    for (const Text& comment : instruction.comments) {
      for (const std::string& name : names) {
        if (comment.value.starts_with(name + " ")) {
          return;
        }
      }
    }
    Warn(instruction, LintRule::kInvalidDefinitionDescription,
         fmt::format("Comment for {} should follow the format: `# {} <description>`",
                     UpperCase(instruction.keyword.value), shown),
         instruction.keyword.range);
  }

  void CheckCasing() {
    int lower = 0;
    int upper = 0;
    ForEach([&](const Instruction& instruction) {
      const std::string& keyword = instruction.keyword.value;
      if (HasOneCase(keyword)) {
        ++(LowerCase(keyword) == keyword ? lower : upper);
      }
    });
    const bool mostly_lower = lower > upper;
    ForEach([&](const Instruction& instruction) {
      const std::string& keyword = instruction.keyword.value;
      if ((mostly_lower ? LowerCase(keyword) : UpperCase(keyword)) != keyword) {
        Warn(instruction, LintRule::kConsistentInstructionCasing,
             fmt::format("Command '{}' should match the case of the command majority ({})", keyword,
                         mostly_lower ? "lowercase" : "uppercase"),
             instruction.keyword.range);
      }
    });
  }

  void CheckStageNames() {
    std::set<std::string_view> names;
    for (const Stage& stage : dockerfile_.stages) {
      const From& from = stage.from();
      const Instruction& instruction = stage.from_instruction;
      if (!from.name) {
        continue;
      }
      const std::string& name = from.name->value;
      if (from.written_name != name) {
        Warn(instruction, LintRule::kStageNameCasing,
             fmt::format("Stage name '{}' should be lowercase", from.written_name),
             from.name->range);
      }
      const std::string& keyword = instruction.keyword.value;
      if (HasOneCase(keyword) &&
          (LowerCase(keyword) == keyword ? LowerCase(from.written_as)
                                         : UpperCase(from.written_as)) != from.written_as) {
        Warn(instruction, LintRule::kFromAsCasing,
             fmt::format("'{}' and '{}' keywords' casing do not match", from.written_as, keyword),
             FromKeywordOn(instruction));
      }
      if (name == "scratch" || name == "context") {
        Warn(instruction, LintRule::kReservedStageName,
             fmt::format("Stage name should not use the same name as reserved stage \"{}\"", name),
             from.name->range);
      }
      if (!names.insert(name).second) {
        Warn(instruction, LintRule::kDuplicateStageName,
             fmt::format("Duplicate stage name \"{}\", stage names should be unique", name),
             from.name->range);
      }
    }
  }

  static Range FromKeywordOn(const Instruction& instruction) {
    return {instruction.keyword.range.begin, instruction.range.end};
  }

  // What it means when variables are expanded.

  std::optional<Problem> CheckMeaning() {
    if (dockerfile_.stages.size() > kMaxStages) {
      return ProblemAt(dockerfile_.stages[kMaxStages].from_instruction.range,
                       fmt::format("there are more than {} stages", kMaxStages));
    }
    auto globals = GlobalScope(dockerfile_, settings_.build);
    if (!globals.ok()) {
      return globals.status();
    }
    globals_ = *std::move(globals);
    FindDefaults();
    for (size_t i = 0; i < dockerfile_.stages.size(); ++i) {
      if (auto problem = CheckFrom(i)) {
        return problem;
      }
    }
    const auto target = FindTarget();
    if (!target.ok()) {
      return target.status();
    }
    for (size_t i = 0; i <= *target; ++i) {
      CheckStage(i);
    }
    return TakeNeeded(*target);
  }

  /// The global scope as it is without build arguments.
  void FindDefaults() {
    BuildSettings without = settings_.build;
    without.arguments.clear();
    auto defaults = GlobalScope(dockerfile_, without);
    // Without a default, an ARG that says ${X:?} has to be given.
    if (defaults.ok()) {
      defaults_ = *std::move(defaults);
    }
  }

  Checked<size_t> FindTarget() const {
    const std::string& target = settings_.build.target;
    if (target.empty()) {
      return dockerfile_.stages.size() - 1;
    }
    std::vector<std::string_view> names;
    for (size_t i = dockerfile_.stages.size(); i-- > 0;) {
      const From& from = dockerfile_.stages[i].from();
      if (from.name && from.name->value == LowerCase(target)) {
        return i;
      }
      if (from.name) {
        names.push_back(from.name->value);
      }
    }
    return ProblemAt({}, fmt::format("there is no stage '{}'", target), Suggest(target, names));
  }

  /// The latest stage before `end` that is called `name`.
  std::optional<size_t> FindStage(std::string_view name, size_t end) const {
    for (size_t i = end; i-- > 0;) {
      const From& from = dockerfile_.stages[i].from();
      if (from.name && from.name->value == name) {
        return i;
      }
    }
    return std::nullopt;
  }

  StatusOr<Expansion> ExpandWith(const Scope& scope, std::string_view text,
                                 bool ignore_quotes = false) {
    ASSIGN_OR_RETURN(Expansion expansion,
                     Expand(text, [&](std::string_view name) { return scope.Find(name); },
                            {.escape = dockerfile_.escape, .ignore_quotes = ignore_quotes}));
    expanded_bytes_ += expansion.text.size();
    if (expanded_bytes_ > kMaxLintExpansionBytes) {
      return MakeError(
          StatusCode::kResourceExhausted,
          fmt::format("all variables expanded give more than {} bytes", kMaxLintExpansionBytes));
    }
    return expansion;
  }

  void WarnUndeclared(const Instruction& instruction, const std::set<std::string>& unmatched,
                      Range where) {
    for (const std::string& name : unmatched) {
      if (!globals_.Declares(name)) {
        Warn(instruction, LintRule::kUndefinedArgInFrom,
             fmt::format("FROM argument '{}' is not declared{}", name,
                         DidYouMean(Suggest(name, globals_.Names()))),
             where);
      }
    }
  }

  std::optional<Problem> CheckFrom(size_t index) {
    const Instruction& instruction = dockerfile_.stages[index].from_instruction;
    const From& from = dockerfile_.stages[index].from();
    StageState& state = states_.emplace_back();
    const auto image = CheckedAt(from.image.range, ExpandWith(globals_, from.image.value));
    if (!image.ok()) {
      return image.status();
    }
    WarnUndeclared(instruction, image->unmatched, from.image.range);
    CheckDefaultImage(instruction, from);
    if (image->text.empty()) {
      return ProblemAt(from.image.range,
                       fmt::format("the base image ({}) has no name", from.image.value));
    }
    if (const auto base = FindStage(image->text, index)) {
      state.needs.push_back(*base);
      base_stages_[index] = *base;
    } else if (image->text == "scratch") {
      state.base_known = true;
      state.scope.SetEnv("PATH", std::string(kDefaultPath));
    } else if (const auto reference = oci::Reference::Parse(image->text); !reference.ok()) {
      state.problem = ProblemAt(from.image.range, fmt::format("base image '{}': {}", image->text,
                                                              MessageOf(reference.status())));
    }
    return from.platform ? CheckPlatform(instruction, from) : std::nullopt;
  }

  void CheckDefaultImage(const Instruction& instruction, const From& from) {
    if (!defaults_) {
      return;
    }
    const auto image = ExpandWith(*defaults_, from.image.value);
    if (image.ok() && !oci::Reference::Parse(image->text).ok()) {
      Warn(instruction, LintRule::kInvalidDefaultArgInFrom,
           fmt::format("Default value for ARG {} results in empty or invalid base image name",
                       from.image.value),
           from.image.range);
    }
  }

  std::optional<Problem> CheckPlatform(const Instruction& instruction, const From& from) {
    const Text& written = *from.platform;
    const auto platform = CheckedAt(written.range, ExpandWith(globals_, written.value));
    if (!platform.ok()) {
      return platform.status();
    }
    WarnUndeclared(instruction, platform->unmatched, written.range);
    constexpr std::string_view kTarget = "TARGETPLATFORM";
    if (platform->unmatched.empty() && platform->matched.size() == 1 &&
        *platform->matched.begin() == kTarget && platform->text == globals_.Find(kTarget)) {
      Warn(instruction, LintRule::kRedundantTargetPlatform,
           fmt::format("Setting platform to predefined {} in FROM is redundant as this is the "
                       "default behavior",
                       written.value),
           written.range);
    }
    if (platform->text.empty()) {
      const std::string suggestion = platform->unmatched.empty()
                                         ? ""
                                         : Suggest(*platform->unmatched.begin(), globals_.Names());
      return ProblemAt(written.range, fmt::format("the platform ({}) is empty", written.value),
                       suggestion.empty() ? "" : "$" + suggestion);
    }
    const auto parsed = CheckedAt(written.range, oci::Platform::Parse(platform->text));
    if (!parsed.ok()) {
      return parsed.status();
    }
    const std::string name = from.name ? from.name->value : "";
    if (platform->matched.empty() && platform->unmatched.empty() &&
        name.find(parsed->os) == std::string::npos &&
        name.find(parsed->architecture) == std::string::npos) {
      Warn(instruction, LintRule::kFromPlatformFlagConstDisallowed,
           fmt::format("FROM --platform flag should not use constant value \"{}\"", written.value),
           written.range);
    }
    return std::nullopt;
  }

  /// Fills states_[index]; its problems and warnings count only if the target needs the stage.
  void CheckStage(size_t index) {
    StageState& state = states_[index];
    if (const auto base = base_stages_.find(index); base != base_stages_.end()) {
      const StageState& from = states_[base->second];
      state.scope = from.scope;
      state.base_known = from.base_known;
      state.has_shell = from.has_shell;
      state.has_workdir = from.has_workdir;
      // Its triggers run here; what they set is not followed.
      state.base_known = state.base_known && !from.has_on_build;
    }
    std::map<std::string_view, const Instruction*> last_of;
    for (const Instruction& instruction : dockerfile_.stages[index].instructions) {
      if (state.problem) {
        return;
      }
      current_ = {&instruction, &state, index};
      state.problem =
          std::visit([&](const auto& value) { return Check(value); }, instruction.value);
      CheckUsedOnce(instruction, last_of);
    }
  }

  std::optional<Problem> TakeNeeded(size_t target) {
    std::vector<bool> needed(target + 1);
    needed[target] = true;
    for (size_t i = target + 1; i-- > 0;) {
      if (needed[i]) {
        for (const size_t other : states_[i].needs) {
          needed[other] = true;
        }
      }
    }
    for (size_t i = 0; i <= target; ++i) {
      if (!needed[i]) {
        continue;
      }
      auto& warnings = states_[i].warnings;
      report_.warnings.insert(report_.warnings.end(), std::make_move_iterator(warnings.begin()),
                              std::make_move_iterator(warnings.end()));
      if (states_[i].problem) {
        return states_[i].problem;
      }
    }
    return std::nullopt;
  }

  void CheckUsedOnce(const Instruction& instruction,
                     std::map<std::string_view, const Instruction*>& last_of) {
    std::string_view name;
    if (std::holds_alternative<Cmd>(instruction.value)) {
      name = "CMD";
    } else if (std::holds_alternative<Entrypoint>(instruction.value)) {
      name = "ENTRYPOINT";
    } else if (std::holds_alternative<Healthcheck>(instruction.value)) {
      name = "HEALTHCHECK";
    } else {
      return;
    }
    const Instruction*& last = last_of[name];
    if (last != nullptr) {
      Warn(current_.state->warnings, *last, LintRule::kMultipleInstructionsDisallowed,
           fmt::format("Multiple {} instructions should not be used in the same stage because only "
                       "the last one will be used",
                       name),
           last->keyword.range);
    }
    last = &instruction;
  }

  void WarnHere(LintRule rule, std::string detail, Range where) {
    Warn(current_.state->warnings, *current_.instruction, rule, std::move(detail), where);
  }

  /// Expands in the current stage, and warns of variables that nothing sets.
  Checked<Expansion> ExpandHere(const Text& text, bool ignore_quotes = false) {
    const Scope& scope = current_.state->scope;
    auto expansion = CheckedAt(text.range, ExpandWith(scope, text.value, ignore_quotes));
    if (expansion.ok() && current_.state->base_known) {
      for (const std::string& name : expansion->unmatched) {
        if (!scope.Declares(name)) {
          WarnHere(LintRule::kUndefinedVar,
                   fmt::format("Usage of undefined variable '${}'{}", name,
                               DidYouMean(Suggest(name, scope.Names()), "$")),
                   text.range);
        }
      }
    }
    return expansion;
  }

  std::optional<Problem> Check(const From& /*value*/) { return std::nullopt; }
  std::optional<Problem> Check(const Maintainer& /*value*/) { return std::nullopt; }

  void WarnSecret(std::string_view kind, const Text& name) {
    if (LooksSecret(name.value)) {
      WarnHere(LintRule::kSecretsUsedInArgOrEnv,
               fmt::format("Do not use ARG or ENV instructions for sensitive data ({} \"{}\")",
                           kind, name.value),
               name.range);
    }
  }

  std::optional<Problem> Check(const Arg& arg) {
    for (const Arg::Entry& entry : arg.entries) {
      WarnSecret("ARG", entry.name);
      if (entry.default_value) {
        if (const auto expansion = ExpandHere(*entry.default_value); !expansion.ok()) {
          return expansion.status();
        }
      }
    }
    return ApplyArg(arg, settings_.build, &globals_, dockerfile_.escape, current_.state->scope);
  }

  std::optional<Problem> CheckEntries(const std::vector<KeyValue>& entries, bool old_form,
                                      std::string_view kind) {
    for (const KeyValue& entry : entries) {
      for (const Text* text : {&entry.key, &entry.value}) {
        if (const auto expansion = ExpandHere(*text); !expansion.ok()) {
          return expansion.status();
        }
      }
      if (old_form) {
        WarnHere(LintRule::kLegacyKeyValueFormat,
                 fmt::format("\"{} key=value\" should be used instead of legacy \"{} key value\" "
                             "format",
                             kind, kind),
                 entry.key.range);
      }
    }
    return std::nullopt;
  }

  std::optional<Problem> Check(const Env& env) {
    for (const KeyValue& entry : env.entries) {
      WarnSecret("ENV", entry.key);
    }
    if (auto problem = CheckEntries(env.entries, env.old_form, "ENV")) {
      return problem;
    }
    return ApplyEnv(env, dockerfile_.escape, current_.state->scope);
  }

  std::optional<Problem> Check(const Label& label) {
    return CheckEntries(label.entries, label.old_form, "LABEL");
  }

  /// `from`: the source is a stage or an image, not the build context.
  std::optional<Problem> CheckTransfer(const Transfer& transfer, bool from, std::string_view verb) {
    for (const Text& source : transfer.sources) {
      const auto expansion = ExpandHere(source);
      if (!expansion.ok()) {
        return expansion.status();
      }
      if (!from) {
        CheckIgnored(expansion->text, source.range, verb);
      }
    }
    for (const Transfer::InlineFile& file : transfer.files) {
      if (file.expand) {
        const auto expansion = ExpandHere({file.content, file.range}, /*ignore_quotes=*/true);
        if (!expansion.ok()) {
          return expansion.status();
        }
      }
    }
    const auto destination = ExpandHere(transfer.destination);
    if (!destination.ok()) {
      return destination.status();
    }
    if (transfer.chown) {
      if (const auto owner = ExpandHere(*transfer.chown); !owner.ok()) {
        return owner.status();
      }
    }
    if (transfer.chmod) {
      const auto mode = ExpandHere(*transfer.chmod);
      if (!mode.ok()) {
        return mode.status();
      }
      // Nothing, as of an unset variable, changes nothing.
      if (!mode->text.empty()) {
        const auto change = CheckedAt(transfer.chmod->range, ParseModeChange(mode->text));
        if (!change.ok()) {
          return change.status();
        }
      }
    }
    return std::nullopt;
  }

  void CheckIgnored(std::string_view source, Range where, std::string_view verb) {
    if (settings_.ignore_file == nullptr || source.find("://") != std::string_view::npos) {
      return;
    }
    std::string path = CleanPath(source);
    if (path.size() > 1 && path.starts_with('/')) {
      path.erase(0, 1);
    }
    const bool root = path == "." || path == "/";
    if (root ? settings_.ignore_file->IgnoresEverything() : settings_.ignore_file->Ignores(path)) {
      WarnHere(
          LintRule::kCopyIgnoredFile,
          fmt::format("Attempting to {} file \"{}\" that is excluded by .dockerignore", verb, path),
          where);
    }
  }

  /// Remembers which stage `from` is, if it is one.
  std::optional<Problem> FollowFrom(std::string_view from, Range where) {
    const std::string name = LowerCase(from);
    size_t number = 0;
    const char* end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data(), end, number);
    if (error == std::errc() && at == end) {
      if (number >= current_.index) {
        return ProblemAt(
            where, fmt::format("--from={}: there is no such stage in front of this one", from));
      }
      current_.state->needs.push_back(number);
    } else if (const auto stage = FindStage(name, current_.index)) {
      current_.state->needs.push_back(*stage);
    } else if (FindStage(name, dockerfile_.stages.size())) {
      return ProblemAt(where, fmt::format("--from={}: the stage comes later; only stages in front "
                                          "of this one can be used",
                                          from));
    } else if (const auto reference = oci::Reference::Parse(from); !reference.ok()) {
      return ProblemAt(where,
                       fmt::format("--from={}: no stage is called so, and it names no image: "
                                   "{}",
                                   from, MessageOf(reference.status())));
    }
    return std::nullopt;
  }

  std::optional<Problem> Check(const Copy& copy) {
    if (copy.from) {
      const auto from = ExpandHere(*copy.from);
      if (!from.ok()) {
        return from.status();
      }
      if (from->text.empty()) {
        return ProblemAt(copy.from->range, fmt::format("--from ({}) is empty", copy.from->value));
      }
      if (auto problem = FollowFrom(from->text, copy.from->range)) {
        return problem;
      }
    }
    return CheckTransfer(copy.transfer, copy.from.has_value(), "Copy");
  }

  std::optional<Problem> Check(const Add& add) {
    if (add.checksum) {
      if (const auto checksum = ExpandHere(*add.checksum); !checksum.ok()) {
        return checksum.status();
      }
    }
    return CheckTransfer(add.transfer, /*from=*/false, "Add");
  }

  std::optional<Problem> Check(const Workdir& workdir) {
    const auto path = ExpandHere(workdir.path);
    if (!path.ok()) {
      return path.status();
    }
    if (!path->text.starts_with('/') && !current_.state->has_workdir) {
      WarnHere(LintRule::kWorkdirRelativePath,
               fmt::format("Relative workdir \"{}\" can have unexpected results if the base image "
                           "changes",
                           path->text),
               workdir.path.range);
    }
    current_.state->has_workdir = true;
    return std::nullopt;
  }

  std::optional<Problem> Check(const syntax::Run& run) {
    for (const Mount& mount : run.mounts) {
      const auto expanded =
          ParseMount(mount.written, [&](std::string_view text) -> StatusOr<std::string> {
            const auto expansion = ExpandHere({std::string(text), mount.written.range});
            if (!expansion.ok()) {
              return MakeError(StatusCode::kInvalidArgument, expansion.status().message);
            }
            return expansion->text;
          });
      if (!expanded.ok()) {
        return expanded.status();
      }
      if (!expanded->from.empty()) {
        if (auto problem = FollowFrom(expanded->from, mount.written.range)) {
          return problem;
        }
      }
    }
    return std::nullopt;
  }

  void WarnShellForm(const CommandLine& command, std::string_view name) {
    if (!command.exec_form && !current_.state->has_shell) {
      WarnHere(
          LintRule::kJsonArgsRecommended,
          fmt::format("JSON arguments recommended for {} to prevent unintended behavior related "
                      "to OS signals",
                      name),
          current_.instruction->keyword.range);
    }
  }

  std::optional<Problem> Check(const Cmd& cmd) {
    WarnShellForm(cmd.command, "CMD");
    return std::nullopt;
  }
  std::optional<Problem> Check(const Entrypoint& entrypoint) {
    WarnShellForm(entrypoint.command, "ENTRYPOINT");
    return std::nullopt;
  }
  std::optional<Problem> Check(const Healthcheck& /*value*/) { return std::nullopt; }

  std::optional<Problem> Check(const Expose& expose) {
    for (const Text& text : expose.ports) {
      const auto expansion = ExpandHere(text);
      if (!expansion.ok()) {
        return expansion.status();
      }
      for (const std::string& word : expansion->words) {
        const auto port = CheckedAt(text.range, ParsePort(word));
        if (!port.ok()) {
          return port.status();
        }
        if (port->odd_protocol_case) {
          WarnHere(
              LintRule::kExposeProtoCasing,
              fmt::format("Defined protocol '{}' in EXPOSE instruction should be lowercase", word),
              text.range);
        }
        if (port->has_host_part) {
          WarnHere(LintRule::kExposeInvalidFormat,
                   fmt::format("EXPOSE instruction should not define an IP address or host-port "
                               "mapping, found '{}'",
                               word),
                   text.range);
        }
      }
    }
    return std::nullopt;
  }

  std::optional<Problem> Check(const User& user) {
    const auto expansion = ExpandHere(user.user);
    return expansion.ok() ? std::nullopt : std::optional(expansion.status());
  }

  std::optional<Problem> Check(const Volume& volume) {
    for (const Text& path : volume.paths) {
      const auto expansion = ExpandHere(path);
      if (!expansion.ok()) {
        return expansion.status();
      }
      if (TrimSpace(expansion->text).empty()) {
        return ProblemAt(path.range, fmt::format("VOLUME: the path ({}) is empty", path.value));
      }
    }
    return std::nullopt;
  }

  std::optional<Problem> Check(const StopSignal& stop) {
    const auto expansion = ExpandHere(stop.signal);
    if (!expansion.ok()) {
      return expansion.status();
    }
    const auto signal = CheckedAt(stop.signal.range, ParseSignal(expansion->text));
    return signal.ok() ? std::nullopt : std::optional(signal.status());
  }

  std::optional<Problem> Check(const Shell& /*value*/) {
    current_.state->has_shell = true;
    return std::nullopt;
  }

  std::optional<Problem> Check(const Onbuild& /*value*/) {
    current_.state->has_on_build = true;
    return std::nullopt;
  }

  const Dockerfile& dockerfile_;
  const LintSettings& settings_;
  CheckOptions options_;
  LintReport report_;
  Scope globals_;
  std::optional<Scope> defaults_;
  std::vector<StageState> states_;
  std::map<size_t, size_t> base_stages_;
  size_t expanded_bytes_ = 0;
  struct {
    const Instruction* instruction = nullptr;
    StageState* state = nullptr;
    size_t index = 0;
  } current_;
};

}  // namespace

LintReport Lint(const Dockerfile& dockerfile, const LintSettings& settings) {
  return Linter(dockerfile, settings).Run();
}

}  // namespace starling::dockerfile::syntax

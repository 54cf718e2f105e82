#include "dockerfile/syntax/lint_rules.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/suggest.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::syntax {
namespace {

struct RuleText {
  std::string_view name;
  std::string_view explanation;
};

// In the order of the enumeration.
constexpr std::array<RuleText, kLintRules> kRules = {{
    {"StageNameCasing", "Stages are referred to in lower case, so name them that way."},
    {"FromAsCasing", "FROM and AS belong together; write both in the same case."},
    {"NoEmptyContinuation",
     "An empty line does not end an instruction that is continued, which surprises its readers."},
    {"ConsistentInstructionCasing", "One case for all instructions is easier to read."},
    {"DuplicateStageName", "A name for two stages means the later one; the earlier is hidden."},
    {"ReservedStageName", "'scratch' and 'context' mean something else already."},
    {"JSONArgsRecommended",
     "The shell form runs under a shell, which gets the signals and does not pass them on."},
    {"MaintainerDeprecated",
     "Say it with LABEL org.opencontainers.image.authors, which tools can read."},
    {"UndefinedArgInFrom", "FROM sees only what ARG declares in front of the first FROM."},
    {"UndefinedVar", "A variable that nothing sets is replaced by nothing."},
    {"WorkdirRelativePath", "A relative path depends on the base image's working directory."},
    {"MultipleInstructionsDisallowed", "Only the last one of a stage counts."},
    {"LegacyKeyValueFormat", "NAME=VALUE can hold several entries and says where a value ends."},
    {"RedundantTargetPlatform", "The target's platform is what FROM takes anyway."},
    {"FromPlatformFlagConstDisallowed",
     "With a fixed platform the image cannot be built for another one."},
    {"InvalidBaseImagePlatform", "The base image is for another platform than the one asked for."},
    {"SecretsUsedInArgOrEnv",
     "ARG and ENV are stored in the image; use RUN --mount=type=secret instead."},
    {"InvalidDefaultArgInFrom",
     "Without build arguments the base image has no valid name, so the build fails."},
    {"CopyIgnoredFile", "What .dockerignore leaves out cannot be copied."},
    {"InvalidDefinitionDescription",
     "A comment in front of ARG or FROM is shown as its description when it begins with the name."},
    {"ExposeProtoCasing", "Protocols are written in lower case."},
    {"ExposeInvalidFormat",
     "An image cannot choose addresses or ports of the host; EXPOSE takes the container's port."},
}};

Checked<LintRule> ParseRule(std::string_view name, Range where) {
  for (size_t i = 0; i < kRules.size(); ++i) {
    if (LowerCase(kRules[i].name) == LowerCase(name)) {
      return static_cast<LintRule>(i);
    }
  }
  std::vector<std::string_view> names;
  names.reserve(kRules.size());
  for (const RuleText& rule : kRules) {
    names.push_back(rule.name);
  }
  return ProblemAt(where, fmt::format("check: unknown rule '{}'", name), Suggest(name, names));
}

std::optional<Problem> ReadRules(std::string_view value, Range where, std::set<LintRule>& rules,
                                 bool& all) {
  while (true) {
    const std::string_view name = value.substr(0, value.find(','));
    const std::string_view trimmed = TrimUnicodeSpace(name);
    if (LowerCase(trimmed) == "all") {
      all = true;
    } else {
      const auto rule = ParseRule(trimmed, where);
      if (!rule.ok()) {
        return rule.status();
      }
      rules.insert(*rule);
    }
    if (name.size() == value.size()) {
      return std::nullopt;
    }
    value.remove_prefix(name.size() + 1);
  }
}

}  // namespace

std::string_view NameOf(LintRule rule) { return kRules[static_cast<size_t>(rule)].name; }

std::string_view ExplanationOf(LintRule rule) {
  return kRules[static_cast<size_t>(rule)].explanation;
}

bool IsExperimental(LintRule rule) { return rule == LintRule::kInvalidDefinitionDescription; }

bool CheckOptions::Wants(LintRule rule) const {
  if (skip.contains(rule)) {
    return false;
  }
  // What somebody asks for is not meant by "all".
  return IsExperimental(rule) ? all_experimental || experimental.contains(rule) : !skip_all;
}

Checked<CheckOptions> ParseCheckOptions(const Text& text) {
  CheckOptions options;
  std::string_view left = text.value;
  while (true) {
    const std::string_view option = left.substr(0, left.find(';'));
    const size_t equals = option.find('=');
    const std::string_view trimmed = TrimUnicodeSpace(option.substr(0, equals));
    if (equals == std::string_view::npos) {
      return ProblemAt(text.range, fmt::format("check: '{}' is no NAME=VALUE", trimmed));
    }
    const std::string_view value = TrimUnicodeSpace(option.substr(equals + 1));
    const std::string name = LowerCase(trimmed);
    if (name == "skip") {
      if (auto problem = ReadRules(value, text.range, options.skip, options.skip_all)) {
        return *std::move(problem);
      }
    } else if (name == "experimental") {
      if (auto problem =
              ReadRules(value, text.range, options.experimental, options.all_experimental)) {
        return *std::move(problem);
      }
    } else if (name == "error") {
      ASSIGN_OR_RETURN(options.error, CheckedAt(text.range, ParseBool(value)));
    } else {
      constexpr std::string_view kNames[] = {"skip", "error", "experimental"};
      return ProblemAt(text.range, fmt::format("check: unknown option '{}'", trimmed),
                       Suggest(name, kNames));
    }
    if (option.size() == left.size()) {
      return options;
    }
    left.remove_prefix(option.size() + 1);
  }
}

std::optional<Checked<CheckOptions>> ParseCheckComment(const Text& comment) {
  std::string_view text = comment.value;
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos ||
      LowerCase(TrimUnicodeSpace(text.substr(0, equals))) != "check") {
    return std::nullopt;
  }
  text.remove_prefix(equals + 1);
  text = text.substr(0, text.find("//"));
  return ParseCheckOptions({std::string(TrimUnicodeSpace(text)), comment.range});
}

}  // namespace starling::dockerfile::syntax

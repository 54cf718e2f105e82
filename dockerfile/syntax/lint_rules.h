/// The rules by which a Dockerfile is looked through, and what switches them off.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "dockerfile/syntax/checked.h"

namespace starling::dockerfile::syntax {

/// The names are BuildKit's, so that `# check=skip=...` means the same for both.
enum class LintRule : uint8_t {
  kStageNameCasing,
  kFromAsCasing,
  kNoEmptyContinuation,
  kConsistentInstructionCasing,
  kDuplicateStageName,
  kReservedStageName,
  kJsonArgsRecommended,
  kMaintainerDeprecated,
  kUndefinedArgInFrom,
  kUndefinedVar,
  kWorkdirRelativePath,
  kMultipleInstructionsDisallowed,
  kLegacyKeyValueFormat,
  kRedundantTargetPlatform,
  kFromPlatformFlagConstDisallowed,
  kInvalidBaseImagePlatform,
  kSecretsUsedInArgOrEnv,
  kInvalidDefaultArgInFrom,
  kCopyIgnoredFile,
  kInvalidDefinitionDescription,
  kExposeProtoCasing,
  kExposeInvalidFormat,
};
inline constexpr int kLintRules = 22;

/// "StageNameCasing".
std::string_view NameOf(LintRule rule);
/// One sentence: why it is a rule.
std::string_view ExplanationOf(LintRule rule);
/// Only looked for when `experimental` names it.
bool IsExperimental(LintRule rule);

/// What the `check` directive says: skip=A,B;error=true;experimental=C.
struct CheckOptions {
  std::set<LintRule> skip;
  std::set<LintRule> experimental;
  bool skip_all = false;
  bool all_experimental = false;
  /// A warning is an error.
  bool error = false;

  bool Wants(LintRule rule) const;
};

/// Refuses unknown options and rules, with a suggestion.
Checked<CheckOptions> ParseCheckOptions(const Text& text);

/// The options of a comment that stands in front of an instruction and counts for it alone:
/// "check=skip=A,B // why". Nothing for another comment.
std::optional<Checked<CheckOptions>> ParseCheckComment(const Text& comment);

}  // namespace starling::dockerfile::syntax

/// --NAME[=VALUE] in front of an instruction's arguments.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/checked.h"
#include "dockerfile/syntax/position.h"

namespace starling::dockerfile::syntax {

enum class FlagKind {
  kText,    // needs a value, stands once
  kList,    // needs a value, may be repeated
  kSwitch,  // true without a value, or =true, =false; stands once
};

struct FlagSpec {
  std::string_view name;
  FlagKind kind;
};

/// The flags that stand there, each checked against its specification.
class Flags {
 public:
  /// Refuses an unknown flag (with a suggestion), a repeated one, and a value that does not fit.
  static Checked<Flags> Parse(std::span<const Text> given, std::span<const FlagSpec> known);

  /// The value; nothing when the flag does not stand there.
  std::optional<Text> Find(std::string_view name) const;
  /// All values of a list, in order.
  std::vector<Text> All(std::string_view name) const;
  std::optional<bool> FindSwitch(std::string_view name) const;

 private:
  struct Flag {
    std::string_view name;
    Text value;
  };
  std::vector<Flag> flags_;
};

}  // namespace starling::dockerfile::syntax

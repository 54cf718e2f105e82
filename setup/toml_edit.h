/// Changes to a TOML file that somebody else wrote: what is missing is put in, line by line, and
/// everything else stays as it is, with comments and order.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "setup/line_edit.h"

namespace starling::setup {

using TomlPath = std::vector<std::string>;
using TomlValue = std::variant<bool, int64_t, std::string, std::vector<std::string>>;

/// `value` as it is written.
std::string TomlText(const TomlValue& value);

/// A key and what it is to be.
struct WantedKey {
  enum class Match {
    kEquals,
    kIncludes,  // a list with at least the values of `value`
    kExcludes,  // a list with none of them, or no such key
  };
  TomlPath table;  // empty: the top of the file
  std::string key;
  TomlValue value;
  Match match = Match::kEquals;
};

/// A list of tables that is to have these, and may have others.
struct WantedTables {
  TomlPath list;
  std::string same_by;  // tables are the same when they agree in this key
  std::vector<std::vector<std::pair<std::string, std::string>>> tables;
};

struct Wanted {
  std::vector<WantedKey> keys;
  std::vector<WantedTables> lists;

  bool empty() const { return keys.empty() && lists.empty(); }
  void Add(const Wanted& more);
};

/// Something else stands where a wanted key belongs.
struct Conflict {
  size_t line = 0;
  size_t column = 0;
  std::string key;
  std::string present;
  std::string wanted;
  /// What puts the wanted value in its place.
  LineEdit replacement;

  friend bool operator==(const Conflict&, const Conflict&) = default;
};

struct TomlPlan {
  std::vector<LineEdit> additions;
  std::vector<Conflict> conflicts;

  bool empty() const { return additions.empty() && conflicts.empty(); }
  /// Additions and replacements.
  std::vector<LineEdit> AllEdits() const;
};

/// What one file needs.
struct FilePlan {
  std::string path;
  bool exists = false;
  std::string text;  // what it holds now
  TomlPlan plan;
};

/// What is to be done to `text` so that it says what is wanted; its result was parsed, and says it
/// and all that it said before. `comment` stands above what is put at the end.
/// Errors: kInvalidArgument as "FILE:LINE:COLUMN: what" when `text` is not TOML;
/// kFailedPrecondition, which names the place, when the table is written in a way (inline, dotted)
/// that only a person should change.
StatusOr<TomlPlan> PlanToml(std::string_view text, std::string_view file, const Wanted& wanted,
                            std::string_view comment);

/// The lines of a file that says nothing but that.
std::vector<std::string> TomlLines(const Wanted& wanted);

}  // namespace starling::setup

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// A choice of snapshots in containerd's filter language. Immutable; threads: safe.
///
///   filter   := selector (',' selector)*            all of them
///   selector := path (operator value)?              without an operator: the field is present
///   path     := field ('.' field)*                  name, parent, kind, labels.KEY
///   operator := '==' | '!=' | '~='                  the last is an RE2 expression, found anywhere
///
/// A field or value may be a Go string literal in double quotes, the value of `~=` also one in `/`
/// or `|`. An unknown field is never present; an absent one counts as "" for `!=` and `~=`. Source:
/// containerd, pkg/filters.
class Filter {
 public:
  /// Snapshots that any of `texts` chooses; all, when there is none.
  /// kInvalidArgument names the text and the place in it.
  static StatusOr<Filter> Parse(std::span<const std::string> texts);

  bool Matches(const Info& info) const;
  /// The value that the label `key` of everything it chooses has; nothing when there is no such.
  std::optional<std::string> LabelOfAll(std::string_view key) const;

 private:
  enum class Operator { kPresent, kEqual, kNotEqual, kMatches };
  class Expression;
  class Parser;
  struct Selector {
    std::string field;  // the path's first part
    std::string key;    // the other parts, joined by dots
    Operator op = Operator::kPresent;
    std::string value;
    std::shared_ptr<const Expression> expression;  // of kMatches

    bool Matches(const Info& info) const;
  };
  using AllOf = std::vector<Selector>;

  std::vector<AllOf> any_of_;  // an empty AllOf chooses everything
};

}  // namespace starling::snapshotter

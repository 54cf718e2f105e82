#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/status.h"
#include "dockerfile/syntax/position.h"

namespace starling::dockerfile::syntax {

/// A value, or the problem that there is none. Works with ASSIGN_OR_RETURN.
template <typename T>
class Checked {
 public:
  Checked(T value) : state_(std::move(value)) {}            // NOLINT(google-explicit-constructor)
  Checked(Problem problem) : state_(std::move(problem)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  T& operator*() & { return std::get<T>(state_); }
  const T& operator*() const& { return std::get<T>(state_); }
  T&& operator*() && { return std::get<T>(std::move(state_)); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }
  /// Only when it is not ok().
  const Problem& status() const { return std::get<Problem>(state_); }

 private:
  std::variant<T, Problem> state_;
};

inline Problem ProblemAt(Range range, std::string message, std::string suggestion = {}) {
  return {.message = std::move(message), .range = range, .suggestion = std::move(suggestion)};
}

/// `result`'s value, or its error at `range`.
template <typename T>
Checked<T> CheckedAt(Range range, StatusOr<T> result) {
  if (!result.ok()) {
    return ProblemAt(range, std::string(MessageOf(result.status())));
  }
  return *std::move(result);
}

}  // namespace starling::dockerfile::syntax

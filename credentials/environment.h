#pragma once

#include <map>
#include <string>
#include <utility>

namespace starling::credentials {

/// Variables by name: the process's own, or those that a secret holds. An ordinary value.
class Environment {
 public:
  Environment() = default;
  explicit Environment(std::map<std::string, std::string> variables)
      : variables_(std::move(variables)) {}
  /// As they are now.
  static Environment OfProcess();

  /// Empty when it is not set. Borrowed.
  const std::string& Get(const std::string& name) const;
  /// The same with `name` set to `value`.
  Environment With(const std::string& name, std::string value) const;
  /// HOME; root's where there is none, as for services.
  std::string Home() const { return Has("HOME") ? Get("HOME") : "/root"; }
  bool Has(const std::string& name) const { return !Get(name).empty(); }

 private:
  std::map<std::string, std::string> variables_;
};

}  // namespace starling::credentials

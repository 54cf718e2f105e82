#include "credentials/environment.h"

#include <string_view>

extern char** environ;

namespace starling::credentials {

Environment Environment::OfProcess() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (const size_t equals = text.find('='); equals != std::string_view::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return Environment(std::move(variables));
}

const std::string& Environment::Get(const std::string& name) const {
  static const std::string none;
  const auto found = variables_.find(name);
  return found == variables_.end() ? none : found->second;
}

Environment Environment::With(const std::string& name, std::string value) const {
  Environment longer = *this;
  longer.variables_[name] = std::move(value);
  return longer;
}

}  // namespace starling::credentials

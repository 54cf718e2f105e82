#include "credentials/aws_config.h"

#include <algorithm>

#include "base/text.h"

namespace starling::credentials {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxProfiles = 10'000;

bool IsSpace(char c) { return c == ' ' || c == '\t'; }

/// A comment begins a line, or follows a space.
std::string_view WithoutComment(std::string_view line) {
  for (size_t at = 0; at < line.size(); ++at) {
    if ((line[at] == '#' || line[at] == ';') && (at == 0 || IsSpace(line[at - 1]))) {
      return line.substr(0, at);
    }
  }
  return line;
}

/// The profile that a section stands for; empty when it is something else.
std::string_view ProfileOf(std::string_view section, AwsFile file) {
  section = TrimSpace(section);
  if (file == AwsFile::kCredentials || section == "default") {
    return section;
  }
  constexpr std::string_view kPrefix = "profile";
  const bool is_profile = section.starts_with(kPrefix) && section.size() > kPrefix.size() &&
                          IsSpace(section[kPrefix.size()]);
  return is_profile ? TrimSpace(section.substr(kPrefix.size())) : std::string_view();
}

Status ErrorAt(size_t line, std::string_view what) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("line {}: {}", line, what));
}

}  // namespace

Status ReadAwsProfiles(std::string_view text, AwsFile file, AwsProfiles& profiles) {
  if (text.size() > kMaxBytes) {
    return MakeError(StatusCode::kInvalidArgument, "it is larger than 1 MiB");
  }
  AwsProfile* profile = nullptr;
  bool in_section = false;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view whole = text.substr(at, end - at);
    const std::string_view line = TrimSpace(WithoutComment(whole));
    at = end + 1;
    ++number;
    if (line.empty()) {
      continue;
    }
    if (line.front() == '[') {
      const size_t close = line.find(']');
      if (close == std::string_view::npos) {
        return ErrorAt(number, "a section without ]");
      }
      const std::string_view name = ProfileOf(line.substr(1, close - 1), file);
      if (profiles.size() >= kMaxProfiles) {
        return ErrorAt(number, "too many profiles");
      }
      in_section = true;
      profile = name.empty() ? nullptr : &profiles[std::string(name)];
      continue;
    }
    // Indented lines belong to a nested setting.
    if (IsSpace(whole.front())) {
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return ErrorAt(number, "neither a section nor NAME = VALUE");
    }
    if (!in_section) {
      return ErrorAt(number, "a setting before the first section");
    }
    if (profile != nullptr) {
      (*profile)[LowerCase(TrimSpace(line.substr(0, equals)))] =
          std::string(TrimSpace(line.substr(equals + 1)));
    }
  }
  return OkStatus();
}

}  // namespace starling::credentials

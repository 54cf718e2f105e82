#include "credentials/image_pattern.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "credentials/docker_config.h"

namespace starling::credentials {
namespace {

/// The host's parts, its port and the path, which begins with '/' unless it is empty.
struct Place {
  std::vector<std::string> parts;
  std::string port;
  std::string path;
};

Place PlaceOf(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (text.starts_with(scheme)) {
      text.remove_prefix(scheme.size());
    }
  }
  Place place;
  std::string_view host = text.substr(0, text.find('/'));
  place.path = text.substr(host.size());
  // As docker's configuration has them: "https://r.example/v1/".
  if (place.path.starts_with("/v1/") || place.path.starts_with("/v2/")) {
    place.path.erase(0, 3);
  }
  if (place.path == "/") {
    place.path.clear();
  }
  if (const size_t colon = host.rfind(':');
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    place.port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  if (NamesRegistry(host, "docker.io")) {
    host = "docker.io";
  }
  for (;;) {
    const size_t dot = host.find('.');
    place.parts.push_back(LowerCase(host.substr(0, dot)));
    if (dot == std::string_view::npos) {
      return place;
    }
    host.remove_prefix(dot + 1);
  }
}

/// Reads the class "[...]" at the pattern's begin: whether it has `c`, and what follows it.
/// False for one without an end.
bool TakeClass(std::string_view& pattern, char c, bool& has) {
  std::string_view rest = pattern.substr(1);
  const bool is_negated = rest.starts_with('^');
  rest.remove_prefix(is_negated ? 1 : 0);
  has = false;
  for (bool is_first = true; !rest.empty(); is_first = false) {
    if (rest.front() == ']' && !is_first) {
      has = has != is_negated;
      pattern = rest.substr(1);
      return true;
    }
    const char low = rest.front();
    const bool is_range = rest.size() >= 3 && rest[1] == '-' && rest[2] != ']';
    const char high = is_range ? rest[2] : low;
    has = has || (low <= c && c <= high);
    rest.remove_prefix(is_range ? 3 : 1);
  }
  return false;
}

/// Goes back to the latest '*' only, so that it ends after pattern times text steps.
bool MatchesPart(std::string_view pattern, std::string_view text) {
  std::string_view after_star;
  std::string_view at_star;
  bool has_star = false;
  for (;;) {
    if (pattern.empty() && text.empty()) {
      return true;
    }
    if (pattern.starts_with('*')) {
      has_star = true;
      pattern.remove_prefix(1);
      after_star = pattern;
      at_star = text;
      continue;
    }
    std::string_view rest = pattern;
    bool fits = false;
    if (!pattern.empty() && !text.empty()) {
      if (pattern.front() == '[') {
        if (!TakeClass(rest, text.front(), fits)) {
          return false;
        }
      } else {
        fits = pattern.front() == '?' || pattern.front() == text.front();
        rest.remove_prefix(1);
      }
    }
    if (fits) {
      pattern = rest;
      text.remove_prefix(1);
    } else if (has_star && !at_star.empty()) {
      at_star.remove_prefix(1);
      pattern = after_star;
      text = at_star;
    } else {
      return false;
    }
  }
}

}  // namespace

bool MatchesImage(std::string_view pattern, const registry::CredentialRequest& image) {
  const Place wanted = PlaceOf(pattern);
  const Place place = PlaceOf(image.registry);
  const std::string path = image.repository.empty() ? "" : "/" + image.repository;
  return wanted.port == place.port && path.starts_with(wanted.path) &&
         std::ranges::equal(wanted.parts, place.parts,
                            [](const std::string& part, const std::string& text) {
                              // A part of an IPv6 address is not a class.
                              return part == text || MatchesPart(part, text);
                            });
}

std::vector<PatternLogin> LoginsFor(const registry::CredentialRequest& image,
                                    std::vector<PatternLogin> logins) {
  std::erase_if(
      logins, [&image](const PatternLogin& login) { return !MatchesImage(login.pattern, image); });
  std::ranges::stable_sort(logins, std::ranges::greater(), [](const PatternLogin& login) {
    const Place place = PlaceOf(login.pattern);
    return fmt::format("{}:{}{}", fmt::join(place.parts, "."), place.port, place.path);
  });
  return logins;
}

}  // namespace starling::credentials

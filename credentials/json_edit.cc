#include "credentials/json_edit.h"

#include <algorithm>
#include <optional>

#include "oci/json_fields.h"

namespace starling::credentials {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

struct Member {
  std::string key;
  size_t begin = 0;  // of the key
  size_t value_begin = 0;
  size_t value_end = 0;
};

struct Object {
  size_t begin = 0;  // its '{'
  size_t end = 0;    // its '}'
  std::vector<Member> members;

  const Member* Find(const std::string& key) const {
    // Of two with one name readers see the last.
    const auto found = std::find_if(members.rbegin(), members.rend(),
                                    [&key](const Member& member) { return member.key == key; });
    return found == members.rend() ? nullptr : &*found;
  }
};

/// Walks through a text that is known to be JSON.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  size_t SkipSpace(size_t at) const { return std::min(text_.find_first_not_of(kSpace, at), End()); }

  /// The object at `at`.
  Object ObjectAt(size_t at) const {
    Object object{.begin = at};
    at = SkipSpace(at + 1);
    while (text_[at] != '}') {
      Member member{.begin = at};
      const size_t key_end = SkipValue(at);
      member.key = nlohmann::json::parse(text_.substr(at, key_end - at)).get<std::string>();
      member.value_begin = SkipSpace(SkipSpace(key_end) + 1);
      member.value_end = SkipValue(member.value_begin);
      object.members.push_back(std::move(member));
      at = SkipSpace(object.members.back().value_end);
      if (text_[at] == ',') {
        at = SkipSpace(at + 1);
      }
    }
    object.end = at;
    return object;
  }

 private:
  size_t End() const { return text_.size(); }

  size_t SkipString(size_t at) const {
    for (++at; text_[at] != '"'; ++at) {
      at += text_[at] == '\\' ? 1 : 0;
    }
    return at + 1;
  }

  size_t SkipValue(size_t at) const {
    if (text_[at] == '"') {
      return SkipString(at);
    }
    if (text_[at] != '{' && text_[at] != '[') {
      return std::min(text_.find_first_of(",}] \t\r\n", at), End());
    }
    for (size_t depth = 0;;) {
      const char c = text_[at];
      if (c == '"') {
        at = SkipString(at);
        continue;
      }
      depth += c == '{' || c == '[' ? 1 : 0;
      depth -= c == '}' || c == ']' ? 1 : 0;
      ++at;
      if (depth == 0) {
        return at;
      }
    }
  }

  const std::string_view text_;
};

/// Where a path ends, as far as it leads.
struct Place {
  Object object;               // the innermost that exists
  size_t steps = 0;            // of the path that lead there
  std::optional<Member> last;  // what the whole path names
};

StatusOr<Place> Follow(std::string_view text, const std::vector<std::string>& path) {
  if (!nlohmann::json::accept(text)) {
    return MakeError(StatusCode::kInvalidArgument, "it is not JSON");
  }
  const Scanner scanner(text);
  Place place;
  size_t at = scanner.SkipSpace(0);
  for (;; ++place.steps) {
    if (text[at] != '{') {
      return MakeError(StatusCode::kInvalidArgument,
                       place.steps == 0
                           ? std::string("it is not a JSON object")
                           : fmt::format("\"{}\" is not an object", path[place.steps - 1]));
    }
    place.object = scanner.ObjectAt(at);
    const Member* member = place.object.Find(path[place.steps]);
    if (member == nullptr) {
      return place;
    }
    if (place.steps + 1 == path.size()) {
      place.last = *member;
      return place;
    }
    at = member->value_begin;
  }
}

std::string Quoted(const std::string& text) { return oci::WriteJson(text); }

}  // namespace

StatusOr<std::string> SetJsonMember(std::string_view text, const std::vector<std::string>& path,
                                    std::string_view value) {
  ASSIGN_OR_RETURN(const Place place, Follow(text, path));
  std::string edited(text);
  if (place.last) {
    edited.replace(place.last->value_begin, place.last->value_end - place.last->value_begin, value);
    return edited;
  }
  std::string inserted(value);
  for (size_t step = path.size() - 1; step > place.steps; --step) {
    inserted = fmt::format("{{{}: {}}}", Quoted(path[step]), inserted);
  }
  inserted = fmt::format("{}: {}", Quoted(path[place.steps]), inserted);
  const Object& object = place.object;
  if (object.members.empty()) {
    edited.replace(object.begin + 1, object.end - object.begin - 1, inserted);
    return edited;
  }
  // In the layout of its neighbours.
  const size_t first = object.members.front().begin;
  const std::string_view space = text.substr(object.begin + 1, first - object.begin - 1);
  edited.insert(object.members.back().value_end, fmt::format(",{}{}", space, inserted));
  return edited;
}

StatusOr<std::string> EraseJsonMember(std::string_view text, const std::vector<std::string>& path) {
  std::string edited(text);
  for (;;) {
    ASSIGN_OR_RETURN(const Place place, Follow(edited, path));
    if (!place.last) {
      return edited;
    }
    const std::vector<Member>& members = place.object.members;
    const auto found = std::ranges::find(members, place.last->begin, &Member::begin);
    size_t begin = found->begin;
    size_t end = found->value_end;
    if (found != members.begin()) {
      begin = std::prev(found)->value_end;
    } else if (std::next(found) != members.end()) {
      end = std::next(found)->begin;
    } else {
      begin = place.object.begin + 1;
      end = place.object.end;
    }
    edited.erase(begin, end - begin);
  }
}

}  // namespace starling::credentials

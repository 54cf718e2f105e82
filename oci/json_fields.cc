#include "oci/json_fields.h"

#include <limits>
#include <set>

namespace starling::oci {
namespace {

Status Malformed(const char* key, std::string_view problem) {
  return MakeError(StatusCode::kDataLoss, fmt::format("\"{}\" {}", key, problem));
}

/// Whether brackets outside of texts nest at most kMaxJsonDepth deep. Runs before the parser, which
/// would build any depth.
bool IsShallow(std::string_view text) {
  size_t depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_text = false;
      }
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) {
        return false;
      }
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return true;
}

}  // namespace

StatusOr<Json> ParseJsonObject(ByteSpan text, uint64_t limit_bytes, std::string_view what) {
  if (text.size() > limit_bytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("{}: {} bytes, at most {} are read", what, text.size(), limit_bytes));
  }
  if (!IsShallow(AsText(text))) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: nested more than {} deep", what, kMaxJsonDepth));
  }
  const std::string_view view = AsText(text);
  Json document = Json::parse(view.begin(), view.end(), nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{}: not JSON", what));
  }
  if (!document.is_object()) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{}: not a JSON object", what));
  }
  return document;
}

StatusOr<Json> ParseStrictJsonObject(ByteSpan text, int max_depth) {
  std::vector<std::set<std::string>> open_objects;
  std::string problem;
  const auto watch = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth > max_depth && problem.empty()) {
      problem = fmt::format("nested more than {} deep", max_depth);
    }
    if (!problem.empty()) {
      return false;
    }
    if (event == Json::parse_event_t::object_start) {
      open_objects.emplace_back();
    } else if (event == Json::parse_event_t::object_end && !open_objects.empty()) {
      open_objects.pop_back();
    } else if (event == Json::parse_event_t::key &&
               !open_objects.back().insert(parsed.get<std::string>()).second) {
      problem = fmt::format("\"{}\" is there twice in one object", parsed.get<std::string>());
    }
    return true;
  };
  const std::string_view view = AsText(text);
  Json document = Json::parse(view.begin(), view.end(), watch, /*allow_exceptions=*/false);
  if (!problem.empty()) {
    return MakeError(StatusCode::kInvalidArgument, problem);
  }
  if (!document.is_object()) {
    return MakeError(StatusCode::kInvalidArgument, "not a JSON object");
  }
  return document;
}

const Json* FindField(const Json& object, const char* key) {
  if (!object.is_object()) {
    return nullptr;
  }
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

StatusOr<std::string> TextField(const Json& object, const char* key) {
  const Json* field = FindField(object, key);
  if (field == nullptr) {
    return std::string();
  }
  if (!field->is_string()) {
    return Malformed(key, "is not a text");
  }
  return field->get<std::string>();
}

StatusOr<std::vector<std::string>> TextListField(const Json& object, const char* key) {
  const Json* field = FindField(object, key);
  if (field == nullptr) {
    return std::vector<std::string>();
  }
  if (field->is_string()) {
    return std::vector<std::string>{field->get<std::string>()};
  }
  if (!field->is_array()) {
    return Malformed(key, "is not a list of texts");
  }
  std::vector<std::string> texts;
  for (const Json& item : *field) {
    if (!item.is_string()) {
      return Malformed(key, "is not a list of texts");
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

StatusOr<uint64_t> SizeField(const Json& object, const char* key) {
  const Json* field = FindField(object, key);
  if (field == nullptr) {
    return Malformed(key, "is missing");
  }
  // Non-negative integers parse as unsigned; anything with a sign, point or exponent does not.
  if (!field->is_number_unsigned() ||
      field->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return Malformed(key, "is not a size in bytes");
  }
  return field->get<uint64_t>();
}

StatusOr<Digest> DigestField(const Json& object, const char* key) {
  ASSIGN_OR_RETURN(const std::string text, TextField(object, key));
  if (text.empty()) {
    return Malformed(key, "is missing");
  }
  auto digest = Digest::Parse(text);
  if (digest.status().code() == StatusCode::kInvalidArgument) {
    return MakeError(StatusCode::kDataLoss, MessageOf(digest.status()));
  }
  return digest;
}

std::string WriteJson(const Json& document) {
  return document.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace starling::oci

#include "yaml/to_json.h"

#include <yaml.h>

#include <utility>

#include "base/text.h"
#include "oci/json_fields.h"

namespace starling::yaml {
namespace {

/// libyaml's parser and the event that it gave last.
class Events {
 public:
  explicit Events(std::string_view text) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  ~Events() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }

  /// Borrowed until the next one.
  StatusOr<const yaml_event_t*> Next() {
    yaml_event_delete(&event_);
    if (yaml_parser_parse(&parser_, &event_) == 0) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("line {}: {}", parser_.problem_mark.line + 1,
                                   parser_.problem != nullptr ? parser_.problem : "not YAML"));
    }
    return &event_;
  }

 private:
  yaml_parser_t parser_{};
  yaml_event_t event_{};
};

Status ErrorAt(const yaml_event_t& event, std::string_view what) {
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("line {}: {}", event.start_mark.line + 1, what));
}

oci::Json ScalarOf(const yaml_event_t& event) {
  const std::string text(reinterpret_cast<const char*>(event.data.scalar.value),
                         event.data.scalar.length);
  const bool is_plain = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  if (is_plain && (text.empty() || text == "~" || text == "null")) {
    return nullptr;
  }
  return text;
}

/// Puts the events of a text together to values.
class Builder {
 public:
  /// Errors: of the event.
  Status Take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_SCALAR_EVENT:
        RETURN_IF_ERROR(CheckPlain(event, event.data.scalar.anchor, event.data.scalar.tag));
        return Add(event, ScalarOf(event));
      case YAML_MAPPING_START_EVENT:
        RETURN_IF_ERROR(
            CheckPlain(event, event.data.mapping_start.anchor, event.data.mapping_start.tag));
        return Open(event, oci::Json::object());
      case YAML_SEQUENCE_START_EVENT:
        RETURN_IF_ERROR(
            CheckPlain(event, event.data.sequence_start.anchor, event.data.sequence_start.tag));
        return Open(event, oci::Json::array());
      case YAML_MAPPING_END_EVENT:
      case YAML_SEQUENCE_END_EVENT: {
        oci::Json whole = std::move(open_.back().value);
        open_.pop_back();
        return Add(event, std::move(whole));
      }
      case YAML_ALIAS_EVENT:
        return ErrorAt(event, "an alias");
      default:
        return OkStatus();
    }
  }

  std::vector<std::string> documents;

 private:
  struct Level {
    oci::Json value;
    std::optional<std::string> key;  // of what comes next, in an object
  };

  static Status CheckPlain(const yaml_event_t& event, const yaml_char_t* anchor,
                           const yaml_char_t* tag) {
    if (anchor != nullptr) {
      return ErrorAt(event, "an anchor");
    }
    return tag != nullptr ? ErrorAt(event, "a tag") : OkStatus();
  }

  Status Open(const yaml_event_t& event, oci::Json empty) {
    if (open_.size() >= kMaxDepth) {
      return MakeError(
          StatusCode::kResourceExhausted,
          fmt::format("line {}: deeper than {} levels", event.start_mark.line + 1, kMaxDepth));
    }
    const bool is_key =
        !open_.empty() && open_.back().value.is_object() && !open_.back().key.has_value();
    if (is_key) {
      return ErrorAt(event, "a key that is no text");
    }
    open_.push_back({.value = std::move(empty), .key = std::nullopt});
    return OkStatus();
  }

  Status Add(const yaml_event_t& event, oci::Json value) {
    if (open_.empty()) {
      documents.push_back(oci::WriteJson(value));
      return OkStatus();
    }
    Level& parent = open_.back();
    if (parent.value.is_array()) {
      parent.value.push_back(std::move(value));
      return OkStatus();
    }
    if (!parent.key) {
      std::string key = value.is_string() ? value.get<std::string>() : std::string();
      if (parent.value.contains(key)) {
        return ErrorAt(event, "a key for the second time");
      }
      parent.key = std::move(key);
      return OkStatus();
    }
    parent.value[*std::exchange(parent.key, std::nullopt)] = std::move(value);
    return OkStatus();
  }

  std::vector<Level> open_;
};

}  // namespace

StatusOr<std::vector<std::string>> ToJson(std::string_view text) {
  if (text.size() > kMaxBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} bytes, at most {} are read", text.size(), kMaxBytes));
  }
  // JSON is YAML but for tabs, and its own parser knows its numbers.
  if (TrimSpace(text).starts_with('{')) {
    const auto object = oci::ParseJsonObject(AsBytes(text), kMaxBytes, "JSON");
    if (!object.ok()) {
      return MakeError(StatusCode::kInvalidArgument, MessageOf(object.status()));
    }
    return std::vector<std::string>{oci::WriteJson(*object)};
  }
  Events events(text);
  Builder builder;
  for (;;) {
    ASSIGN_OR_RETURN(const yaml_event_t* event, events.Next());
    if (event->type == YAML_STREAM_END_EVENT) {
      return std::move(builder.documents);
    }
    RETURN_IF_ERROR(builder.Take(*event));
  }
}

}  // namespace starling::yaml

#include "dockerfile/syntax/json_strings.h"

#include <nlohmann/json.hpp>

#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::syntax {
namespace {

using Json = nlohmann::json;

// More brackets in brackets than this are no command; a document's memory is many times its text.
constexpr int kMaxJsonDepth = 32;

/// Collects strings while the text is read, so that the rest of a document takes no memory.
class StringsReader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Other(); }
  bool boolean(bool /*value*/) override { return Other(); }
  bool number_integer(number_integer_t /*value*/) override { return Other(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return Other(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return Other(); }
  bool binary(binary_t& /*value*/) override { return Other(); }
  bool string(string_t& value) override {
    if (depth_ == 1) {
      strings_.push_back(std::move(value));
    }
    return true;
  }
  bool start_array(std::size_t /*elements*/) override { return Begin(); }
  bool end_array() override { return End(); }
  bool start_object(std::size_t /*elements*/) override { return Begin(); }
  bool end_object() override { return End(); }
  bool key(string_t& /*value*/) override { return true; }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const Json::exception& /*error*/) override {
    return false;
  }

  bool only_strings() const { return only_strings_; }
  std::vector<std::string> Take() { return std::move(strings_); }

 private:
  bool Other() {
    only_strings_ = false;
    return true;
  }
  bool Begin() {
    only_strings_ = only_strings_ && depth_ == 0;
    return ++depth_ <= kMaxJsonDepth;
  }
  bool End() {
    --depth_;
    return true;
  }

  std::vector<std::string> strings_;
  int depth_ = 0;
  bool only_strings_ = true;
};

}  // namespace

StatusOr<std::optional<std::vector<std::string>>> ParseJsonStrings(std::string_view text) {
  text = TrimSpaceLeft(text);
  if (!text.starts_with('[')) {
    return std::nullopt;
  }
  StringsReader reader;
  if (!Json::sax_parse(text.begin(), text.end(), &reader)) {
    return std::nullopt;
  }
  if (!reader.only_strings()) {
    return MakeError(StatusCode::kInvalidArgument,
                     "a JSON array here may have nothing but strings in it");
  }
  return reader.Take();
}

std::string JsonOfStrings(const std::vector<std::string>& strings) {
  return Json(strings).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace starling::dockerfile::syntax

#include "registry/api_error.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "registry/url.h"

namespace starling::registry {
namespace {

constexpr size_t kMaxMessageBytes = 300;

StatusCode CodeOf(int status) {
  switch (status) {
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kNotFound;
    case 408:
      return StatusCode::kUnavailable;
    case 416:
      return StatusCode::kOutOfRange;
    case 429:
      return StatusCode::kResourceExhausted;
    default:
      return status >= 500 ? StatusCode::kUnavailable : StatusCode::kFailedPrecondition;
  }
}

std::string_view NameOf(int status) {
  switch (status) {
    case 400:
      return " Bad Request";
    case 401:
      return " Unauthorized";
    case 403:
      return " Forbidden";
    case 404:
      return " Not Found";
    case 405:
      return " Method Not Allowed";
    case 416:
      return " Range Not Satisfiable";
    case 429:
      return " Too Many Requests";
    case 500:
      return " Internal Server Error";
    case 502:
      return " Bad Gateway";
    case 503:
      return " Service Unavailable";
    case 504:
      return " Gateway Timeout";
    default:
      return "";
  }
}

std::string Text(const nlohmann::json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

nlohmann::json Parsed(ByteSpan body) { return nlohmann::json::parse(AsText(body), nullptr, false); }

/// "CODE: message" of the first error; empty when there is none to read.
std::string OwnWords(ByteSpan body) {
  const auto json = Parsed(body);
  if (!json.is_object()) {
    return {};
  }
  const auto errors = json.find("errors");
  if (errors != json.end() && errors->is_array() && !errors->empty()) {
    const auto& first = errors->front();
    const std::string code = Text(first, "code");
    const std::string message = Text(first, "message");
    return code.empty() || message.empty() ? code + message : code + ": " + message;
  }
  for (const char* key : {"details", "message", "error_description", "error"}) {
    if (std::string words = Text(json, key); !words.empty()) {
      return words;
    }
  }
  return {};
}

}  // namespace

Status ErrorOfResponse(const HttpResponse& response, std::string_view context) {
  const std::string words = OwnWords(response.body);
  return MakeError(
      CodeOf(response.status),
      fmt::format("{}: answered {}{}{}", context, response.status, NameOf(response.status),
                  words.empty() ? std::string()
                                : fmt::format(" ({})", Printable(words, kMaxMessageBytes))));
}

bool NamesError(const HttpResponse& response, std::string_view code) {
  const auto json = Parsed(response.body);
  const auto errors = json.is_object() ? json.find("errors") : json.end();
  return errors != json.end() && errors->is_array() &&
         std::ranges::any_of(*errors, [&](const auto& e) { return Text(e, "code") == code; });
}

}  // namespace starling::registry

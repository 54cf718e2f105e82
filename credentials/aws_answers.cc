#include "credentials/aws_answers.h"

#include <cmath>
#include <optional>
#include <utility>

#include "base/hex.h"
#include "base/text.h"
#include "base/timestamp.h"
#include "oci/json_fields.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

constexpr uint64_t kMaxAnswerBytes = 1 << 20;
constexpr size_t kMaxErrorBytes = 200;

Status Unusable(std::string_view what) {
  return MakeError(StatusCode::kUnauthenticated, fmt::format("the answer holds no {}", what));
}

StatusOr<AwsTemporaryKeys> Checked(AwsTemporaryKeys found) {
  const AwsKeys& keys = found.keys;
  if (keys.access_key_id.empty() || keys.secret_access_key.empty() ||
      !IsOneWord(keys.access_key_id) || !IsOneWord(keys.secret_access_key) ||
      !IsOneWord(keys.session_token)) {
    return Unusable("usable keys");
  }
  return found;
}

/// The text between <name> and </name>, first after `from`; nothing else of XML is needed. Keys and
/// times hold no entities.
std::string_view ElementOf(std::string_view xml, std::string_view name) {
  const std::string open = fmt::format("<{}>", name);
  const size_t start = xml.find(open);
  if (start == std::string_view::npos) {
    return {};
  }
  xml.remove_prefix(start + open.size());
  const size_t end = xml.find(fmt::format("</{}>", name));
  return end == std::string_view::npos ? std::string_view() : xml.substr(0, end);
}

}  // namespace

StatusOr<std::chrono::system_clock::time_point> ParseEnd(std::string_view text) {
  // The clock counts nanoseconds: later years overflow it.
  constexpr int64_t kLatest = 7258118400;  // 2200-01-01
  const std::optional<int64_t> seconds = ParseTimestamp(text);
  if (!seconds || *seconds < 0 || *seconds > kLatest) {
    return MakeError(StatusCode::kInvalidArgument, "not a time");
  }
  return std::chrono::system_clock::time_point(std::chrono::seconds(*seconds));
}

StatusOr<AwsTemporaryKeys> ParseAwsKeys(ByteSpan json) {
  const auto document = oci::ParseJsonObject(json, kMaxAnswerBytes, "keys");
  if (!document.ok()) {
    return Unusable("JSON object");
  }
  const auto text = [&document](const char* name) {
    return oci::TextField(*document, name).value_or("");
  };
  const std::string code = text("Code");
  if (!code.empty() && code != "Success") {
    return MakeError(StatusCode::kUnauthenticated,
                     fmt::format("the answer says {}", registry::Printable(code, kMaxErrorBytes)));
  }
  const auto expires_at = ParseEnd(text("Expiration"));
  if (!expires_at.ok()) {
    return Unusable("usable Expiration");
  }
  return Checked({.keys = {.access_key_id = text("AccessKeyId"),
                           .secret_access_key = text("SecretAccessKey"),
                           .session_token = text("Token")},
                  .expires_at = *expires_at});
}

StatusOr<AwsTemporaryKeys> ParseStsAnswer(ByteSpan xml) {
  if (xml.size() > kMaxAnswerBytes) {
    return Unusable("answer of a reasonable size");
  }
  const std::string_view found = ElementOf(AsText(xml), "Credentials");
  const auto expires_at = ParseEnd(ElementOf(found, "Expiration"));
  if (!expires_at.ok()) {
    return Unusable("usable Credentials");
  }
  return Checked({.keys = {.access_key_id = std::string(ElementOf(found, "AccessKeyId")),
                           .secret_access_key = std::string(ElementOf(found, "SecretAccessKey")),
                           .session_token = std::string(ElementOf(found, "SessionToken"))},
                  .expires_at = *expires_at});
}

std::string StsErrorWords(ByteSpan xml) {
  const std::string_view error =
      ElementOf(AsText(xml.first(std::min<size_t>(xml.size(), 64 << 10))), "Error");
  const std::string code = registry::Printable(ElementOf(error, "Code"), kMaxErrorBytes);
  const std::string message = registry::Printable(ElementOf(error, "Message"), kMaxErrorBytes);
  return code.empty() || message.empty() ? code + message : code + ": " + message;
}

StatusOr<EcrLogin> ParseEcrLogin(ByteSpan json) {
  const auto document = oci::ParseJsonObject(json, kMaxAnswerBytes, "login");
  if (!document.ok()) {
    return Unusable("JSON object");
  }
  // A list in ECR's answer, an object in the public one's.
  const oci::Json* data = oci::FindField(*document, "authorizationData");
  if (data != nullptr && data->is_array() && !data->empty()) {
    data = &data->front();
  }
  if (data == nullptr || !data->is_object()) {
    return Unusable("authorizationData");
  }
  const auto unpacked = Base64Decode(oci::TextField(*data, "authorizationToken").value_or(""));
  const std::string_view login = unpacked ? AsText(*unpacked) : std::string_view();
  const size_t colon = login.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == login.size() ||
      !IsOneWord(login)) {
    return Unusable("usable authorizationToken");
  }
  const oci::Json* expiry = oci::FindField(*data, "expiresAt");
  constexpr double kLastSecond = 7e9;  // in the year 2191
  const double seconds = expiry != nullptr && expiry->is_number() ? expiry->get<double>() : -1;
  if (!(seconds >= 0 && seconds <= kLastSecond)) {
    return Unusable("usable expiresAt");
  }
  return EcrLogin{.username = std::string(login.substr(0, colon)),
                  .password = std::string(login.substr(colon + 1)),
                  .expires_at = std::chrono::system_clock::time_point(
                      std::chrono::seconds(static_cast<int64_t>(std::floor(seconds))))};
}

}  // namespace starling::credentials

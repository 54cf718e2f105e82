#include "credentials/aws_answers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/hex.h"
#include "credentials/text.h"
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

/// `count` digits at `at`, or -1.
int DigitsAt(std::string_view text, size_t at, size_t count) {
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (i >= text.size() || text[i] < '0' || text[i] > '9') {
      return -1;
    }
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

}  // namespace

StatusOr<std::chrono::system_clock::time_point> ParseUtcTime(std::string_view text) {
  using namespace std::chrono;  // NOLINT(google-build-using-namespace)
  const auto bad = [] { return MakeError(StatusCode::kInvalidArgument, "not a time in UTC"); };
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() <= kShape.size() || text.size() > 40 || text.back() != 'Z') {
    return bad();
  }
  for (size_t at = 0; at < kShape.size(); ++at) {
    if (kShape[at] != '0' && text[at] != kShape[at]) {
      return bad();
    }
  }
  const std::string_view fraction = text.substr(kShape.size(), text.size() - kShape.size() - 1);
  const bool is_fraction = fraction.size() > 1 && fraction[0] == '.' &&
                           std::all_of(fraction.begin() + 1, fraction.end(),
                                       [](char c) { return c >= '0' && c <= '9'; });
  if (!fraction.empty() && !is_fraction) {
    return bad();
  }
  const std::array<std::pair<size_t, size_t>, 6> kFields = {
      {{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}}};
  std::array<int, 6> values{};
  for (size_t i = 0; i < kFields.size(); ++i) {
    values[i] = DigitsAt(text, kFields[i].first, kFields[i].second);
    if (values[i] < 0) {
      return bad();
    }
  }
  const year_month_day date(year{values[0]}, month{static_cast<unsigned>(values[1])},
                            day{static_cast<unsigned>(values[2])});
  // system_clock counts nanoseconds: later years overflow it.
  if (!date.ok() || values[0] < 1970 || values[0] > 2200 || values[3] > 23 || values[4] > 59 ||
      values[5] > 60) {
    return bad();
  }
  return sys_days(date) + hours(values[3]) + minutes(values[4]) + seconds(values[5]);
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
  const auto expires_at = ParseUtcTime(text("Expiration"));
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
  const auto expires_at = ParseUtcTime(ElementOf(found, "Expiration"));
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

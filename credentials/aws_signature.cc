#include "credentials/aws_signature.h"

#include <fmt/chrono.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "base/hex.h"
#include "base/text.h"
#include "oci/digest.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string HmacSha256(std::string_view key, std::string_view text) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size_bytes = 0;
  const ByteSpan message = AsBytes(text);
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), AsUnsigned(message), message.size(),
       mac, &size_bytes);
  return {reinterpret_cast<const char*>(mac), size_bytes};
}

/// Without spaces at both ends, and with single ones inside.
std::string TrimAll(std::string_view value) {
  std::string trimmed;
  for (const char c : value) {
    if (c != ' ' || (!trimmed.empty() && trimmed.back() != ' ')) {
      trimmed.push_back(c);
    }
  }
  if (!trimmed.empty() && trimmed.back() == ' ') {
    trimmed.pop_back();
  }
  return trimmed;
}

std::string CanonicalPath(std::string_view path) {
  std::string canonical;
  for (size_t at = 0; at < path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    canonical += PercentEncode(path.substr(at, slash - at));
    canonical += slash < path.size() ? "/" : "";
    at = slash + 1;
  }
  return canonical.empty() ? "/" : canonical;
}

std::string CanonicalQuery(const AwsRequest& request) {
  std::vector<std::pair<std::string, std::string>> encoded;
  encoded.reserve(request.query.size());
  for (const auto& [name, value] : request.query) {
    encoded.emplace_back(PercentEncode(name), PercentEncode(value));
  }
  std::ranges::sort(encoded);
  std::string canonical;
  for (const auto& [name, value] : encoded) {
    canonical += fmt::format("{}{}={}", canonical.empty() ? "" : "&", name, value);
  }
  return canonical;
}

}  // namespace

std::vector<registry::Header> SignAwsRequest(const AwsRequest& request, const AwsKeys& keys,
                                             const AwsScope& scope) {
  const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(scope.time);
  const std::string time = fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(seconds));
  const std::string date = time.substr(0, time.find('T'));

  std::map<std::string, std::string> signed_headers = {{"host", request.host},
                                                       {"x-amz-date", time}};
  if (!keys.session_token.empty()) {
    signed_headers["x-amz-security-token"] = keys.session_token;
  }
  for (const registry::Header& header : request.headers) {
    std::string& value = signed_headers[LowerCase(header.name)];
    value += (value.empty() ? "" : ",") + TrimAll(header.value);
  }
  std::string canonical_headers;
  std::string names;
  for (const auto& [name, value] : signed_headers) {
    canonical_headers += fmt::format("{}:{}\n", name, value);
    names += (names.empty() ? "" : ";") + name;
  }
  const std::string canonical = fmt::format(
      "{}\n{}\n{}\n{}\n{}\n{}", request.method, CanonicalPath(request.path),
      CanonicalQuery(request), canonical_headers, names, oci::Digest::Of(request.body).Hex());

  const std::string reach = fmt::format("{}/{}/{}/aws4_request", date, scope.region, scope.service);
  const std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, reach,
                                          oci::Digest::Of(AsBytes(canonical)).Hex());
  std::string key = HmacSha256("AWS4" + keys.secret_access_key, date);
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service),
        std::string_view("aws4_request")}) {
    key = HmacSha256(key, part);
  }
  const std::string signature = HexEncode(AsBytes(HmacSha256(key, to_sign)));

  std::vector<registry::Header> headers = {{.name = "X-Amz-Date", .value = time}};
  if (!keys.session_token.empty()) {
    headers.push_back({.name = "X-Amz-Security-Token", .value = keys.session_token});
  }
  headers.push_back(
      {.name = "Authorization",
       .value = fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                            keys.access_key_id, reach, names, signature)});
  return headers;
}

}  // namespace starling::credentials

#include "registry/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include <memory>

#include "base/text.h"

namespace starling::registry {
namespace {

constexpr size_t kMaxUrlBytes = 16 << 10;

struct CloseUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using CurlUrl = std::unique_ptr<CURLU, CloseUrl>;

std::string Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == nullptr) {
    return {};
  }
  std::string result = text;
  curl_free(text);
  return result;
}

Status CheckText(std::string_view text) {
  if (text.empty() || text.size() > kMaxUrlBytes || !IsOneWord(text)) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("not a URL: \"{}\"", Printable(text.substr(0, text.find('?')), 100)));
  }
  return OkStatus();
}

}  // namespace

StatusOr<Url> Url::Parse(std::string_view text) {
  RETURN_IF_ERROR(CheckText(text));
  const std::string shown = Printable(text.substr(0, text.find('?')), 200);
  const CurlUrl parsed(curl_url());
  if (curl_url_set(parsed.get(), CURLUPART_URL, std::string(text).c_str(), CURLU_DISALLOW_USER) !=
      CURLUE_OK) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" is not a URL of a registry", shown));
  }
  curl_url_set(parsed.get(), CURLUPART_FRAGMENT, nullptr, 0);
  Url url;
  url.text_ = Part(parsed.get(), CURLUPART_URL);
  url.scheme_ = Part(parsed.get(), CURLUPART_SCHEME);
  url.host_ = Part(parsed.get(), CURLUPART_HOST);
  if (url.host_.starts_with('[') && url.host_.ends_with(']')) {
    url.host_ = url.host_.substr(1, url.host_.size() - 2);
  }
  url.host_ = LowerCase(url.host_);
  // libcurl undoes %XX in the host.
  if ((url.scheme_ != "http" && url.scheme_ != "https") || url.host_.empty() ||
      !IsOneWord(url.host_)) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" is not an http or https URL", shown));
  }
  url.port_ = std::atoi(Part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT).c_str());
  return url;
}

StatusOr<Url> Url::Resolve(std::string_view location) const {
  RETURN_IF_ERROR(CheckText(location));
  const CurlUrl resolved(curl_url());
  // Setting a URL on top of another resolves it as a browser would.
  if (curl_url_set(resolved.get(), CURLUPART_URL, text_.c_str(), 0) != CURLUE_OK ||
      curl_url_set(resolved.get(), CURLUPART_URL, std::string(location).c_str(),
                   CURLU_DISALLOW_USER) != CURLUE_OK) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" is not a location",
                                 Printable(location.substr(0, location.find('?')), 200)));
  }
  return Parse(Part(resolved.get(), CURLUPART_URL));
}

bool Url::SameOrigin(const Url& other) const {
  return scheme_ == other.scheme_ && host_ == other.host_ && port_ == other.port_;
}

std::string Url::ForMessages() const { return text_.substr(0, text_.find('?')); }

StatusOr<Url> Url::WithQuery(std::string_view name, std::string_view value) const {
  return Parse(fmt::format("{}{}{}={}", text_, text_.find('?') == std::string::npos ? '?' : '&',
                           name, PercentEncode(value)));
}

std::string HostAndPort(const Url& url) {
  const bool is_v6 = url.host().find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", url.host()) : url.host();
  const bool is_default = url.port() == (url.encrypted() ? 443 : 80);
  return is_default ? host : fmt::format("{}:{}", host, url.port());
}

bool IsLoopback(std::string_view host) {
  const std::string name(host);
  in_addr v4{};
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return strcasecmp(name.c_str(), "localhost") == 0;
}

std::string Printable(std::string_view text, size_t limit) {
  std::string clean;
  for (const char c : text.substr(0, limit)) {
    clean.push_back(c >= ' ' && c < 0x7f ? c : '?');
  }
  if (text.size() > limit) {
    clean += "...";
  }
  return clean;
}

}  // namespace starling::registry

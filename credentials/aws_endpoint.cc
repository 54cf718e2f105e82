#include "credentials/aws_endpoint.h"

#include <utility>

#include "registry/url.h"

namespace starling::credentials {
namespace {

/// As the transport writes it into the Host header.
std::string HostHeader(const registry::Url& url) {
  const bool is_v6 = url.host().find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", url.host()) : url.host();
  const int usual_port = url.encrypted() ? 443 : 80;
  return url.port() == usual_port ? host : fmt::format("{}:{}", host, url.port());
}

std::string PathOf(const registry::Url& url) {
  const std::string& text = url.text();
  const size_t path = text.find('/', text.find("//") + 2);
  return path == std::string::npos ? "/" : text.substr(path, text.find('?', path) - path);
}

}  // namespace

std::string AwsEndpoint(const Environment& environment, const std::string& service,
                        std::string usual) {
  for (const std::string& variable :
       {"AWS_ENDPOINT_URL_" + service, std::string("AWS_ENDPOINT_URL")}) {
    if (environment.Has(variable)) {
      return environment.Get(variable);
    }
  }
  return usual;
}

std::string AwsDomain(const std::string& region) {
  return region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

StatusOr<registry::HttpRequest> SignedPost(const std::string& url,
                                           std::vector<registry::Header> headers, Bytes body,
                                           const AwsKeys& keys, const AwsScope& scope) {
  ASSIGN_OR_RETURN(const registry::Url parsed, registry::Url::Parse(url));
  const std::vector<registry::Header> signature = SignAwsRequest(
      {.host = HostHeader(parsed), .path = PathOf(parsed), .headers = headers, .body = body}, keys,
      scope);
  headers.insert(headers.end(), signature.begin(), signature.end());
  return registry::HttpRequest{.method = "POST",
                               .url = parsed.text(),
                               .headers = std::move(headers),
                               .body = std::move(body)};
}

}  // namespace starling::credentials

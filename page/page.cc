#include "page/page.h"

#include <arpa/inet.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "inspect/status_json.h"
#include "page/assets.h"

namespace starling::page {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds kToldAgain(500);

constexpr std::string_view kHeaders =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Cache-Control: no-store\r\n";

/// Without its port.
std::string_view NameIn(std::string_view host) {
  const size_t colon = host.rfind(':');
  return colon == std::string_view::npos || host.ends_with(']') ? host : host.substr(0, colon);
}

bool IsLoopback(std::string_view host) {
  const std::string name(NameIn(host));
  in_addr address{};
  const bool is_ipv4 = ::inet_pton(AF_INET, name.c_str(), &address) == 1;
  return name == "localhost" || name == "[::1]" ||
         (is_ipv4 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
}

class Site {
 public:
  Site(layer::StatusSource& status, const Clock& clock, std::string version)
      : status_(status), clock_(clock), version_(std::move(version)) {}

  http::Answer Answer(const http::Request& request) {
    http::Answer answer = Find(request);
    answer.headers = kHeaders;
    return answer;
  }

 private:
  struct Told {
    std::chrono::steady_clock::time_point at;
    http::Answer answer;
  };

  http::Answer Find(const http::Request& request) {
    if (!IsLoopback(request.host)) {
      return http::Refusal("403 Forbidden", "ask for localhost: the page is not for other names");
    }
    static const std::map<std::string_view, std::pair<std::string_view, std::string_view>> kAssets =
        {{"/", {"text/html; charset=utf-8", kIndexHtml}},
         {"/page.css", {"text/css; charset=utf-8", kPageCss}},
         {"/page.js", {"text/javascript; charset=utf-8", kPageJs}}};
    if (const auto asset = kAssets.find(request.path); asset != kAssets.end()) {
      return {.content_type = std::string(asset->second.first),
              .headers = {},
              .body = std::string(asset->second.second)};
    }
    if (request.path == "/status.json") {
      return Tell(request.path, [this] { return StatusJson(); });
    }
    if (request.path == "/trace.json") {
      return Tell(request.path, [this]() -> StatusOr<Json> {
        ASSIGN_OR_RETURN(const layer::TracedReads traced, status_.SlowReads());
        return inspect::ToJson(traced);
      });
    }
    if (request.path == "/starts.json") {
      return Tell(request.path, [this]() -> StatusOr<Json> {
        ASSIGN_OR_RETURN(const std::vector<layer::ImageStart> starts, status_.Starts());
        return inspect::ToJson(starts);
      });
    }
    return http::Refusal("404 Not Found", "the page is at /");
  }

  StatusOr<Json> StatusJson() {
    ASSIGN_OR_RETURN(const std::vector<layer::LayerStatus> layers, status_.Layers());
    Json json = {{"version", version_}, {"time", inspect::FormatTimestamp(clock_.WallTime())}};
    json.update(inspect::ToJson(layer::ByImage(layers)));
    return json;
  }

  http::Answer Tell(const std::string& path, const std::function<StatusOr<Json>()>& find) {
    Told& told = told_[path];
    if (told.answer.body.empty() || clock_.Now() - told.at >= kToldAgain) {
      const StatusOr<Json> found = find();
      if (!found.ok()) {
        return http::Refusal("503 Service Unavailable", Describe(found.status()));
      }
      told.answer = {.content_type = "application/json",
                     .headers = {},
                     .body = found->dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"};
      told.at = clock_.Now();
    }
    return told.answer;
  }

  layer::StatusSource& status_;
  const Clock& clock_;
  const std::string version_;
  std::map<std::string, Told> told_;  // by path
};

}  // namespace

http::Handler HandlerOf(layer::StatusSource& status, const Clock& clock, std::string version) {
  return [site = std::make_shared<Site>(status, clock, std::move(version))](
             const http::Request& request) { return site->Answer(request); };
}

}  // namespace starling::page

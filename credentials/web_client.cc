#include "credentials/web_client.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/bytes.h"
#include "base/text.h"
#include "registry/api_error.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

using registry::HttpRequest;
using registry::HttpResponse;

constexpr std::chrono::seconds kPatience(15);
constexpr std::chrono::seconds kPatienceNearby(2);
constexpr uint64_t kMaxAnswerBytes = 1 << 20;
constexpr size_t kPieceBytes = 12;  // of a secret: fewer may be a coincidence

}  // namespace

WebClient::WebClient(Dependencies dependencies)
    : deps_{.transport = dependencies.transport,
            .clock = dependencies.clock,
            .pauses = std::make_shared<registry::HostPauses>(),
            .outages = std::make_shared<registry::Outages>(nullptr)} {}

StatusOr<HttpResponse> WebClient::Ask(HttpRequest request) const {
  return Send(std::move(request), {.deadline = deps_.clock.Now() + kPatience, .max_retries = 3});
}

StatusOr<HttpResponse> WebClient::AskNearby(HttpRequest request) const {
  request.proxy = registry::Proxy::kNever;
  return Send(std::move(request),
              {.deadline = deps_.clock.Now() + kPatienceNearby, .max_retries = 1});
}

StatusOr<HttpResponse> WebClient::Send(HttpRequest request, registry::RetryPolicy policy) const {
  request.max_body_bytes = kMaxAnswerBytes;
  // Shared: the waiter may be gone before set_value() returns.
  const auto promise = std::make_shared<std::promise<StatusOr<HttpResponse>>>();
  auto answer = promise->get_future();
  registry::SendWithRetries(
      deps_, std::move(request), policy,
      [promise](StatusOr<HttpResponse> response) { promise->set_value(std::move(response)); });
  return answer.get();
}

HttpRequest FormRequest(std::string url, const std::vector<FormField>& fields) {
  HttpRequest request{
      .method = "POST",
      .url = std::move(url),
      .headers = {{.name = "Content-Type", .value = "application/x-www-form-urlencoded"}}};
  std::string body;
  for (const FormField& field : fields) {
    body += body.empty() ? "" : "&";
    body += fmt::format("{}={}", field.name, PercentEncode(field.value));
  }
  request.body = ToBytes(body);
  return request;
}

Status CheckEncrypted(std::string_view url, std::string_view what) {
  const auto parsed = registry::Url::Parse(url);
  if (!parsed.ok()) {
    return Annotate(parsed.status(), what);
  }
  if (!parsed->encrypted() && !registry::IsLoopback(parsed->host())) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{}: {} is not https, so no secret is sent there", what,
                                 parsed->ForMessages()));
  }
  return OkStatus();
}

bool TellsSecret(std::string_view text, const std::vector<std::string>& secrets) {
  return std::ranges::any_of(secrets, [&text](std::string_view secret) {
    const size_t piece_bytes = std::min<size_t>(secret.size(), kPieceBytes);
    for (size_t at = 0; piece_bytes > 0 && at + piece_bytes <= secret.size(); ++at) {
      if (text.find(secret.substr(at, piece_bytes)) != std::string_view::npos) {
        return true;
      }
    }
    return false;
  });
}

Status ErrorOfService(const HttpResponse& response, std::string_view what,
                      const std::vector<std::string>& secrets) {
  const Status error = registry::ErrorOfResponse(response, what);
  if (!TellsSecret(MessageOf(error), secrets)) {
    return error;
  }
  return registry::ErrorOfResponse({.status = response.status, .headers = {}, .body = {}}, what);
}

Status RefusalOf(const HttpResponse& response, std::string_view what,
                 const std::vector<std::string>& secrets) {
  const Status error = ErrorOfService(response, what, secrets);
  return error.code() == StatusCode::kNotFound
             ? MakeError(StatusCode::kFailedPrecondition, MessageOf(error))
             : error;
}

}  // namespace starling::credentials

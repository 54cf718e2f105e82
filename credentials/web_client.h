#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "registry/http_transport.h"
#include "registry/retry.h"

namespace starling::credentials {

/// Asks the services that give out credentials, and waits for their answers.
/// Threads: safe; never on the transport's thread.
class WebClient {
 public:
  struct Dependencies {
    registry::HttpTransport& transport;
    const Clock& clock;
  };
  explicit WebClient(Dependencies dependencies);

  /// A service on the Internet: 15 s, a few retries.
  StatusOr<registry::HttpResponse> Ask(registry::HttpRequest request) const;
  /// A service of the machine or its cloud, which is there at once or not at all: 2 s, one retry,
  /// never through a proxy.
  StatusOr<registry::HttpResponse> AskNearby(registry::HttpRequest request) const;

 private:
  StatusOr<registry::HttpResponse> Send(registry::HttpRequest request,
                                        registry::RetryPolicy policy) const;
  const registry::RetryDependencies deps_;
};

/// A form's field.
struct FormField {
  std::string_view name;
  std::string value;
};
/// A POST of application/x-www-form-urlencoded.
registry::HttpRequest FormRequest(std::string url, const std::vector<FormField>& fields);

/// kInvalidArgument for a URL to which no secret should go: not https, and not on this machine.
/// `what` starts the message.
Status CheckEncrypted(std::string_view url, std::string_view what);

/// Whether `text` holds one of `secrets`, or a piece of one: texts are cut off.
bool TellsSecret(std::string_view text, const std::vector<std::string>& secrets);

/// The error of an answer that is not 200, in the service's own words as far as they hold none of
/// `secrets`. `what` starts the message.
Status ErrorOfService(const registry::HttpResponse& response, std::string_view what,
                      const std::vector<std::string>& secrets);
/// The same of an answer to what is configured: never kNotFound, which would mean that nothing is.
Status RefusalOf(const registry::HttpResponse& response, std::string_view what,
                 const std::vector<std::string>& secrets);

}  // namespace starling::credentials

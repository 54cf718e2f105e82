/// What the tests of the client's parts share: a registry that is a function.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "oci/digest.h"
#include "registry/client.h"
#include "tests/support/fake_transport.h"

namespace starling::registry {

using testing_support::FakeTransport;
using testing_support::ManualClock;

class FakeCredentials : public CredentialSource {
 public:
  explicit FakeCredentials(StatusOr<Credentials> answer) : answer_(std::move(answer)) {}
  std::string Name() const override { return "fake source"; }
  StatusOr<Credentials> Find(const CredentialRequest& request) override {
    ++asked;
    asked_for = request.registry;
    return answer_;
  }
  void Refused(const CredentialRequest&, const Credentials&) override { ++refused; }
  std::atomic<int> asked = 0;
  std::atomic<int> refused = 0;
  std::string asked_for;

 private:
  const StatusOr<Credentials> answer_;
};

inline HttpResponse Answer(int status, std::string_view body = "",
                           std::vector<Header> headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = ToBytes(body)};
}

inline HttpResponse PartOf(std::string_view content, size_t first, size_t last) {
  return Answer(206, content.substr(first, last - first + 1),
                {{"Content-Range", fmt::format("bytes {}-{}/{}", first, last, content.size())}});
}

/// A client whose network is a function.
struct Harness {
  explicit Harness(FakeTransport::Handler handler, std::vector<CredentialSource*> credentials = {},
                   ClientOptions options = {}, RateLimitObserver on_rate_limit = nullptr)
      : transport(clock, std::move(handler)),
        client(std::move(options), {.transport = transport,
                                    .credentials = std::move(credentials),
                                    .clock = clock,
                                    .executor = executor,
                                    .on_rate_limit = std::move(on_rate_limit)}) {}
  std::shared_ptr<oci::ImageSource> Source(std::string_view name) {
    return client.Source(*oci::Reference::Parse(name));
  }

  ManualClock clock;
  ThreadPool executor{"test", 1};
  FakeTransport transport;
  Client client;
};

inline const std::string kContent = "0123456789abcdefghijklmnopqrstuvwxyz";

inline oci::Descriptor BlobOf(std::string_view content) {
  return {.digest = oci::Digest::Of(AsBytes(content)), .size_bytes = content.size()};
}

inline oci::Descriptor UnknownSize(std::string_view content) {
  oci::Descriptor blob = BlobOf(content);
  blob.size_bytes = 0;
  return blob;
}

/// Serves ranges of kContent as a registry does.
inline HttpResponse ServeRange(const HttpRequest& request) {
  const std::string range = FakeTransport::HeaderOf(request, "Range");
  if (range.empty()) {
    return Answer(200, kContent, {{"Content-Length", std::to_string(kContent.size())}});
  }
  const size_t dash = range.find('-');
  if (range.starts_with("bytes=-")) {
    const size_t count = std::min<size_t>(std::stoul(range.substr(dash + 1)), kContent.size());
    return PartOf(kContent, kContent.size() - count, kContent.size() - 1);
  }
  const size_t first = std::stoul(range.substr(6, dash - 6));
  const size_t last =
      dash + 1 == range.size() ? kContent.size() - 1 : std::stoul(range.substr(dash + 1));
  return PartOf(kContent, first, last);
}

inline constexpr std::string_view kBearer =
    R"(Bearer realm="https://auth.example/token",service="s",scope="repository:b:pull")";

/// A registry that wants tokens, and its token server.
struct TokenWorld {
  std::atomic<int> tokens = 0;
  std::string life = "300";
  std::atomic<int> accept_from = 1;  // tokens with smaller numbers are refused

  HttpResponse operator()(const HttpRequest& request) {
    if (request.url.starts_with("https://auth.example/")) {
      return Answer(200, fmt::format(R"({{"token":"t{}","expires_in":{}}})", ++tokens, life));
    }
    const std::string value = FakeTransport::HeaderOf(request, "Authorization");
    if (!value.starts_with("Bearer t") || std::stoi(value.substr(8)) < accept_from) {
      return Answer(401, "", {{"WWW-Authenticate", std::string(kBearer)}});
    }
    return Answer(200, "{}");
  }
};

}  // namespace starling::registry

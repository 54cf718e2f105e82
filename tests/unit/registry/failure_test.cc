#include "registry/failure.h"

#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

const FailedRequest kRequest{.repository = "a.example/b",
                             .what = "manifest 1",
                             .url = "https://a.example/v2",
                             .registry = "a.example",
                             .tried = "docker config has none: no entry",
                             .certificates_directory = "/etc/containerd/certs.d/a.example"};

TEST(FailureOf, AnAnswerSaysWhatHelps) {
  const std::string sha = "sha256:" + std::string(64, '0');
  const struct {
    const char* name;
    std::string what;
    HttpResponse response;
    StatusCode code;
    std::string problem;
    std::string cure;
  } cases[] = {
      {"no login", "manifest 1", Answer(401), StatusCode::kUnauthenticated, "401 Unauthorized",
       "docker config has none: no entry; check the name, or log in to a.example with an account "
       "that may use it"},
      {"not allowed", "manifest 1", Answer(403, R"({"errors":[{"code":"DENIED","message":"no"}]})"),
       StatusCode::kPermissionDenied, "403 Forbidden (DENIED: no)",
       "docker config has none: no entry; check the name, or log in to a.example with an account "
       "that may use it"},
      {"no such tag", "manifest 1", Answer(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN"}]})"),
       StatusCode::kNotFound, "404 Not Found (MANIFEST_UNKNOWN)",
       "check the name and the tag (starling tags a.example/b lists what there is)"},
      {"no such digest", "manifest " + sha, Answer(404), StatusCode::kNotFound, "404 Not Found",
       "check the digest; the manifest may have been deleted, or be another platform's that was "
       "never pushed"},
      {"no such repository", "manifest 1", Answer(404, R"({"errors":[{"code":"NAME_UNKNOWN"}]})"),
       StatusCode::kNotFound, "404 Not Found (NAME_UNKNOWN)", "check the repository's name"},
      {"no such blob", "blob " + sha, Answer(404), StatusCode::kNotFound, "404 Not Found",
       "check whether the image was deleted, or pushed in part"},
      {"read-only", "blob x: upload", Answer(405), StatusCode::kFailedPrecondition,
       "405 Method Not Allowed",
       "the registry does not do this: it may be read-only, a mirror, or not allow it"},
      {"too many requests", "manifest 1", Answer(429, "", {{"Retry-After", "60"}}),
       StatusCode::kResourceExhausted, "429 Too Many Requests",
       "docker config has none: no entry; wait (Retry-After: 60), or log in to a.example with an "
       "account that has a higher limit"},
      {"in trouble", "manifest 1", Answer(503), StatusCode::kUnavailable, "503 Service Unavailable",
       "the registry has trouble of its own: try again later, or tell who runs it"},
      {"plain HTTP to a TLS port", "manifest 1",
       Answer(400, "Client sent an HTTP request to an HTTPS server.\n"),
       StatusCode::kFailedPrecondition, "400 Bad Request",
       "it speaks TLS at this port: a.example must not be named as plain HTTP"},
      {"nobody knows", "manifest 1", Answer(418), StatusCode::kFailedPrecondition, "418", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    FailedRequest request = kRequest;
    request.what = c.what;
    const Status status = FailureOf(request, c.response);
    EXPECT_EQ(status.code(), c.code);
    EXPECT_EQ(MessageOf(status),
              fmt::format("a.example/b: {}: https://a.example/v2: answered {}{}", c.what, c.problem,
                          c.cure.empty() ? "" : "; " + c.cure));
  }
}

TEST(FailureOf, TheLimitIsTold) {
  FailedRequest request = kRequest;
  request.limit = RateLimit{.limit = 100, .remaining = 0, .window = std::chrono::hours(6)};
  EXPECT_EQ(MessageOf(FailureOf(request, Answer(429))),
            "a.example/b: manifest 1: https://a.example/v2: answered 429 Too Many Requests; 0 of "
            "100 requests in 6 h are left; docker config has none: no entry; wait, or log in to "
            "a.example with an account that has a higher limit");
}

TEST(FailureOf, NoAnswerSaysWhatHelps) {
  const struct {
    const char* name;
    StatusCode code;
    const char* problem;
    std::string cure;
  } cases[] = {
      {"unknown authority", StatusCode::kPermissionDenied,
       "SSL certificate problem: unable to get local issuer certificate",
       "put the certificate of its authority into /etc/containerd/certs.d/a.example/ as ca.crt"},
      {"wants a client certificate", StatusCode::kUnavailable,
       "OpenSSL SSL_read: tlsv13 alert certificate required",
       "it may want a client certificate: put NAME.cert and NAME.key into "
       "/etc/containerd/certs.d/a.example/"},
      {"closes before it says that it wants one", StatusCode::kUnavailable,
       "HEAD https://a.example/v2/: getpeername() failed with errno 107: Transport endpoint is not "
       "connected",
       "it may want a client certificate: put NAME.cert and NAME.key into "
       "/etc/containerd/certs.d/a.example/"},
      {"plain HTTP", StatusCode::kFailedPrecondition, "the server does not speak TLS",
       "if plain HTTP is meant: --plain-http a.example, or [registry] plain_http_hosts"},
      {"name unknown", StatusCode::kUnavailable, "Could not resolve host: a.example",
       "check the registry's name and this machine's DNS"},
      {"proxy refused", StatusCode::kUnavailable,
       "the environment's proxy: Failed to connect to 10.0.0.1 port 3128: Connection refused",
       "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and that the proxy runs"},
      {"proxy unknown", StatusCode::kUnavailable, "Could not resolve proxy: proxy.example",
       "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and that the proxy runs"},
      {"refused", StatusCode::kUnavailable,
       "Failed to connect to a.example port 443: Connection refused",
       "check that it runs and that host and port are right"},
      {"no answer", StatusCode::kDeadlineExceeded, "no answer",
       "check the network to it, and HTTPS_PROXY and NO_PROXY if there is a proxy"},
      {"no login", StatusCode::kUnauthenticated, "token server https://a.example/token: no",
       "docker config has none: no entry; check the name, or log in to a.example with an account "
       "that may use it"},
      {"nobody knows", StatusCode::kDataLoss, "its bytes have another digest", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = FailureOf(kRequest, MakeError(c.code, c.problem));
    EXPECT_EQ(status.code(), c.code);
    EXPECT_EQ(MessageOf(status), fmt::format("a.example/b: manifest 1: {}{}", c.problem,
                                             c.cure.empty() ? "" : "; " + c.cure));
  }
  EXPECT_TRUE(FailureOf(kRequest, OkStatus()).ok());
}

}  // namespace
}  // namespace starling::registry

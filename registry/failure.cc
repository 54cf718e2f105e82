#include "registry/failure.h"

#include "registry/api_error.h"
#include "registry/url.h"

namespace starling::registry {
namespace {

constexpr size_t kMaxRetryAfterBytes = 40;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The object of "manifest OBJECT" and what may follow it.
std::string_view ObjectOf(std::string_view what, std::string_view kind) {
  if (!what.starts_with(kind)) {
    return {};
  }
  what.remove_prefix(kind.size());
  return what.substr(0, what.find(": "));
}

std::string LogIn(const FailedRequest& request) {
  return fmt::format("check the name, or log in to {} with an account that may use it",
                     request.registry);
}

std::string CureOfMissing(const FailedRequest& request, std::string_view message) {
  if (Contains(message, "NAME_UNKNOWN")) {
    return "check the repository's name";
  }
  const std::string_view manifest = ObjectOf(request.what, "manifest ");
  if (manifest.starts_with("sha256:")) {
    return "check the digest; the manifest may have been deleted, or be another platform's that "
           "was "
           "never pushed";
  }
  if (!manifest.empty()) {
    return fmt::format("check the name and the tag (starling tags {} lists what there is)",
                       request.repository);
  }
  return request.what.starts_with("blob ")
             ? "check whether the image was deleted, or pushed in part"
             : "check the name";
}

std::string CureOfLimit(const FailedRequest& request, const HttpResponse& response) {
  const std::string after = Printable(response.HeaderValue("Retry-After"), kMaxRetryAfterBytes);
  return fmt::format("{}{}; wait{}, or log in to {} with an account that has a higher limit",
                     request.limit ? request.limit->ToString() + "; " : "", request.tried,
                     after.empty() ? "" : fmt::format(" (Retry-After: {})", after),
                     request.registry);
}

/// What helps after an answer; empty when nobody knows.
std::string CureOf(const FailedRequest& request, const HttpResponse& response,
                   std::string_view message) {
  switch (response.status) {
    case 400:
      return Contains(AsText(response.body), "HTTP request to an HTTPS server")
                 ? fmt::format("it speaks TLS at this port: {} must not be named as plain HTTP",
                               request.registry)
                 : std::string();
    case 401:
    case 403:
      return fmt::format("{}; {}", request.tried, LogIn(request));
    case 404:
      return CureOfMissing(request, message);
    case 405:
    case 501:
      return "the registry does not do this: it may be read-only, a mirror, or not allow it";
    case 429:
      return CureOfLimit(request, response);
    case 507:
      return "the registry's storage is full";
    default:
      return response.status >= 500
                 ? "the registry has trouble of its own: try again later, or tell who runs it"
                 : std::string();
  }
}

std::string PlaceOfCertificates(const FailedRequest& request) {
  return request.certificates_directory.empty()
             ? std::string("a directory of certificates (--hosts-dir)")
             : request.certificates_directory + "/";
}

/// What helps when there was no answer. libcurl and its TLS library say what it was in words only.
std::string CureOf(const FailedRequest& request, StatusCode code, std::string_view message) {
  if (Contains(message, "does not speak TLS")) {
    return fmt::format("if plain HTTP is meant: --plain-http {}, or [registry] plain_http_hosts",
                       request.registry);
  }
  // A server that wants one closes the connection behind its alert, which may come first.
  if (Contains(message, "alert certificate required") ||
      Contains(message, "alert bad certificate") || Contains(message, "alert handshake failure") ||
      (Contains(message, "https://") && Contains(message, "endpoint is not connected"))) {
    return fmt::format("it may want a client certificate: put NAME.cert and NAME.key into {}",
                       PlaceOfCertificates(request));
  }
  if (code == StatusCode::kPermissionDenied && Contains(message, "certificate")) {
    return fmt::format("put the certificate of its authority into {} as ca.crt",
                       PlaceOfCertificates(request));
  }
  if (Contains(message, "the environment's proxy") || Contains(message, "resolve proxy")) {
    return "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and that the proxy runs";
  }
  if (Contains(message, "resolve host")) {
    return "check the registry's name and this machine's DNS";
  }
  if (Contains(message, "onnection refused") || Contains(message, "Couldn't connect") ||
      Contains(message, "Failed to connect")) {
    return "check that it runs and that host and port are right";
  }
  if (code == StatusCode::kDeadlineExceeded || Contains(message, "timed out") ||
      Contains(message, "timeout")) {
    return "check the network to it, and HTTPS_PROXY and NO_PROXY if there is a proxy";
  }
  return {};
}

std::string Joined(std::string message, const std::string& cure) {
  return cure.empty() ? message : std::move(message) + "; " + cure;
}

}  // namespace

Status FailureOf(const FailedRequest& request, const HttpResponse& response) {
  const Status answered = ErrorOfResponse(
      response, fmt::format("{}: {}: {}", request.repository, request.what, request.url));
  const std::string message(MessageOf(answered));
  return MakeError(answered.code(), Joined(message, CureOf(request, response, message)));
}

Status FailureOf(const FailedRequest& request, const Status& error) {
  if (error.ok()) {
    return error;
  }
  const std::string message =
      fmt::format("{}: {}: {}", request.repository, request.what, MessageOf(error));
  if (error.code() == StatusCode::kUnauthenticated) {
    return MakeError(error.code(),
                     fmt::format("{}; {}; {}", message, request.tried, LogIn(request)));
  }
  return MakeError(error.code(), Joined(message, CureOf(request, error.code(), message)));
}

}  // namespace starling::registry

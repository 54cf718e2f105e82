#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::registry {

/// An absolute http or https URL, read exactly as the transport reads it. An ordinary value.
class Url {
 public:
  /// kInvalidArgument for anything else: other schemes, user names, control characters.
  static StatusOr<Url> Parse(std::string_view text);
  /// `location` seen from here: absolute or relative (RFC 3986, section 5). No fragment.
  StatusOr<Url> Resolve(std::string_view location) const;

  const std::string& scheme() const { return scheme_; }  // "http" or "https"
  /// Lower case, without brackets.
  const std::string& host() const { return host_; }
  int port() const { return port_; }
  const std::string& text() const { return text_; }
  bool encrypted() const { return scheme_ == "https"; }
  /// Same scheme, host and port: what a credential is bound to.
  bool SameOrigin(const Url& other) const;
  /// Without query, which may hold a signature or a token.
  std::string ForMessages() const;
  /// The same with `name`=`value` added to the query; the value is escaped.
  StatusOr<Url> WithQuery(std::string_view name, std::string_view value) const;

 private:
  std::string text_;
  std::string scheme_;
  std::string host_;
  int port_ = 0;
};

/// As references and configurations spell it: "ghcr.io" or, at another port than the scheme's,
/// "mirror:5000".
std::string HostAndPort(const Url& url);
/// 127.0.0.0/8, ::1 and localhost; `host` without port and brackets.
bool IsLoopback(std::string_view host);
/// Bytes from outside, fit for a message: printable ASCII, at most `limit` of them.
std::string Printable(std::string_view text, size_t limit);

}  // namespace starling::registry

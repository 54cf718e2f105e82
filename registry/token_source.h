#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "registry/auth_challenge.h"
#include "registry/credential_chain.h"
#include "registry/host_pauses.h"
#include "registry/host_policy.h"
#include "registry/http_transport.h"
#include "registry/outages.h"

namespace starling::registry {

struct TokenOptions {
  HostPolicy hosts;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  int max_retries = 5;
};

/// Who asks, and for what.
struct TokenRequest {
  std::string domain;      // whose credentials: "docker.io"
  std::string repository;  // "library/ubuntu"; empty: the registry as a whole
  Url registry;            // where the challenge comes from: "https://registry-1.docker.io"
  /// "repository:library/ubuntu:pull"; several with spaces between them; empty: no more than a
  /// login.
  std::string scope;
  /// How the registry is connected to. A token server at another host gets no client certificate,
  /// and must be who it says.
  std::shared_ptr<const ConnectionOptions> connection;
  /// Whether a token without credentials is of use; else kFailedPrecondition says why there are
  /// none to send.
  bool may_be_anonymous = true;
};

/// Turns credentials and challenges into values for the Authorization header: none, Basic, or a
/// Bearer token. Tokens are kept by domain and scope and renewed before they expire; requests for
/// one token that meet become one. Credentials that a token server or the registry refuses are
/// looked for once more, because they may have changed, or another source may have others. They go
/// to the realm of their own registry's challenge only, and not to one that anybody on the way may
/// have named (HostPolicy). Threads: safe; never blocks. Always owned by a shared_ptr.
class TokenSource : public std::enable_shared_from_this<TokenSource> {
 public:
  struct Dependencies {
    HttpTransport& transport;
    std::vector<CredentialSource*> credentials;
    Clock& clock;
    Executor& executor;
    std::shared_ptr<HostPauses> pauses;
    std::shared_ptr<Outages> outages;
  };
  /// Gets the header's value, empty for anonymous. Called on any thread, with no lock held.
  using Done = std::function<void(StatusOr<std::string>)>;

  TokenSource(TokenOptions options, Dependencies dependencies);

  /// What to send first: empty while the registry has not asked for anything.
  void Authorize(const TokenRequest& request, Done done);
  /// After a 401 with these challenges to a request that carried `refused`. A token that somebody
  /// else renewed in the meantime is given at once.
  void Renew(const TokenRequest& request, const std::vector<std::string_view>& challenges,
             const std::string& refused, Done done);
  /// Forgets a value that the registry refused in the middle of a stream, or with another answer
  /// than 401.
  void Forget(const TokenRequest& request, const std::string& refused);
  /// Where credentials for `domain` were looked for, for messages; without secrets.
  std::string Tried(const std::string& domain);
  /// The name of the source whose credentials were taken last for the repository; empty when none
  /// had any; nothing when the registry has not asked for some.
  std::optional<std::string> SourceFor(const std::string& domain, const std::string& repository);

 private:
  class Fetch;
  using Key = std::pair<std::string, std::string>;
  struct Entry {
    std::optional<std::string> value;
    std::chrono::steady_clock::time_point renew_at;
    std::string refused;         // the latest value that was not accepted
    std::string scope_override;  // what the registry asked for instead of ours
    std::vector<Done> waiting;   // not empty while a fetch runs
  };
  struct Grant {
    std::string value;
    std::chrono::steady_clock::time_point renew_at;
  };

  /// Notes, for messages, that credentials do not go to a token server.
  void Withhold(const TokenRequest& request, const Url& realm);
  void Join(const TokenRequest& request, Done done);
  /// Looks for credentials on the executor's thread and goes on with them.
  void FindCredentials(std::shared_ptr<Fetch> fetch, std::optional<Credentials> refused);
  void StartFetch(const TokenRequest& request);
  void Finish(const TokenRequest& request, StatusOr<Grant> grant);

  const TokenOptions options_;
  const Dependencies deps_;
  CredentialChain credentials_;
  Mutex mutex_;  // leaf
  std::map<Key, Entry> entries_ GUARDED_BY(mutex_);
  std::map<std::string, AuthChallenge> challenges_ GUARDED_BY(mutex_);  // by domain
  std::map<std::string, std::string> tried_ GUARDED_BY(mutex_);         // by domain
  std::map<Key, std::string> sources_ GUARDED_BY(mutex_);               // by repository; bounded
};

}  // namespace starling::registry

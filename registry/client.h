#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "oci/image_store.h"
#include "oci/reference.h"
#include "registry/credentials.h"
#include "registry/http_transport.h"
#include "registry/outages.h"
#include "registry/rate_limit.h"
#include "registry/upload_sizes.h"

namespace starling::registry {

class Referrers;

/// What is different for one host.
struct HostOptions {
  /// Instead of ClientOptions::read_deadline.
  std::optional<std::chrono::milliseconds> read_deadline;
  /// It may be at a loopback or link-local address, whoever names it.
  bool local = false;

  friend bool operator==(const HostOptions&, const HostOptions&) = default;
};

/// For deadlines: nobody waits longer.
inline constexpr std::chrono::milliseconds kForEver = std::chrono::hours(24 * 365 * 10);

struct ClientOptions {
  /// Plain HTTP is spoken to loopback addresses and to these hosts ("host" or "host:port") only.
  std::vector<std::string> plain_http_hosts;
  /// One deadline for a whole operation, retries and authentication included.
  std::chrono::milliseconds request_timeout = std::chrono::seconds(30);
  /// The same for streams of whole blobs, counted from the last byte that moved.
  std::chrono::milliseconds blob_timeout = std::chrono::seconds(300);
  int max_retries = 5;
  /// How long a read of a range waits for a registry that does not give it, unless its ReadOptions
  /// say something else. It retries until then.
  std::chrono::milliseconds read_deadline = std::chrono::minutes(15);
  UploadSizes uploads;
  std::map<std::string, HostOptions> hosts;  // by "host" or "host:port" of references
  /// Directories as containerd's `certs.d`; see HostsDirectory.
  std::vector<std::filesystem::path> hosts_directories;
};

/// Speaks the OCI distribution protocol to any number of registries.
/// Threads: safe. Sources, destinations and referrers may outlive the client, but not what it
/// depends on; calls that block must not be made on the transport's thread.
class Client {
 public:
  struct Dependencies {
    HttpTransport& transport;
    /// Asked in order; the first that knows something decides.
    std::vector<CredentialSource*> credentials;
    Clock& clock;
    /// Runs what may block: credential helpers.
    Executor& executor;
    /// Told of outages of registries, token servers and storage.
    OutageObserver on_outage = nullptr;
    /// Told when little or nothing is left of what a registry answers, and when that is over.
    RateLimitObserver on_rate_limit = nullptr;
  };
  Client(ClientOptions options, Dependencies dependencies);
  ~Client();

  /// Manifests and blobs come from the first host of the registry that has them.
  std::shared_ptr<oci::ImageSource> Source(const oci::Reference& image);
  /// Where the blobs of an image may be read from, best first, if its registry has mirrors now;
  /// else nothing, and Source is the place. Errors: a hosts.toml that cannot be understood.
  StatusOr<std::vector<oci::BlobPlace>> BlobPlaces(const oci::Reference& image);
  std::shared_ptr<oci::ImageDestination> Destination(const oci::Reference& image);
  enum class LoginCheck {
    kAccepted,
    kNotAsked,  // the registry answers everybody, so nothing is known
  };
  /// Whether the registry `domain` itself, no mirror of it, takes the credentials that the sources
  /// have. Blocks. kUnauthenticated and kPermissionDenied: it does not; kInvalidArgument for
  /// another thing than a host.
  StatusOr<LoginCheck> CheckLogin(const std::string& domain);
  /// What is said about the images of the repository of `image`.
  std::shared_ptr<Referrers> ReferrersIn(const oci::Reference& image);
  /// The tags of the repository of `image`. Blocks; errors as ListTags.
  StatusOr<std::vector<std::string>> Tags(const oci::Reference& image);
  /// Where the credentials for the repository of `image` came from, by the source's name:
  /// "anonymous" when the registry asked for some and no source had any; nothing when it has not
  /// asked. Never a secret.
  std::optional<std::string> CredentialsOf(const oci::Reference& image) const;
  /// What registries have told of their limits so far, by registry.
  std::map<std::string, RateLimit> KnownRateLimits() const;
  /// Removes what `image` stands for from its registry. Blocks; errors as RemoveManifest.
  Status Remove(const oci::Reference& image);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace starling::registry

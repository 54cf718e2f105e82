#include "registry/client.h"

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include "oci/manifest.h"
#include "registry/api_error.h"
#include "registry/blob_stream.h"
#include "registry/blob_upload.h"
#include "registry/host_health.h"
#include "registry/hosts_directory.h"
#include "registry/manifest_removal.h"
#include "registry/manifest_upload.h"
#include "registry/referrers.h"
#include "registry/remote_blob.h"
#include "registry/repository_api.h"
#include "registry/tag_list.h"

namespace starling::registry {
namespace {

/// So long, and with so many retries, a host is tried that is not the last one.
constexpr std::chrono::seconds kPatienceBeforeTheNext{10};
constexpr int kRetriesBeforeTheNext = 1;

}  // namespace

struct Client::State : std::enable_shared_from_this<Client::State> {
  State(ClientOptions options_in, Dependencies dependencies)
      : options(std::move(options_in)),
        deps(std::move(dependencies)),
        directory(options.hosts_directories, deps.clock) {}

  ClientOptions options;
  Dependencies deps;
  std::shared_ptr<HostPauses> pauses = std::make_shared<HostPauses>();
  std::shared_ptr<Outages> outages = std::make_shared<Outages>(deps.on_outage);
  std::shared_ptr<RateLimits> limits = std::make_shared<RateLimits>(deps.on_rate_limit);
  std::shared_ptr<TokenSource> tokens;

  HostsDirectory directory;
  HostHealth health;

  /// What is said about the images of the repository of `image`.
  std::shared_ptr<Referrers> ReferrersIn(const oci::Reference& image);

  /// The hosts of the registry of `image`, best first; never empty.
  StatusOr<std::vector<RegistryHost>> HostsOf(const oci::Reference& image) {
    return directory.HostsOf(std::string(image.domain()), image.Host(), Hosts());
  }
  std::shared_ptr<RepositoryApi> ApiAt(const RegistryHost& host, const oci::Reference& image,
                                       Access access) {
    HostPolicy policy = Hosts();
    if (!host.api.encrypted()) {  // who configures such a host means it
      policy.plain_http_hosts.push_back(host.name());
    }
    return RepositoryApi::Make(
        image, access, host,
        {.transport = deps.transport,
         .clock = deps.clock,
         .tokens = tokens,
         .pauses = pauses,
         .outages = outages,
         .limits = limits,
         .hosts = std::move(policy),
         .latest = [self = shared_from_this(), image, host] { return self->Latest(image, host); },
         .read_deadline = ReadDeadlineOf(image),
         .certificates_directory = options.hosts_directories.empty()
                                       ? std::string()
                                       : options.hosts_directories.front().string()});
  }
  /// What is to be known of `host` now; what was, if the files name it no more or are wrong.
  RegistryHost Latest(const oci::Reference& image, const RegistryHost& host) {
    const auto hosts = HostsOf(image);
    if (hosts.ok()) {
      const auto same = std::ranges::find_if(*hosts, [&host](const RegistryHost& changed) {
        return changed.api.text() == host.api.text();
      });
      if (same != hosts->end()) {
        return *same;
      }
    }
    return host;
  }
  /// The registry itself, or what is configured in its place for `access`.
  StatusOr<std::shared_ptr<RepositoryApi>> Api(const oci::Reference& image, Access access) {
    ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts, HostsOf(image));
    if (access == Access::kPull) {
      return ApiAt(hosts.back(), image, access);
    }
    const auto found = std::ranges::find_if(hosts, &RegistryHost::can_push);
    if (found == hosts.end()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{}: the hosts.toml of {} names no host that may be pushed to",
                                   image.ToString(), image.domain()));
    }
    return ApiAt(*found, image, access);
  }
  HostPolicy Hosts() const {
    HostPolicy policy{.plain_http_hosts = options.plain_http_hosts, .local_hosts = {}};
    for (const auto& [name, host] : options.hosts) {
      if (host.local) {
        policy.local_hosts.push_back(name);
      }
    }
    return policy;
  }
  std::chrono::milliseconds ReadDeadlineOf(const oci::Reference& image) const {
    const auto found = options.hosts.find(std::string(image.domain()));
    return found == options.hosts.end()
               ? options.read_deadline
               : found->second.read_deadline.value_or(options.read_deadline);
  }
  RetryPolicy RequestPolicy() const {
    return {.deadline = deps.clock.Now() + options.request_timeout,
            .max_retries = options.max_retries};
  }
  StreamLimits Limits() const {
    return {.idle_timeout = options.blob_timeout,
            .request_timeout = options.request_timeout,
            .max_retries = options.max_retries};
  }
};

namespace {

std::string AcceptedManifests() {
  using namespace oci::media_type;
  return fmt::format("{}, {}, {}, {}", kOciIndex, kOciManifest, kDockerManifestList,
                     kDockerManifest);
}

/// Content-Type without parameters.
std::string MediaTypeOf(const HttpResponse& response) {
  std::string_view type = response.HeaderValue("Content-Type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') {
    type.remove_suffix(1);
  }
  return Printable(type, 200);
}

/// Counts what passes.
class CountingSink : public ByteSink {
 public:
  explicit CountingSink(ByteSink& sink) : sink_(sink) {}
  Status Write(ByteSpan bytes) override {
    count_ += bytes.size();
    return sink_.Write(bytes);
  }
  uint64_t count() const { return count_; }

 private:
  ByteSink& sink_;
  uint64_t count_ = 0;
};

template <typename State>
class RegistrySource : public oci::ImageSource {
 public:
  RegistrySource(std::shared_ptr<State> state, oci::Reference image)
      : state_(std::move(state)), image_(std::move(image)) {}

  std::string Name() const override { return image_.ToString(); }

  StatusOr<oci::RawManifest> ReadTopManifest() override {
    return Fetch(image_.Object(), image_.digest());
  }

  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override {
    ASSIGN_OR_RETURN(oci::RawManifest manifest,
                     Fetch(descriptor.digest.ToString(), descriptor.digest));
    if (descriptor.size_bytes != 0 && manifest.bytes.size() != descriptor.size_bytes) {
      return MakeError(
          StatusCode::kDataLoss,
          fmt::format("{}: manifest {} has {} bytes instead of {}", Name(),
                      descriptor.digest.ToString(), manifest.bytes.size(), descriptor.size_bytes));
    }
    if (!descriptor.media_type.empty()) {
      manifest.media_type = descriptor.media_type;
    }
    return manifest;
  }

  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override {
    return ReadBlobFrom(blob, 0, sink);
  }

  Status ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset, ByteSink& sink) override {
    CountingSink counted(sink);
    return FromFirst(&RegistryHost::can_pull,
                     [&](const std::shared_ptr<RepositoryApi>& api, bool last) {
                       StreamLimits limits = state_->Limits();
                       limits.max_retries = last ? limits.max_retries : kRetriesBeforeTheNext;
                       return Answer<bool>(DownloadBlob(api, blob, blob_offset, counted, limits),
                                           counted.count() == 0);
                     })
        .status();
  }

  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    return FromFirst(
        &RegistryHost::can_pull, [&](const std::shared_ptr<RepositoryApi>& api, bool last) {
          return Answer<oci::OpenedBlob>(OpenRemoteBlob(api, blob, tail_bytes, Policy(last)));
        });
  }

  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override {
    ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts, Hosts(&RegistryHost::can_pull));
    return BlobIn(state_, image_, hosts.front(), blob);
  }

  StatusOr<std::vector<oci::Descriptor>> ReadReferrers(const oci::Digest& subject) override {
    return state_->ReferrersIn(image_)->List(subject, "");
  }

  std::vector<oci::BlobOrigin> OriginsOf(const oci::Descriptor&) override {
    return {{.registry = image_.domain(), .repository = image_.repository()}};
  }

  /// A blob as `host` has it.
  static StatusOr<std::shared_ptr<oci::BlobReader>> BlobIn(const std::shared_ptr<State>& state,
                                                           const oci::Reference& image,
                                                           const RegistryHost& host,
                                                           const oci::Descriptor& blob) {
    if (blob.size_bytes == 0) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("{}: blob {}: its size must be known", image.ToString(),
                                   blob.digest.ToString()));
    }
    return std::make_shared<RemoteBlob>(state->ApiAt(host, image, Access::kPull), blob.digest,
                                        blob.size_bytes);
  }

 private:
  /// What a host said, and whether another may be asked instead.
  template <typename Value>
  struct Answer {
    explicit Answer(StatusOr<Value> result_in, bool may_ask_others_in = true)
        : result(std::move(result_in)), may_ask_others(may_ask_others_in) {}
    explicit Answer(const Status& status, bool may_ask_others_in)
      requires std::same_as<Value, bool>
        : result(status.ok() ? StatusOr<bool>(true) : StatusOr<bool>(status)),
          may_ask_others(may_ask_others_in) {}

    using Type = Value;
    StatusOr<Value> result;
    bool may_ask_others;
  };

  /// Those that have `ability`, those first that have not failed lately.
  StatusOr<std::vector<RegistryHost>> Hosts(bool RegistryHost::* ability) {
    ASSIGN_OR_RETURN(std::vector<RegistryHost> hosts, state_->HostsOf(image_));
    std::erase_if(hosts, [ability](const RegistryHost& host) { return !(host.*ability); });
    if (hosts.empty()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("{}: the hosts.toml of {} names no host that may be asked",
                                   Name(), image_.domain()));
    }
    std::ranges::stable_partition(hosts, [this](const RegistryHost& host) {
      return state_->health.IsWell(host.name(), state_->deps.clock.Now());
    });
    return hosts;
  }

  RetryPolicy Policy(bool is_last) const {
    RetryPolicy policy = state_->RequestPolicy();
    if (!is_last) {
      policy.max_retries = kRetriesBeforeTheNext;
      policy.deadline =
          std::min(policy.deadline, state_->deps.clock.Now() + kPatienceBeforeTheNext);
    }
    return policy;
  }

  /// What the first host says that can answer. An error is the last one's, with what the others
  /// said.
  template <typename Ask>
  auto FromFirst(bool RegistryHost::* ability, const Ask& ask) -> StatusOr<
      typename std::invoke_result_t<Ask, const std::shared_ptr<RepositoryApi>&, bool>::Type> {
    ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts, Hosts(ability));
    std::string earlier;
    for (const RegistryHost& host : hosts) {
      const bool is_last = &host == &hosts.back();
      auto answer = ask(state_->ApiAt(host, image_, Access::kPull), is_last);
      if (answer.result.ok()) {
        return std::move(answer.result);
      }
      const Status error = answer.result.status();
      if (IsRetryable(error) || error.code() == StatusCode::kDeadlineExceeded) {
        state_->health.OnFailed(host.name(), state_->deps.clock.Now());
      }
      if (is_last || !answer.may_ask_others) {
        return earlier.empty() ? error
                               : MakeError(error.code(), fmt::format("{} (before it, {})",
                                                                     MessageOf(error), earlier));
      }
      earlier +=
          fmt::format("{}{}: {}", earlier.empty() ? "" : "; ", host.name(), MessageOf(error));
    }
    return MakeError(StatusCode::kInternal, "no host was asked");
  }

  StatusOr<oci::RawManifest> Fetch(const std::string& object,
                                   const std::optional<oci::Digest>& expected) {
    return FromFirst(
        expected ? &RegistryHost::can_pull : &RegistryHost::can_resolve,
        [&](const std::shared_ptr<RepositoryApi>& api, bool last) {
          return Answer<oci::RawManifest>(FetchFrom(*api, object, expected, Policy(last)));
        });
  }

  static StatusOr<oci::RawManifest> FetchFrom(RepositoryApi& api, const std::string& object,
                                              const std::optional<oci::Digest>& expected,
                                              RetryPolicy retry) {
    const std::string what = fmt::format("manifest {}", object);
    auto response = api.CallAndWait({.url = api.UrlOf("manifests/" + object),
                                     .headers = {{.name = "Accept", .value = AcceptedManifests()}},
                                     .max_body_bytes = oci::kMaxManifestBytes,
                                     .retry = retry});
    if (!response.ok()) {
      return api.Explain(response.status(), what);
    }
    if (response->http.status != 200) {
      return api.ErrorOf(response->http, what);
    }
    oci::RawManifest manifest{.media_type = MediaTypeOf(response->http),
                              .digest = oci::Digest::Of(response->http.body)};
    const std::string_view announced = response->http.HeaderValue("Docker-Content-Digest");
    const bool sha256 = announced.starts_with("sha256:");
    if ((expected && manifest.digest != *expected) ||
        (sha256 && announced != manifest.digest.ToString())) {
      return api.Explain(
          MakeError(StatusCode::kDataLoss,
                    fmt::format("its bytes have the digest {}{}", manifest.digest.ToString(),
                                sha256 ? fmt::format(", the registry announced {}",
                                                     Printable(announced, 100))
                                       : std::string())),
          what);
    }
    manifest.bytes = std::move(response->http.body);
    return manifest;
  }

  const std::shared_ptr<State> state_;
  const oci::Reference image_;
};

template <typename State>
class RegistryDestination : public oci::ImageDestination {
 public:
  RegistryDestination(std::shared_ptr<State> state, oci::Reference image)
      : state_(std::move(state)),
        image_(std::move(image)),
        api_(state_->Api(image_, Access::kPush)) {}

  std::string Name() const override { return image_.ToString(); }

  StatusOr<bool> HasBlob(const oci::Descriptor& blob) override {
    RETURN_IF_ERROR(api_.status());
    return BlobExists(*api_, blob, state_->RequestPolicy());
  }

  StatusOr<oci::BlobArrival> PutBlob(const oci::Descriptor& blob, const OpenStream& open,
                                     const std::vector<oci::BlobOrigin>& origins) override {
    RETURN_IF_ERROR(api_.status());
    std::vector<std::string> mount_from;
    for (const oci::BlobOrigin& origin : origins) {
      if (IsHere(origin.registry) && origin.repository != image_.repository()) {
        mount_from.push_back(origin.repository);
      }
    }
    return UploadBlob({.api = *api_,
                       .blob = blob,
                       .open = open,
                       .mount_from = std::move(mount_from),
                       .limits = state_->Limits(),
                       .abilities = abilities_,
                       .sizes = state_->options.uploads});
  }

  Status WriteManifest(const oci::RawManifest& manifest) override {
    return Put(manifest, manifest.digest.ToString());
  }

  Status WriteTopManifest(const oci::RawManifest& manifest) override {
    if (image_.digest() && *image_.digest() != manifest.digest) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("{}: the image to store has the digest {}; name it by a tag",
                                   Name(), manifest.digest.ToString()));
    }
    return Put(manifest, image_.tag().empty() ? manifest.digest.ToString() : image_.tag());
  }

 private:
  /// containerd knows registries without their ports.
  bool IsHere(const std::string& registry) const {
    const auto url = Url::Parse("https://" + image_.domain());
    return registry == image_.domain() || (url.ok() && registry == url->host());
  }

  Status Put(const oci::RawManifest& manifest, const std::string& object) {
    RETURN_IF_ERROR(api_.status());
    ASSIGN_OR_RETURN(const HttpResponse stored,
                     UploadManifest(*api_, manifest, object, state_->RequestPolicy()));
    // What is no manifest to us is still one to the registry.
    const auto referrer = oci::ReferrerOf(manifest);
    // A registry that lists the referrer itself says so.
    if (!referrer.ok() || !*referrer ||
        stored.HeaderValue("OCI-Subject") == (*referrer)->subject.ToString()) {
      return OkStatus();
    }
    return state_->ReferrersIn(image_)->Publish(**referrer);
  }

  const std::shared_ptr<State> state_;
  const oci::Reference image_;
  const StatusOr<std::shared_ptr<RepositoryApi>> api_;
  UploadAbilities abilities_;
};

}  // namespace

Client::Client(ClientOptions options, Dependencies dependencies)
    : state_(std::make_shared<State>(std::move(options), std::move(dependencies))) {
  state_->tokens = std::make_shared<TokenSource>(
      TokenOptions{.hosts = state_->Hosts(),
                   .timeout = state_->options.request_timeout,
                   .max_retries = state_->options.max_retries},
      TokenSource::Dependencies{.transport = state_->deps.transport,
                                .credentials = state_->deps.credentials,
                                .clock = state_->deps.clock,
                                .executor = state_->deps.executor,
                                .pauses = state_->pauses,
                                .outages = state_->outages});
}

Client::~Client() = default;

std::shared_ptr<oci::ImageSource> Client::Source(const oci::Reference& image) {
  return std::make_shared<RegistrySource<State>>(state_, image);
}

StatusOr<std::vector<oci::BlobPlace>> Client::BlobPlaces(const oci::Reference& image) {
  std::vector<oci::BlobPlace> places;
  ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts, state_->HostsOf(image));
  if (hosts.size() < 2) {
    return places;
  }
  for (const RegistryHost& host : hosts) {
    if (host.can_pull) {
      places.push_back({.name = host.is_mirror
                                    ? fmt::format("{} by {}", image.ToString(), host.name())
                                    : image.ToString(),
                        .open = [state = state_, image, host](const oci::Descriptor& blob) {
                          return RegistrySource<State>::BlobIn(state, image, host, blob);
                        }});
    }
  }
  return places;
}

std::shared_ptr<oci::ImageDestination> Client::Destination(const oci::Reference& image) {
  return std::make_shared<RegistryDestination<State>>(state_, image);
}

StatusOr<Client::LoginCheck> Client::CheckLogin(const std::string& domain) {
  // A name is needed to say which registry; nothing is asked about it.
  ASSIGN_OR_RETURN(const oci::Reference image,
                   oci::Reference::Parse(fmt::format("{}/image", domain)));
  ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts, state_->HostsOf(image));
  const auto api = state_->ApiAt(hosts.back(), image, Access::kLogin);
  const auto response = api->CallAndWait(
      {.url = fmt::format("{}/", api->base().text()), .retry = state_->RequestPolicy()});
  if (!response.ok()) {
    return Annotate(response.status(), domain);
  }
  if (response->http.status != 200) {
    return ErrorOfResponse(response->http,
                           fmt::format("{}: {}", domain, api->base().ForMessages()));
  }
  return api->HasLoggedIn() ? LoginCheck::kAccepted : LoginCheck::kNotAsked;
}

std::shared_ptr<Referrers> Client::State::ReferrersIn(const oci::Reference& image) {
  const std::string name = fmt::format("{}/{}", image.domain(), image.repository());
  // A repository's name with a tag of ours is always a reference.
  const auto at = [name](const std::string& tag) {
    return *oci::Reference::Parse(fmt::format("{}:{}", name, tag));
  };
  return std::make_shared<Referrers>(Referrers::Dependencies{
      .name = name,
      .reading = Api(image, Access::kPull),
      .retry = [state = shared_from_this()] { return state->RequestPolicy(); },
      .source =
          [state = shared_from_this(), at](const std::string& tag) {
            return std::make_shared<RegistrySource<State>>(state, at(tag));
          },
      .destination =
          [state = shared_from_this(), at](const std::string& tag) {
            return std::make_shared<RegistryDestination<State>>(state, at(tag));
          }});
}

std::shared_ptr<Referrers> Client::ReferrersIn(const oci::Reference& image) {
  return state_->ReferrersIn(image);
}

StatusOr<std::vector<std::string>> Client::Tags(const oci::Reference& image) {
  ASSIGN_OR_RETURN(const std::shared_ptr<RepositoryApi> api, state_->Api(image, Access::kPull));
  return ListTags(api, [this] { return state_->RequestPolicy(); });
}

std::optional<std::string> Client::CredentialsOf(const oci::Reference& image) const {
  const auto source = state_->tokens->SourceFor(std::string(image.domain()), image.repository());
  return source && source->empty() ? "anonymous" : source;
}

std::map<std::string, RateLimit> Client::KnownRateLimits() const { return state_->limits->All(); }

Status Client::Remove(const oci::Reference& image) {
  ASSIGN_OR_RETURN(const std::shared_ptr<RepositoryApi> api, state_->Api(image, Access::kDelete));
  return RemoveManifest(api, image.Object(), state_->RequestPolicy());
}

}  // namespace starling::registry

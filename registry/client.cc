#include "registry/client.h"

#include <utility>

#include "oci/manifest.h"
#include "registry/blob_stream.h"
#include "registry/manifest_upload.h"
#include "registry/referrers.h"
#include "registry/remote_blob.h"
#include "registry/repository_api.h"

namespace starling::registry {

struct Client::State {
  ClientOptions options;
  Dependencies deps;
  std::shared_ptr<HostPauses> pauses = std::make_shared<HostPauses>();
  std::shared_ptr<Outages> outages = std::make_shared<Outages>(deps.on_outage);
  std::shared_ptr<TokenSource> tokens;

  StatusOr<std::shared_ptr<RepositoryApi>> Api(const oci::Reference& image, Access access) const {
    return RepositoryApi::Make(image, access,
                               {.transport = deps.transport,
                                .clock = deps.clock,
                                .tokens = tokens,
                                .pauses = pauses,
                                .outages = outages,
                                .hosts = Hosts(),
                                .read_deadline = ReadDeadlineOf(image)});
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

template <typename State>
class RegistrySource : public oci::ImageSource {
 public:
  RegistrySource(std::shared_ptr<State> state, oci::Reference image)
      : state_(std::move(state)),
        image_(std::move(image)),
        api_(state_->Api(image_, Access::kPull)) {}

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
    RETURN_IF_ERROR(api_.status());
    return DownloadBlob(*api_, blob, sink, state_->Limits());
  }

  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    RETURN_IF_ERROR(api_.status());
    return OpenRemoteBlob(*api_, blob, tail_bytes, state_->RequestPolicy());
  }

  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override {
    RETURN_IF_ERROR(api_.status());
    if (blob.size_bytes == 0) {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("{}: blob {}: its size must be known", Name(), blob.digest.ToString()));
    }
    return std::make_shared<RemoteBlob>(*api_, blob.digest, blob.size_bytes);
  }

 private:
  StatusOr<oci::RawManifest> Fetch(const std::string& object,
                                   const std::optional<oci::Digest>& expected) {
    RETURN_IF_ERROR(api_.status());
    RepositoryApi& api = **api_;
    const std::string what = fmt::format("manifest {}", object);
    auto response = api.CallAndWait({.url = api.UrlOf("manifests/" + object),
                                     .headers = {{.name = "Accept", .value = AcceptedManifests()}},
                                     .max_body_bytes = oci::kMaxManifestBytes,
                                     .retry = state_->RequestPolicy()});
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
  const StatusOr<std::shared_ptr<RepositoryApi>> api_;
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

  Status WriteBlob(const oci::Descriptor& blob, const OpenStream& open) override {
    RETURN_IF_ERROR(api_.status());
    return UploadBlob(*api_, blob, open, state_->Limits());
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
  Status Put(const oci::RawManifest& manifest, const std::string& object) {
    RETURN_IF_ERROR(api_.status());
    return UploadManifest(*api_, manifest, object, state_->RequestPolicy()).status();
  }

  const std::shared_ptr<State> state_;
  const oci::Reference image_;
  const StatusOr<std::shared_ptr<RepositoryApi>> api_;
};

}  // namespace

Client::Client(ClientOptions options, Dependencies dependencies)
    : state_(std::make_shared<State>(
          State{.options = std::move(options), .deps = std::move(dependencies)})) {
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

std::shared_ptr<oci::ImageDestination> Client::Destination(const oci::Reference& image) {
  return std::make_shared<RegistryDestination<State>>(state_, image);
}

std::shared_ptr<Referrers> Client::ReferrersIn(const oci::Reference& image) {
  const std::string name = fmt::format("{}/{}", image.domain(), image.repository());
  // A repository's name with a tag of ours is always a reference.
  const auto at = [name](const std::string& tag) {
    return *oci::Reference::Parse(fmt::format("{}:{}", name, tag));
  };
  return std::make_shared<Referrers>(Referrers::Dependencies{
      .name = name,
      .reading = state_->Api(image, Access::kPull),
      .writing = state_->Api(image, Access::kPush),
      .retry = [state = state_] { return state->RequestPolicy(); },
      .source =
          [state = state_, at](const std::string& tag) {
            return std::make_shared<RegistrySource<State>>(state, at(tag));
          },
      .destination =
          [state = state_, at](const std::string& tag) {
            return std::make_shared<RegistryDestination<State>>(state, at(tag));
          }});
}

}  // namespace starling::registry

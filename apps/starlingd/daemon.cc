#include "apps/starlingd/daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/starlingd/host_layer_mounter.h"
#include "base/clock.h"
#include "base/copy_fd.h"
#include "base/executor.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/socket_address.h"
#include "base/unique_fd.h"
#include "control/cache_service.h"
#include "control/credentials_service.h"
#include "control/status_service.h"
#include "credentials/sources.h"
#include "cri/image_proxy.h"
#include "http/server.h"
#include "keeper/instance.h"
#include "layer/gzip_index_artifact.h"
#include "metrics/page.h"
#include "mount/layer_host.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "page/page.h"
#include "registry/client.h"
#include "registry/curl_transport.h"
#include "registry/referrers.h"
#include "snapshotter/grpc_server.h"
#include "snapshotter/grpc_service.h"
#include "snapshotter/id_mapping.h"
#include "snapshotter/metadata_store.h"
#include "snapshotter/overlay_mounts.h"
#include "snapshotter/snapshotter.h"

namespace starling {
namespace {

constexpr mode_t kRootMode = 0700;
constexpr size_t kHelperThreads = 2;
// For the calls in flight to end by themselves; none of them waits for a registry then.
constexpr std::chrono::seconds kStopGrace(5);

/// Held for the daemon's life, so that two never share a root.
StatusOr<UniqueFd> LockRoot(const std::filesystem::path& root) {
  RETURN_IF_ERROR(MakeDirectories(root, kRootMode));
  const std::filesystem::path file = root / keeper::kLockFileName;
  ASSIGN_OR_RETURN(UniqueFd lock, RealFileSystem().Open(file, O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("root {} is in use by another starlingd", root.string()));
    }
    return ErrnoError(errno, fmt::format("cannot lock {}", file.string()));
  }
  return lock;
}

std::chrono::milliseconds DeadlineOf(const config::Settings::Registry::Deadline& deadline) {
  return deadline ? *deadline : registry::kForEver;
}

registry::ClientOptions ClientOptionsOf(const config::Settings::Registry& settings) {
  registry::ClientOptions options{.plain_http_hosts = settings.plain_http_hosts,
                                  .request_timeout = settings.request_timeout,
                                  .blob_timeout = settings.blob_timeout,
                                  .max_retries = static_cast<int>(settings.max_retries),
                                  .read_deadline = DeadlineOf(settings.read_deadline)};
  options.hosts_directories.assign(settings.config_path.begin(), settings.config_path.end());
  for (const auto& [name, host] : settings.hosts) {
    options.hosts[name].local = host.local;
    if (host.read_deadline) {
      options.hosts[name].read_deadline = DeadlineOf(*host.read_deadline);
    }
  }
  return options;
}

std::string Seconds(std::chrono::milliseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

void LogOutage(const registry::OutageEvent& event) {
  if (event.kind == registry::OutageEvent::Kind::kAway) {
    log::Warning("a registry does not give what is asked for: reads wait and it is asked again",
                 {{"place", event.place},
                  {"for-seconds", Seconds(event.lasted)},
                  {"requests-waiting", std::to_string(event.waiting)},
                  {"error", event.error}});
  } else {
    log::Info(event.kind == registry::OutageEvent::Kind::kBack
                  ? "a registry answers again: what waited goes on"
                  : "nobody asks a registry any more that was away",
              {{"place", event.place},
               {"after-seconds", Seconds(event.lasted)},
               {"requests-waiting", std::to_string(event.waiting)}});
  }
}

void LogRateLimit(const registry::RateLimitEvent& event) {
  const std::string limit =
      event.limit == registry::RateLimit() ? "not told" : event.limit.ToString();
  if (event.state == registry::RateLimitState::kPlenty) {
    log::Info("a registry answers many requests again",
              {{"registry", event.registry}, {"limit", limit}});
    return;
  }
  log::Warning(event.state == registry::RateLimitState::kExhausted
                   ? "a registry answers no more requests for a while; a login may have more"
                   : "a registry answers few more requests; a login may have more",
               {{"registry", event.registry}, {"limit", limit}});
}

layer::FetchPreference PreferenceOf(config::FetchPreference policy) {
  switch (policy) {
    case config::FetchPreference::kLazy:
      return layer::FetchPreference::kLazy;
    case config::FetchPreference::kEager:
      return layer::FetchPreference::kEager;
    case config::FetchPreference::kAuto:
      break;
  }
  return layer::FetchPreference::kAuto;
}

mount::FetchPolicy FetchPolicyOf(const config::Settings::Fetch& settings) {
  return {.prefetch = settings.prefetch,
          .prefetch_bytes = settings.prefetch_size_bytes,
          .keep_gzip_indexes = settings.keep_gzip_indexes,
          .background = settings.background,
          .preference = PreferenceOf(settings.policy),
          .record_profiles = settings.record_profiles,
          .max_bytes_per_second = settings.max_bytes_per_second,
          .max_bytes_per_second_per_image = settings.max_bytes_per_second_per_image,
          .max_background_bytes_per_second = settings.background_max_bytes_per_second};
}

mount::DataPlane DataPlaneOf(config::DataPlane plane) {
  switch (plane) {
    case config::DataPlane::kTree:
      return mount::DataPlane::kTree;
    case config::DataPlane::kErofs:
      return mount::DataPlane::kErofs;
    case config::DataPlane::kAuto:
      break;
  }
  return mount::DataPlane::kAuto;
}

snapshotter::Snapshotter::PlainLayers PlainLayersOf(config::PlainLayers plain) {
  using snapshotter::Snapshotter;
  return plain == config::PlainLayers::kEager ? Snapshotter::PlainLayers::kEager
                                              : Snapshotter::PlainLayers::kContainerd;
}

/// The file of the listening socket; goes with this unless it is to stay.
class SocketFile {
 public:
  SocketFile(std::filesystem::path path, bool stays) : path_(std::move(path)), stays_(stays) {}
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  ~SocketFile() {
    std::error_code error;
    if (!stays_ && !path_.empty()) {
      std::filesystem::remove(path_, error);
    }
  }
  void Stay(bool stays) { stays_ = stays; }
  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_;
  bool stays_;
};

/// Reads what is attached to an image of one of `hosts`; null when there are none.
std::function<StatusOr<std::vector<estargz::GzipLayerIndex>>(const mount::LayerSpec&)>
FindGzipIndexes(registry::Client& client, const std::vector<std::string>& hosts) {
  if (hosts.empty()) {
    return nullptr;
  }
  return [&client,
          hosts](const mount::LayerSpec& spec) -> StatusOr<std::vector<estargz::GzipLayerIndex>> {
    ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(spec.image));
    const bool is_trusted = std::ranges::any_of(
        hosts, [&](const std::string& host) { return host == "*" || host == reference.domain(); });
    if (!is_trusted || !spec.manifest) {
      return MakeError(StatusCode::kNotFound, "the registry's indexes are not asked for");
    }
    ASSIGN_OR_RETURN(registry::Artifact artifact,
                     client.ReferrersIn(reference)->ReadNewest(
                         *spec.manifest, layer::kGzipIndexType, layer::kMaxGzipIndexArtifactBytes));
    oci::Descriptor descriptor;
    descriptor.digest = *spec.manifest;
    ASSIGN_OR_RETURN(const oci::RawManifest raw,
                     client.Source(reference)->ReadManifest(descriptor));
    ASSIGN_OR_RETURN(const oci::Manifest image, oci::Manifest::Parse(raw.bytes, raw.media_type));
    return layer::ReadGzipIndexes(registry::ContentsOf(std::move(artifact)),
                                  layer::PlainLayersOf(image));
  };
}

/// Everything that one layer's bytes pass through, in order of construction.
class LayerStack {
 public:
  /// Goes on with the mounts of an earlier server, if there are some. What pulls brought is in
  /// `pulled_memory`.
  static StatusOr<std::unique_ptr<LayerStack>> Start(const config::Settings& settings,
                                                     std::optional<mount::Handover> handover,
                                                     UniqueFd pulled_memory) {
    auto stack = std::unique_ptr<LayerStack>(new LayerStack(settings, std::move(pulled_memory)));
    stack->leaves_mounts_ = handover.has_value();
    mount::LayerHost::Options options{.root = settings.root,
                                      .fuse_threads = settings.fuse.threads,
                                      .decode_threads = settings.store.decode_threads,
                                      .max_store_bytes = settings.store.max_size_bytes,
                                      .fetch = FetchPolicyOf(settings.fetch),
                                      .data_plane = DataPlaneOf(settings.mount.data_plane)};
    mount::LayerHost::Dependencies dependencies{
        .sources = [client = &stack->client_](
                       const std::string& image) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
          ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(image));
          return client->Source(reference);
        },
        .blob_places = [client = &stack->client_](
                           const std::string& image) -> StatusOr<std::vector<oci::BlobPlace>> {
          ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(image));
          return client->BlobPlaces(reference);
        },
        .credentials_of =
            [client = &stack->client_](const std::string& image) -> std::optional<std::string> {
          const auto reference = oci::Reference::Parse(image);
          return reference.ok() ? client->CredentialsOf(*reference) : std::nullopt;
        },
        .files = RealFileSystem(),
        .find_gzip_indexes = FindGzipIndexes(stack->client_, settings.fetch.gzip_indexes_from)};
    if (handover) {
      ASSIGN_OR_RETURN(stack->host_,
                       mount::LayerHost::Adopt(std::move(options), std::move(dependencies),
                                               *std::move(handover)));
    } else {
      ASSIGN_OR_RETURN(stack->host_,
                       mount::LayerHost::Start(std::move(options), std::move(dependencies)));
    }
    return stack;
  }
  ~LayerStack() {
    transport_.Stop();
    if (host_ && leaves_mounts_) {
      if (const Status released = host_->Release(); !released.ok()) {
        log::Error("mounts cannot be left to the next server", {{"error", Describe(released)}});
      }
    }
  }

  /// Whether mounts outlive this object. At first those of an earlier server do.
  void LeaveMounts(bool leaves) { leaves_mounts_ = leaves; }

  mount::LayerHost& host() { return *host_; }
  const registry::TransferCounters& transfers() const { return transport_.counters(); }
  credentials::PulledCredentials& pulled_credentials() { return pulled_credentials_; }
  /// Ends what waits for a registry, now and from now on.
  void StopNetwork() { transport_.Stop(); }

 private:
  LayerStack(const config::Settings& settings, UniqueFd pulled_memory)
      : credentials_({.transport = transport_,
                      .files = RealFileSystem(),
                      .clock = SystemClock(),
                      .environment = credentials::Environment::OfProcess(),
                      .pull_secrets = {settings.credentials.pull_secrets.begin(),
                                       settings.credentials.pull_secrets.end()},
                      .kubelet_plugins =
                          {.config_file = settings.credentials.image_credential_provider_config,
                           .bin_dir = settings.credentials.image_credential_provider_bin_dir}}),
        pulled_credentials_(
            credentials_.AddPulled(settings.cri.credentials_max_age, std::move(pulled_memory))),
        helpers_("helper", kHelperThreads),
        client_(ClientOptionsOf(settings.registry), {.transport = transport_,
                                                     .credentials = credentials_.in_order(),
                                                     .clock = SystemClock(),
                                                     .executor = helpers_,
                                                     .on_outage = LogOutage,
                                                     .on_rate_limit = LogRateLimit}) {}

  registry::CurlTransport transport_;
  credentials::Sources credentials_;
  credentials::PulledCredentials& pulled_credentials_;  // of credentials_
  ThreadPool helpers_;
  registry::Client client_;
  std::unique_ptr<mount::LayerHost> host_;
  bool leaves_mounts_ = false;
};

/// The socket of the CRI's image service.
class ImageSocket {
 public:
  /// Opens it, or goes on with that of an earlier server. Null when it is not configured.
  /// Before anything is mounted: an address in use should leave no trace.
  static StatusOr<std::unique_ptr<ImageSocket>> Open(const config::Settings::Cri& settings,
                                                     Takeover& takeover) {
    SocketFile earlier(std::move(takeover.images_path), /*stays=*/false);
    if (settings.image_socket.empty()) {
      return nullptr;
    }
    const bool goes_on = takeover.images.valid() && earlier.path() == settings.image_socket;
    earlier.Stay(goes_on);
    StatusOr<snapshotter::UnixListener> listener =
        goes_on ? snapshotter::UnixListener::Adopt(std::move(takeover.images))
                : snapshotter::UnixListener::Bind(settings.image_socket);
    RETURN_IF_ERROR(Annotate(listener.status(), "cri.image_socket"));
    return std::unique_ptr<ImageSocket>(new ImageSocket(settings, *std::move(listener), goes_on));
  }

  Status AddTo(std::vector<keeper::Kept>& kept) const {
    return KeepImages(kept, listener_.fd(), file_.path());
  }
  /// Once.
  snapshotter::UnixListener TakeListener() { return std::move(listener_); }
  const std::filesystem::path& containerd() const { return containerd_; }
  void Stay(bool stays) { file_.Stay(stays); }

 private:
  ImageSocket(const config::Settings::Cri& settings, snapshotter::UnixListener listener,
              bool socket_stays)
      : containerd_(settings.backend),
        listener_(std::move(listener)),
        file_(settings.image_socket, socket_stays) {
    listener_.LeaveFile();
  }

  const std::filesystem::path containerd_;
  snapshotter::UnixListener listener_;
  SocketFile file_;
};

/// The CRI's image service. Borrows the memory of pulls: it must end before that.
class ImageServer {
 public:
  static StatusOr<std::unique_ptr<ImageServer>> Start(ImageSocket& socket,
                                                      credentials::PulledCredentials& pulled) {
    auto started = std::unique_ptr<ImageServer>(new ImageServer(socket.containerd(), pulled));
    ASSIGN_OR_RETURN(started->server_, snapshotter::GrpcServer::Start({.others = &started->proxy_},
                                                                      socket.TakeListener(), {}));
    return started;
  }
  void Stop() { server_->Stop(kStopGrace); }

 private:
  ImageServer(const std::filesystem::path& containerd, credentials::PulledCredentials& pulled)
      : proxy_(containerd, pulled) {}

  cri::ImageProxy proxy_;
  std::unique_ptr<snapshotter::GrpcServer> server_;  // last: it uses the proxy
};

std::string NameOf(const mount::PlaneChoice& shown) {
  return shown.plane == mount::DataPlane::kErofs ? "erofs" : "tree";
}

/// What is served over HTTP, if it is wanted.
class HttpSocket {
 public:
  /// What is served, and what the log says of it.
  struct What {
    std::string name;
    std::string path;
    std::string_view served;
    std::string_view not_served;
  };
  /// Null when it is not wanted, or when its address cannot be had: no reason to leave containers
  /// without a server.
  static std::unique_ptr<HttpSocket> Serve(const std::string& address, const What& what,
                                           http::Handler handler) {
    if (address.empty()) {
      return nullptr;
    }
    auto socket = std::unique_ptr<HttpSocket>(new HttpSocket());
    const auto served_at = socket->Start(address, what.name, std::move(handler));
    if (!served_at.ok()) {
      log::Warning(what.not_served,
                   {{"address", address}, {"error", Describe(served_at.status())}});
      return nullptr;
    }
    log::Info(what.served, {{"address", *served_at}, {"path", what.path}});
    return socket;
  }

 private:
  HttpSocket() = default;

  /// The address that it has got.
  StatusOr<std::string> Start(const std::string& text, std::string name, http::Handler handler) {
    ASSIGN_OR_RETURN(const SocketAddress address, SocketAddress::Parse(text));
    std::string served_at = text;
    int listener = -1;
    if (address.path().empty()) {
      ASSIGN_OR_RETURN(tcp_, address.ListenOnTcp());
      listener = tcp_.get();
      ASSIGN_OR_RETURN(served_at, TcpAddressOf(listener));
    } else {
      ASSIGN_OR_RETURN(snapshotter::UnixListener bound,
                       snapshotter::UnixListener::Bind(address.path()));
      unix_.emplace(std::move(bound));
      listener = unix_->fd();
    }
    ASSIGN_OR_RETURN(server_,
                     http::Server::Start(listener, std::move(name), std::move(handler), {}));
    return served_at;
  }

  UniqueFd tcp_;
  std::optional<snapshotter::UnixListener> unix_;
  std::unique_ptr<http::Server> server_;  // last: it uses the listener
};

std::string WriteMetrics(LayerStack& layers) {
  mount::LayerHost& host = layers.host();
  return metrics::WritePage({.fetches = host.fetch_counters(),
                             .mounts = host.mount_counters(),
                             .transfers = layers.transfers(),
                             .host = host.state(),
                             .version = STARLING_VERSION,
                             .data_plane = NameOf(host.data_plane())});
}

}  // namespace

Status RunDaemon(const config::Settings& settings, Takeover takeover, keeper::Channel& channel,
                 const std::function<EndOfService()>& wait_for_end) {
  const std::filesystem::path root = settings.root;
  RETURN_IF_ERROR(snapshotter::CheckOverlayPath(root));
  const bool has_mounts = takeover.handover.has_value();
  UniqueFd lock = std::move(takeover.root_lock);
  if (!lock.valid()) {
    ASSIGN_OR_RETURN(lock, LockRoot(root));
  }
  // Before anything is mounted: an address in use should leave no trace.
  const bool is_new_listener = !takeover.listener.valid();
  StatusOr<snapshotter::UnixListener> listener =
      is_new_listener ? snapshotter::UnixListener::Bind(settings.address)
                      : snapshotter::UnixListener::Adopt(std::move(takeover.listener));
  RETURN_IF_ERROR(listener.status());
  SocketFile file(is_new_listener ? listener->LeaveFile() : std::move(takeover.listener_path),
                  /*stays=*/has_mounts);
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageSocket> images,
                   ImageSocket::Open(settings.cri, takeover));
  UniqueFd pulled_memory = std::move(takeover.pulled_credentials);
  if (!pulled_memory.valid()) {
    ASSIGN_OR_RETURN(pulled_memory, credentials::PulledCredentials::NewMemory());
  }
  ASSIGN_OR_RETURN(const UniqueFd pulled_copy, CopyFd(pulled_memory.get()));
  ASSIGN_OR_RETURN(const std::unique_ptr<snapshotter::MetadataStore> metadata,
                   snapshotter::MetadataStore::Open(root / "metadata.db", SystemClock()));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LayerStack> layers,
      LayerStack::Start(settings, std::move(takeover.handover), std::move(pulled_memory)));
  HostLayerMounter mounter(layers->host());
  const Status id_mapping = snapshotter::ProbeIdMapping(root);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<snapshotter::Snapshotter> snapshots,
      snapshotter::Snapshotter::Open({.root = root,
                                      .overlay = snapshotter::ProbeOverlay("/"),
                                      .id_mapping = id_mapping,
                                      .plain_layers = PlainLayersOf(settings.fetch.plain_layers)},
                                     {.metadata = *metadata, .layers = mounter}));
  for (const Status& problem : snapshots->startup_problems()) {
    log::Warning("left from an earlier run", {{"error", Describe(problem)}});
  }
  ASSIGN_OR_RETURN(mount::Handover handover, layers->host().CopyHandover());
  ASSIGN_OR_RETURN(std::vector<keeper::Kept> kept,
                   KeptOf(std::move(handover), listener->fd(), file.path(), lock.get(), settings));
  RETURN_IF_ERROR(KeepPulled(kept, pulled_copy.get()));
  if (images) {
    RETURN_IF_ERROR(images->AddTo(kept));
  }
  RETURN_IF_ERROR(channel.SendKept(kept));
  snapshotter::SnapshotsService service(*snapshots);
  control::CacheService cache_service(layers->host().cache());
  control::StatusService status_service(layers->host().status());
  control::CredentialsService credentials_service(
      [&pulled = layers->pulled_credentials()](const std::string& registry,
                                               const std::string& repository, std::string secret) {
        return pulled.RememberSecret({.registry = registry, .repository = repository},
                                     std::move(secret));
      });
  ASSIGN_OR_RETURN(const std::unique_ptr<snapshotter::GrpcServer> server,
                   snapshotter::GrpcServer::Start(
                       {}, *std::move(listener),
                       {&service, &cache_service, &status_service, &credentials_service}));
  std::unique_ptr<ImageServer> image_server;
  if (images) {
    ASSIGN_OR_RETURN(image_server, ImageServer::Start(*images, layers->pulled_credentials()));
    log::Info("the image service of the CRI goes through starlingd",
              {{"address", settings.cri.image_socket}, {"containerd", settings.cri.backend}});
  }
  const std::unique_ptr<HttpSocket> metrics =
      HttpSocket::Serve(settings.metrics.address,
                        {.name = "metrics",
                         .path = "/metrics",
                         .served = "metrics are served",
                         .not_served = "metrics are not served"},
                        metrics::HandlerOf([&layers] { return WriteMetrics(*layers); }));
  const std::unique_ptr<HttpSocket> page = HttpSocket::Serve(
      settings.page.address,
      {.name = "page",
       .path = "/",
       .served = "the page is served",
       .not_served = "the page is not served"},
      page::HandlerOf(layers->host().status(), SystemClock(), "starling " STARLING_VERSION));
  const mount::PlaneChoice& shown = layers->host().data_plane();
  log::Info("starlingd serves", {{"address", settings.address},
                                 {"root", settings.root},
                                 {"data-plane", NameOf(shown)},
                                 {"data-plane-reason", shown.reason},
                                 {"maps-ids", id_mapping.ok() ? "true" : Describe(id_mapping)}});
  RETURN_IF_ERROR(keeper::WriteInstance(lock.get(), {.keeper = ::getppid(), .server = ::getpid()}));
  RETURN_IF_ERROR(channel.SendReady());
  const bool hands_over = wait_for_end() == EndOfService::kHandOver;
  log::Info(hands_over ? "starlingd hands over" : "starlingd stops");
  layers->LeaveMounts(hands_over);
  if (hands_over) {
    layers->host().LeaveFailures();
  }
  file.Stay(hands_over);
  layers->StopNetwork();
  if (images) {
    images->Stay(hands_over);
    image_server->Stop();
  }
  server->Stop(kStopGrace);
  return OkStatus();
}

}  // namespace starling

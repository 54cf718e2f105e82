#include "containerd/client.h"

#include <google/protobuf/empty.pb.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>

#include "api/containerd/services/content/v1/content.grpc.pb.h"
#include "api/containerd/services/diff/v1/diff.grpc.pb.h"
#include "api/containerd/services/images/v1/images.grpc.pb.h"
#include "api/containerd/services/introspection/v1/introspection.grpc.pb.h"
#include "api/containerd/services/leases/v1/leases.grpc.pb.h"
#include "api/containerd/services/namespaces/v1/namespaces.grpc.pb.h"
#include "api/containerd/services/snapshots/v1/snapshots.grpc.pb.h"
#include "api/containerd/services/version/v1/version.grpc.pb.h"
#include "base/timestamp.h"
#include "containerd/channel.h"
#include "containerd/mounts.h"

namespace starling::containerd {
namespace {

namespace content = ::containerd::services::content::v1;
namespace diff = ::containerd::services::diff::v1;
namespace images = ::containerd::services::images::v1;
namespace introspection = ::containerd::services::introspection::v1;
namespace leases = ::containerd::services::leases::v1;
namespace namespaces = ::containerd::services::namespaces::v1;
namespace snapshots = ::containerd::services::snapshots::v1;
namespace version = ::containerd::services::version::v1;

constexpr size_t kWritePieceBytes = 1 << 20;
constexpr const char* kSnapshotterType = "io.containerd.snapshotter.v1";
constexpr const char* kNamespaceHeader = "containerd-namespace";
constexpr const char* kLeaseHeader = "containerd-lease";
constexpr const char* kExpireLabel = "containerd.io/gc.expire";

void SetDescriptor(const oci::Descriptor& from, ::containerd::types::Descriptor& to) {
  to.set_media_type(from.media_type);
  to.set_digest(from.digest.ToString());
  to.set_size(static_cast<int64_t>(from.size_bytes));
  to.mutable_annotations()->insert(from.annotations.begin(), from.annotations.end());
}

/// Of a blob's ingest. containerd locks the name against every other writer, so it holds what no
/// other client has: the lease.
std::string IngestName(const std::string& lease, std::string_view blob) {
  return fmt::format("{}-{}", lease.empty() ? "starling" : lease, blob);
}

/// Differs for every blob that this process writes.
std::string NewBlobName() {
  static std::atomic<uint64_t> count = 0;
  return fmt::format("new-{}-{}", ::getpid(), ++count);
}

}  // namespace

struct Client::Stubs {
  explicit Stubs(std::shared_ptr<grpc::Channel> to_containerd)
      : channel(std::move(to_containerd)),
        contents(content::Content::NewStub(channel)),
        diffs(diff::Diff::NewStub(channel)),
        images_(images::Images::NewStub(channel)),
        introspections(introspection::Introspection::NewStub(channel)),
        leases_(leases::Leases::NewStub(channel)),
        namespaces_(namespaces::Namespaces::NewStub(channel)),
        snapshots_(snapshots::Snapshots::NewStub(channel)),
        versions(version::Version::NewStub(channel)) {}

  /// A call's context: namespace, lease and deadline.
  struct Context : grpc::ClientContext {
    Context(const Client& client, std::chrono::milliseconds timeout) {
      AddMetadata(kNamespaceHeader, client.options_.namespace_name);
      if (!client.lease_.empty()) {
        AddMetadata(kLeaseHeader, client.lease_);
      }
      set_deadline(std::chrono::system_clock::now() + timeout);
    }
    explicit Context(const Client& client) : Context(client, client.options_.call_timeout) {}
  };

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<content::Content::Stub> contents;
  std::unique_ptr<diff::Diff::Stub> diffs;
  std::unique_ptr<images::Images::Stub> images_;
  std::unique_ptr<introspection::Introspection::Stub> introspections;
  std::unique_ptr<leases::Leases::Stub> leases_;
  std::unique_ptr<namespaces::Namespaces::Stub> namespaces_;
  std::unique_ptr<snapshots::Snapshots::Stub> snapshots_;
  std::unique_ptr<version::Version::Stub> versions;

  static Status Result(const Client& client, const grpc::Status& status, std::string_view what) {
    if (status.ok()) {
      return OkStatus();
    }
    const auto code = static_cast<StatusCode>(status.error_code());
    if (client.options_.channel != nullptr) {
      return MakeError(code, fmt::format("{}: {}", what, status.error_message()));
    }
    // With a connection it is containerd's own answer, about a plugin that it calls.
    if (code == StatusCode::kUnavailable &&
        client.stubs_->channel->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY) {
      return MakeError(code, fmt::format("containerd at {}: {} (is it running? --address names "
                                         "its socket)",
                                         client.options_.address, status.error_message()));
    }
    return MakeError(code, fmt::format("containerd: {}: {}", what, status.error_message()));
  }
};

Client::Client(Options options)
    : options_(std::move(options)),
      stubs_(std::make_unique<Stubs>(options_.channel != nullptr ? options_.channel
                                                                 : Dial(options_.address))) {}

Client::~Client() = default;

StatusOr<std::string> Client::Version() {
  Stubs::Context context(*this);
  version::VersionResponse response;
  RETURN_IF_ERROR(Stubs::Result(
      *this, stubs_->versions->Version(&context, google::protobuf::Empty(), &response), "version"));
  return response.version();
}

StatusOr<std::map<std::string, Client::Snapshotter>> Client::Snapshotters() {
  Stubs::Context context(*this);
  introspection::PluginsRequest request;
  request.add_filters(fmt::format("type=={}", kSnapshotterType));
  introspection::PluginsResponse response;
  RETURN_IF_ERROR(Stubs::Result(
      *this, stubs_->introspections->Plugins(&context, request, &response), "list plugins"));
  std::map<std::string, Snapshotter> snapshotters;
  for (const introspection::Plugin& plugin : response.plugins()) {
    if (plugin.type() != kSnapshotterType) {
      continue;
    }
    Snapshotter snapshotter{.address = "",
                            .exports = {plugin.exports().begin(), plugin.exports().end()},
                            .error = plugin.init_err().message()};
    if (const auto address = snapshotter.exports.find("address");
        address != snapshotter.exports.end()) {
      snapshotter.address = address->second;
    }
    snapshotters.emplace(plugin.id(), std::move(snapshotter));
  }
  return snapshotters;
}

StatusOr<std::string> Client::CreateLease(std::chrono::seconds lifetime, const std::string& id) {
  Stubs::Context context(*this);
  leases::CreateRequest request;
  request.set_id(!id.empty()
                     ? id
                     : fmt::format("starling-{}",
                                   std::chrono::system_clock::now().time_since_epoch().count()));
  (*request.mutable_labels())[kExpireLabel] =
      TimestampText(std::chrono::system_clock::now() + lifetime);
  leases::CreateResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->leases_->Create(&context, request, &response),
                                "create a lease"));
  return response.lease().id();
}

Status Client::DeleteLease(const std::string& id) {
  Stubs::Context context(*this);
  leases::DeleteRequest request;
  request.set_id(id);
  google::protobuf::Empty response;
  return Stubs::Result(*this, stubs_->leases_->Delete(&context, request, &response),
                       "delete the lease");
}

Status Client::HoldSnapshot(const std::string& snapshotter, const std::string& name) {
  if (lease_.empty()) {
    return OkStatus();
  }
  Stubs::Context context(*this);
  leases::AddResourceRequest request;
  request.set_id(lease_);
  request.mutable_resource()->set_id(name);
  request.mutable_resource()->set_type("snapshots/" + snapshotter);
  google::protobuf::Empty response;
  return Stubs::Result(*this, stubs_->leases_->AddResource(&context, request, &response),
                       "hold a snapshot");
}

StatusOr<Bytes> Client::ReadContent(const oci::Descriptor& blob) {
  /// Ends the stream with the first byte too many.
  class BoundedSink : public ByteSink {
   public:
    explicit BoundedSink(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
    Status Write(ByteSpan part) override {
      is_too_long_ = part.size() > limit_bytes_ - bytes_.size();
      if (is_too_long_) {
        return MakeError(StatusCode::kDataLoss, "too long");
      }
      bytes_.insert(bytes_.end(), part.begin(), part.end());
      return OkStatus();
    }
    bool is_too_long() const { return is_too_long_; }
    Bytes& bytes() { return bytes_; }

   private:
    const uint64_t limit_bytes_;
    Bytes bytes_;
    bool is_too_long_ = false;
  } sink(blob.size_bytes);
  const Status streamed = StreamContent(blob.digest, 0, sink);
  if (!sink.is_too_long()) {
    RETURN_IF_ERROR(streamed);
  }
  if (sink.bytes().size() != blob.size_bytes || oci::Digest::Of(sink.bytes()) != blob.digest) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("containerd: blob {} is not what its digest says", blob.digest.ToString()));
  }
  return std::move(sink.bytes());
}

Status Client::StreamContent(const oci::Digest& digest, uint64_t blob_offset, ByteSink& sink) {
  Stubs::Context context(*this, options_.apply_timeout);
  content::ReadContentRequest request;
  request.set_digest(digest.ToString());
  request.set_offset(static_cast<int64_t>(blob_offset));
  const auto stream = stubs_->contents->Read(&context, request);
  content::ReadContentResponse piece;
  Status taken;
  while (taken.ok() && stream->Read(&piece)) {
    taken = sink.Write(AsBytes(piece.data()));
  }
  if (!taken.ok()) {
    context.TryCancel();
  }
  const grpc::Status ended = stream->Finish();
  RETURN_IF_ERROR(taken);
  return Stubs::Result(*this, ended, fmt::format("read blob {}", digest.ToString()));
}

StatusOr<Labels> Client::ContentLabels(const oci::Digest& digest) {
  Stubs::Context context(*this);
  content::InfoRequest request;
  request.set_digest(digest.ToString());
  content::InfoResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->contents->Info(&context, request, &response),
                                "look for a blob"));
  return Labels(response.info().labels().begin(), response.info().labels().end());
}

Status Client::LabelContent(const oci::Digest& digest, const Labels& labels) {
  Stubs::Context context(*this);
  content::UpdateRequest request;
  request.mutable_info()->set_digest(digest.ToString());
  request.mutable_info()->mutable_labels()->insert(labels.begin(), labels.end());
  for (const auto& [key, value] : labels) {
    request.mutable_update_mask()->add_paths("labels." + key);
  }
  content::UpdateResponse response;
  return Stubs::Result(*this, stubs_->contents->Update(&context, request, &response),
                       "label a blob");
}

/// One ingest: every message is answered before the next is sent.
class Client::Ingest {
 public:
  /// `total` and `expected` may be zero and empty: not known yet.
  Ingest(const Client& client, std::string name, uint64_t total, std::string expected)
      : client_(client),
        name_(std::move(name)),
        total_(total),
        expected_(std::move(expected)),
        context_(client, client.options_.apply_timeout),
        stream_(client.stubs_->contents->Write(&context_)) {}
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;

  ~Ingest() {
    if (!finished_) {
      context_.TryCancel();
      stream_->Finish();
    }
    if (!open_) {
      return;
    }
    // An ingest that nobody goes on with would wait for its lease's end.
    Stubs::Context context(client_);
    content::AbortRequest request;
    request.set_ref(name_);
    google::protobuf::Empty response;
    client_.stubs_->contents->Abort(&context, request, &response);
  }

  Status Begin() {
    content::WriteContentRequest request;
    request.set_action(content::STAT);
    request.set_ref(name_);
    request.set_total(static_cast<int64_t>(total_));
    request.set_expected(expected_);
    RETURN_IF_ERROR(Exchange(request));
    open_ = true;
    return OkStatus();
  }

  Status Write(ByteSpan bytes) {
    while (!bytes.empty()) {
      const ByteSpan piece = bytes.first(std::min(bytes.size(), kWritePieceBytes));
      content::WriteContentRequest request;
      request.set_action(content::WRITE);
      request.set_offset(static_cast<int64_t>(offset_));
      request.set_data(piece.data(), piece.size());
      RETURN_IF_ERROR(Exchange(request));
      offset_ += piece.size();
      bytes = bytes.subspan(piece.size());
    }
    return OkStatus();
  }

  /// Fails unless the bytes are `total` and have the digest `expected`.
  Status Commit(uint64_t total, const std::string& expected, const Labels& labels) {
    content::WriteContentRequest request;
    request.set_action(content::COMMIT);
    request.set_offset(static_cast<int64_t>(offset_));
    request.set_total(static_cast<int64_t>(total));
    request.set_expected(expected);
    request.mutable_labels()->insert(labels.begin(), labels.end());
    Status committed = Exchange(request);
    if (!finished_) {
      finished_ = true;
      stream_->WritesDone();
      // gRPC completes Finish only once a read has seen the stream's end.
      content::WriteContentResponse rest;
      while (stream_->Read(&rest)) {
      }
      stream_->Finish();
    }
    const bool stored = committed.ok() || committed.code() == StatusCode::kAlreadyExists;
    open_ = !stored;
    return stored ? OkStatus() : committed;
  }

  uint64_t written_bytes() const { return offset_; }

 private:
  Status Exchange(const content::WriteContentRequest& request) {
    if (finished_) {
      return MakeError(StatusCode::kFailedPrecondition, "the ingest is over");
    }
    content::WriteContentResponse response;
    if (stream_->Write(request) && stream_->Read(&response)) {
      return OkStatus();
    }
    finished_ = true;
    const grpc::Status status = stream_->Finish();
    if (status.ok()) {
      return MakeError(StatusCode::kUnavailable, "containerd ended the stream of a blob early");
    }
    return Stubs::Result(
        client_, status,
        fmt::format("store blob {}", expected_.empty() ? request.expected() : expected_));
  }

  const Client& client_;
  const std::string name_;
  const uint64_t total_;
  const std::string expected_;
  Stubs::Context context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<content::WriteContentRequest, content::WriteContentResponse>>
      stream_;
  uint64_t offset_ = 0;
  bool finished_ = false;  // the stream
  bool open_ = false;      // what containerd keeps of the blob
};

StatusOr<std::unique_ptr<Client::ContentWriter>> Client::WriteContent(const oci::Descriptor& blob) {
  class Writer : public ContentWriter {
   public:
    Writer(const Client& client, const oci::Descriptor& of)
        : size_bytes_(of.size_bytes),
          digest_(of.digest.ToString()),
          ingest_(client, IngestName(client.lease_, digest_), size_bytes_, digest_) {}
    Status Begin() { return ingest_.Begin(); }
    Status Write(ByteSpan bytes) override { return ingest_.Write(bytes); }
    Status Commit(const Labels& labels) override {
      return ingest_.Commit(size_bytes_, digest_, labels);
    }

   private:
    const uint64_t size_bytes_;
    const std::string digest_;
    Ingest ingest_;
  };
  auto writer = std::make_unique<Writer>(*this, blob);
  RETURN_IF_ERROR(writer->Begin());
  return std::unique_ptr<ContentWriter>(std::move(writer));
}

StatusOr<std::unique_ptr<Client::NewContentWriter>> Client::WriteNewContent() {
  class Writer : public NewContentWriter {
   public:
    explicit Writer(const Client& client)
        : ingest_(client, IngestName(client.lease_, NewBlobName()), 0, "") {}
    Status Begin() { return ingest_.Begin(); }
    Status Write(ByteSpan bytes) override { return ingest_.Write(bytes); }
    Status Commit(const oci::Digest& digest, const Labels& labels) override {
      return ingest_.Commit(ingest_.written_bytes(), digest.ToString(), labels);
    }

   private:
    Ingest ingest_;
  };
  auto writer = std::make_unique<Writer>(*this);
  RETURN_IF_ERROR(writer->Begin());
  return std::unique_ptr<NewContentWriter>(std::move(writer));
}

Status Client::PutContent(const oci::Descriptor& blob, ByteSpan bytes, const Labels& labels) {
  StatusOr<std::unique_ptr<ContentWriter>> writer = WriteContent(blob);
  if (writer.status().code() == StatusCode::kAlreadyExists) {
    return LabelContent(blob.digest, labels);
  }
  RETURN_IF_ERROR(writer.status());
  RETURN_IF_ERROR((*writer)->Write(bytes));
  return (*writer)->Commit(labels);
}

StatusOr<std::vector<Client::Content>> Client::FindContent(const std::string& filter) {
  Stubs::Context context(*this);
  content::ListContentRequest request;
  request.add_filters(filter);
  const auto stream = stubs_->contents->List(&context, request);
  content::ListContentResponse response;
  std::vector<Content> found;
  while (stream->Read(&response)) {
    for (const content::Info& info : response.info()) {
      const auto digest = oci::Digest::Parse(info.digest());
      if (digest.ok() && info.size() >= 0) {
        found.push_back({.digest = *digest,
                         .size_bytes = static_cast<uint64_t>(info.size()),
                         .labels = Labels(info.labels().begin(), info.labels().end())});
      }
    }
  }
  RETURN_IF_ERROR(Stubs::Result(*this, stream->Finish(), "list blobs"));
  return found;
}

Status Client::DeleteContent(const oci::Digest& digest) {
  Stubs::Context context(*this);
  content::DeleteContentRequest request;
  request.set_digest(digest.ToString());
  google::protobuf::Empty response;
  return Stubs::Result(*this, stubs_->contents->Delete(&context, request, &response),
                       "delete a blob");
}

StatusOr<Labels> Client::StatSnapshot(const std::string& snapshotter, const std::string& name) {
  Stubs::Context context(*this);
  snapshots::StatSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(name);
  snapshots::StatSnapshotResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->snapshots_->Stat(&context, request, &response),
                                "look for a snapshot"));
  return Labels(response.info().labels().begin(), response.info().labels().end());
}

StatusOr<std::vector<Mount>> Client::PrepareSnapshot(const std::string& snapshotter,
                                                     const std::string& key,
                                                     const std::string& parent,
                                                     const Labels& labels) {
  // The snapshotter may ask a registry meanwhile.
  Stubs::Context context(*this, options_.apply_timeout);
  snapshots::PrepareSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  request.set_parent(parent);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  snapshots::PrepareSnapshotResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->snapshots_->Prepare(&context, request, &response),
                                "prepare a snapshot"));
  return MountsOf(response.mounts());
}

StatusOr<std::vector<Mount>> Client::ViewSnapshot(const std::string& snapshotter,
                                                  const std::string& key, const std::string& parent,
                                                  const Labels& labels) {
  Stubs::Context context(*this, options_.apply_timeout);
  snapshots::ViewSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  request.set_parent(parent);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  snapshots::ViewSnapshotResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->snapshots_->View(&context, request, &response),
                                "view a snapshot"));
  return MountsOf(response.mounts());
}

Status Client::CommitSnapshot(const std::string& snapshotter, const std::string& name,
                              const std::string& key, const Labels& labels) {
  Stubs::Context context(*this);
  snapshots::CommitSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_name(name);
  request.set_key(key);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  google::protobuf::Empty response;
  return Stubs::Result(*this, stubs_->snapshots_->Commit(&context, request, &response),
                       "commit a snapshot");
}

Status Client::RemoveSnapshot(const std::string& snapshotter, const std::string& key) {
  Stubs::Context context(*this);
  snapshots::RemoveSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  google::protobuf::Empty response;
  return Stubs::Result(*this, stubs_->snapshots_->Remove(&context, request, &response),
                       "remove a snapshot");
}

StatusOr<oci::Digest> Client::Apply(const oci::Descriptor& layer,
                                    const std::vector<Mount>& mounts) {
  Stubs::Context context(*this, options_.apply_timeout);
  diff::ApplyRequest request;
  SetDescriptor(layer, *request.mutable_diff());
  for (const Mount& mount : mounts) {
    ::containerd::types::Mount& to = *request.add_mounts();
    to.set_type(mount.type);
    to.set_source(mount.source);
    to.mutable_options()->Add(mount.options.begin(), mount.options.end());
  }
  diff::ApplyResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->diffs->Apply(&context, request, &response),
                                fmt::format("unpack layer {}", layer.digest.ToString())));
  return oci::Digest::Parse(response.applied().digest());
}

StatusOr<std::vector<std::string>> Client::Namespaces() {
  Stubs::Context context(*this);
  namespaces::ListNamespacesResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->namespaces_->List(&context, {}, &response),
                                "list the namespaces"));
  std::vector<std::string> names;
  for (const namespaces::Namespace& one : response.namespaces()) {
    names.push_back(one.name());
  }
  return names;
}

StatusOr<std::vector<Client::Image>> Client::Images() {
  Stubs::Context context(*this);
  images::ListImagesResponse response;
  RETURN_IF_ERROR(
      Stubs::Result(*this, stubs_->images_->List(&context, {}, &response), "list the images"));
  std::vector<Image> found;
  for (const images::Image& image : response.images()) {
    const auto digest = oci::Digest::Parse(image.target().digest());
    if (!digest.ok() || image.target().size() < 0) {
      continue;
    }
    oci::Descriptor target;
    target.media_type = image.target().media_type();
    target.digest = *digest;
    target.size_bytes = static_cast<uint64_t>(image.target().size());
    found.push_back({.name = image.name(), .target = std::move(target)});
  }
  return found;
}

StatusOr<oci::Descriptor> Client::GetImage(const std::string& name) {
  Stubs::Context context(*this);
  images::GetImageRequest request;
  request.set_name(name);
  images::GetImageResponse response;
  RETURN_IF_ERROR(Stubs::Result(*this, stubs_->images_->Get(&context, request, &response),
                                "look for an image"));
  const ::containerd::types::Descriptor& target = response.image().target();
  if (target.size() < 0) {
    return MakeError(StatusCode::kDataLoss, fmt::format("containerd: {} has no size", name));
  }
  ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(target.digest()));
  return oci::Descriptor{.media_type = target.media_type(),
                         .digest = digest,
                         .size_bytes = static_cast<uint64_t>(target.size())};
}

Status Client::PutImage(const std::string& name, const oci::Descriptor& target) {
  images::Image image;
  image.set_name(name);
  SetDescriptor(target, *image.mutable_target());
  {
    Stubs::Context context(*this);
    images::CreateImageRequest request;
    *request.mutable_image() = image;
    images::CreateImageResponse response;
    const grpc::Status status = stubs_->images_->Create(&context, request, &response);
    if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) {
      return Stubs::Result(*this, status, "create the image");
    }
  }
  Stubs::Context context(*this);
  images::UpdateImageRequest request;
  *request.mutable_image() = image;
  request.mutable_update_mask()->add_paths("target");
  images::UpdateImageResponse response;
  return Stubs::Result(*this, stubs_->images_->Update(&context, request, &response),
                       "update the image");
}

}  // namespace starling::containerd

#include "standalone/snapshots_service.h"

#include <google/protobuf/empty.pb.h>

#include "api/snapshot_labels.h"
#include "containerd/channel.h"
#include "standalone/call.h"

namespace starling::standalone {
namespace {

namespace pb = ::containerd::services::snapshots::v1;

constexpr std::chrono::seconds kOwnCallTimeout{30};

/// A call on behalf of another, which ends when that does.
struct PassedOn : grpc::ClientContext {
  explicit PassedOn(const grpc::ServerContext& from) { set_deadline(from.deadline()); }
};

struct OwnCall : grpc::ClientContext {
  OwnCall() { set_deadline(std::chrono::system_clock::now() + kOwnCallTimeout); }
};

}  // namespace

SnapshotsService::SnapshotsService(Store& store, std::filesystem::path socket)
    : store_(store),
      socket_(std::move(socket)),
      prefix_(fmt::format("{}{}/", api::snapshot_label::kStandalonePrefix, store.id())),
      stub_(pb::Snapshots::NewStub(containerd::Dial(socket_))) {}

std::string SnapshotsService::Inner(const std::string& name) const {
  return name.empty() ? name : prefix_ + name;
}

std::string SnapshotsService::Outer(const std::string& name) const {
  return name.starts_with(prefix_) ? name.substr(prefix_.size()) : name;
}

/// With names as the client knows them.
grpc::Status SnapshotsService::Answer(const grpc::Status& status) const {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return {status.error_code(),
            fmt::format("starlingd at {}: {} (is it running? systemctl start starling, or "
                        "starlingd in the foreground; --starlingd names its socket)",
                        socket_.native(), status.error_message())};
  }
  std::string message = status.error_message();
  for (size_t at = message.find(prefix_); at != std::string::npos; at = message.find(prefix_, at)) {
    message.erase(at, prefix_.size());
  }
  return {status.error_code(), message};
}

Status SnapshotsService::Checked(const grpc::Status& status) const {
  const grpc::Status answer = Answer(status);
  return answer.ok()
             ? OkStatus()
             : MakeError(static_cast<StatusCode>(answer.error_code()), answer.error_message());
}

grpc::Status SnapshotsService::Prepare(grpc::ServerContext* context,
                                       const pb::PrepareSnapshotRequest* request,
                                       pb::PrepareSnapshotResponse* response) {
  const std::string lease = LeaseOf(*context);
  if (const Status held = store_.HoldSnapshot(lease, request->key()); !held.ok()) {
    return ToGrpc(held);
  }
  pb::PrepareSnapshotRequest inner = *request;
  inner.set_key(Inner(request->key()));
  inner.set_parent(Inner(request->parent()));
  const auto ref = inner.mutable_labels()->find(std::string(api::snapshot_label::kRef));
  if (ref != inner.mutable_labels()->end()) {
    if (const Status held = store_.HoldSnapshot(lease, ref->second); !held.ok()) {
      return ToGrpc(held);
    }
    ref->second = Inner(ref->second);
  }
  PassedOn call(*context);
  return Answer(stub_->Prepare(&call, inner, response));
}

grpc::Status SnapshotsService::View(grpc::ServerContext* context,
                                    const pb::ViewSnapshotRequest* request,
                                    pb::ViewSnapshotResponse* response) {
  if (const Status held = store_.HoldSnapshot(LeaseOf(*context), request->key()); !held.ok()) {
    return ToGrpc(held);
  }
  pb::ViewSnapshotRequest inner = *request;
  inner.set_key(Inner(request->key()));
  inner.set_parent(Inner(request->parent()));
  PassedOn call(*context);
  return Answer(stub_->View(&call, inner, response));
}

grpc::Status SnapshotsService::Commit(grpc::ServerContext* context,
                                      const pb::CommitSnapshotRequest* request,
                                      google::protobuf::Empty* response) {
  if (const Status held = store_.HoldSnapshot(LeaseOf(*context), request->name()); !held.ok()) {
    return ToGrpc(held);
  }
  pb::CommitSnapshotRequest inner = *request;
  inner.set_name(Inner(request->name()));
  inner.set_key(Inner(request->key()));
  inner.set_parent(Inner(request->parent()));
  const auto ref = inner.mutable_labels()->find(std::string(api::snapshot_label::kRef));
  if (ref != inner.mutable_labels()->end()) {
    ref->second = Inner(ref->second);
  }
  PassedOn call(*context);
  return Answer(stub_->Commit(&call, inner, response));
}

grpc::Status SnapshotsService::Remove(grpc::ServerContext* context,
                                      const pb::RemoveSnapshotRequest* request,
                                      google::protobuf::Empty* response) {
  pb::RemoveSnapshotRequest inner = *request;
  inner.set_key(Inner(request->key()));
  PassedOn call(*context);
  const grpc::Status removed = stub_->Remove(&call, inner, response);
  const std::string lease = LeaseOf(*context);
  if (!removed.ok() || lease.empty()) {
    return Answer(removed);
  }
  return ToGrpc(store_.ReleaseSnapshot(lease, request->key()));
}

grpc::Status SnapshotsService::Stat(grpc::ServerContext* context,
                                    const pb::StatSnapshotRequest* request,
                                    pb::StatSnapshotResponse* response) {
  pb::StatSnapshotRequest inner = *request;
  inner.set_key(Inner(request->key()));
  PassedOn call(*context);
  const grpc::Status found = stub_->Stat(&call, inner, response);
  if (!found.ok()) {
    return Answer(found);
  }
  pb::Info& info = *response->mutable_info();
  info.set_name(Outer(info.name()));
  info.set_parent(Outer(info.parent()));
  const auto ref = info.mutable_labels()->find(std::string(api::snapshot_label::kRef));
  if (ref != info.mutable_labels()->end()) {
    ref->second = Outer(ref->second);
  }
  return grpc::Status::OK;
}

StatusOr<std::vector<Holdings::Snapshot>> SnapshotsService::All() {
  OwnCall call;
  pb::ListSnapshotsRequest request;
  request.add_filters(fmt::format("name~=|^{}|", prefix_));
  const auto stream = stub_->List(&call, request);
  std::vector<Holdings::Snapshot> snapshots;
  pb::ListSnapshotsResponse response;
  while (stream->Read(&response)) {
    for (const pb::Info& info : response.info()) {
      // A snapshotter that knows no filters answers with those of others, too.
      if (info.name().starts_with(prefix_)) {
        snapshots.push_back({.name = Outer(info.name()), .parent = Outer(info.parent())});
      }
    }
  }
  RETURN_IF_ERROR(Checked(stream->Finish()));
  return snapshots;
}

Status SnapshotsService::Remove(const std::string& name) {
  OwnCall call;
  pb::RemoveSnapshotRequest request;
  request.set_key(Inner(name));
  google::protobuf::Empty response;
  const Status removed = Checked(stub_->Remove(&call, request, &response));
  return removed.code() == StatusCode::kNotFound ? OkStatus() : removed;
}

Status SnapshotsService::FreeRemoved() {
  OwnCall call;
  google::protobuf::Empty response;
  return Checked(stub_->Cleanup(&call, pb::CleanupRequest(), &response));
}

}  // namespace starling::standalone

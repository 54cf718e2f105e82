#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "api/containerd/services/snapshots/v1/snapshots.grpc.pb.h"
#include "standalone/store.h"

namespace starling::standalone {

/// containerd's snapshots service, passed on to a snapshotter's socket: names and keys get a prefix
/// that is the store's own, so that what others have there is neither seen nor touched. What is
/// made under a lease is held before it is there. Errors of the snapshotter are passed on;
/// kUnavailable says how to start it. Threads: safe.
class SnapshotsService final : public ::containerd::services::snapshots::v1::Snapshots::Service,
                               public SnapshotTree {
 public:
  SnapshotsService(Store& store, std::filesystem::path socket);

  grpc::Status Prepare(
      grpc::ServerContext* context,
      const ::containerd::services::snapshots::v1::PrepareSnapshotRequest* request,
      ::containerd::services::snapshots::v1::PrepareSnapshotResponse* response) override;
  grpc::Status View(grpc::ServerContext* context,
                    const ::containerd::services::snapshots::v1::ViewSnapshotRequest* request,
                    ::containerd::services::snapshots::v1::ViewSnapshotResponse* response) override;
  grpc::Status Commit(grpc::ServerContext* context,
                      const ::containerd::services::snapshots::v1::CommitSnapshotRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Remove(grpc::ServerContext* context,
                      const ::containerd::services::snapshots::v1::RemoveSnapshotRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Stat(grpc::ServerContext* context,
                    const ::containerd::services::snapshots::v1::StatSnapshotRequest* request,
                    ::containerd::services::snapshots::v1::StatSnapshotResponse* response) override;

  /// All that are the store's, as clients know them. Also proves that the snapshotter answers.
  StatusOr<std::vector<Holdings::Snapshot>> All() override;
  Status Remove(const std::string& name) override;
  /// Lets the snapshotter delete the files of those removed.
  Status FreeRemoved();

 private:
  std::string Inner(const std::string& name) const;
  std::string Outer(const std::string& name) const;
  grpc::Status Answer(const grpc::Status& status) const;
  Status Checked(const grpc::Status& status) const;

  Store& store_;
  const std::filesystem::path socket_;
  const std::string prefix_;
  const std::unique_ptr<::containerd::services::snapshots::v1::Snapshots::Stub> stub_;
};

}  // namespace starling::standalone

#pragma once

#include "api/containerd/services/snapshots/v1/snapshots.grpc.pb.h"
#include "snapshotter/snapshotter.h"

namespace starling::snapshotter {

/// containerd.services.snapshots.v1 on a Snapshotter: converts, calls, logs, answers. Borrows it.
/// Threads: safe, synchronous; a handler blocks its thread while the snapshotter does.
class SnapshotsService final : public ::containerd::services::snapshots::v1::Snapshots::Service {
 public:
  explicit SnapshotsService(Snapshotter& snapshotter) : snapshotter_(snapshotter) {}

  grpc::Status Prepare(
      grpc::ServerContext*,
      const ::containerd::services::snapshots::v1::PrepareSnapshotRequest* request,
      ::containerd::services::snapshots::v1::PrepareSnapshotResponse* response) override;
  grpc::Status View(grpc::ServerContext*,
                    const ::containerd::services::snapshots::v1::ViewSnapshotRequest* request,
                    ::containerd::services::snapshots::v1::ViewSnapshotResponse* response) override;
  grpc::Status Mounts(grpc::ServerContext*,
                      const ::containerd::services::snapshots::v1::MountsRequest* request,
                      ::containerd::services::snapshots::v1::MountsResponse* response) override;
  grpc::Status Commit(grpc::ServerContext*,
                      const ::containerd::services::snapshots::v1::CommitSnapshotRequest* request,
                      google::protobuf::Empty*) override;
  grpc::Status Remove(grpc::ServerContext*,
                      const ::containerd::services::snapshots::v1::RemoveSnapshotRequest* request,
                      google::protobuf::Empty*) override;
  grpc::Status Stat(grpc::ServerContext*,
                    const ::containerd::services::snapshots::v1::StatSnapshotRequest* request,
                    ::containerd::services::snapshots::v1::StatSnapshotResponse* response) override;
  grpc::Status Update(
      grpc::ServerContext*,
      const ::containerd::services::snapshots::v1::UpdateSnapshotRequest* request,
      ::containerd::services::snapshots::v1::UpdateSnapshotResponse* response) override;
  grpc::Status List(
      grpc::ServerContext*,
      const ::containerd::services::snapshots::v1::ListSnapshotsRequest* request,
      grpc::ServerWriter<::containerd::services::snapshots::v1::ListSnapshotsResponse>* writer)
      override;
  grpc::Status Usage(grpc::ServerContext*,
                     const ::containerd::services::snapshots::v1::UsageRequest* request,
                     ::containerd::services::snapshots::v1::UsageResponse* response) override;
  grpc::Status Cleanup(grpc::ServerContext*,
                       const ::containerd::services::snapshots::v1::CleanupRequest* request,
                       google::protobuf::Empty*) override;

 private:
  Snapshotter& snapshotter_;
};

}  // namespace starling::snapshotter

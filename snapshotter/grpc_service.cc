#include "snapshotter/grpc_service.h"

#include <algorithm>

#include "api/snapshot_labels.h"
#include "base/log.h"

namespace starling::snapshotter {
namespace {

namespace pb = containerd::services::snapshots::v1;

constexpr int kInfosPerMessage = 100;
// Error messages travel in a header, and headers of more than 8 KiB are refused by clients.
constexpr size_t kMaxMessageBytes = 2048;

bool IsEverydayAnswer(StatusCode code) {
  return code == StatusCode::kNotFound || code == StatusCode::kAlreadyExists ||
         code == StatusCode::kInvalidArgument || code == StatusCode::kFailedPrecondition;
}

// The answer to an RPC; its only log line. Codes are numerically gRPC's.
grpc::Status Answer(std::string_view rpc, std::string_view key, const Status& status) {
  if (status.ok()) {
    log::Debug("served", {{"rpc", std::string(rpc)}, {"key", std::string(key)}});
    return grpc::Status::OK;
  }
  const auto level = IsEverydayAnswer(status.code()) ? log::Level::kDebug : log::Level::kError;
  log::Write(level, "refused",
             {{"rpc", std::string(rpc)}, {"key", std::string(key)}, {"error", Describe(status)}});
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(MessageOf(status).substr(0, kMaxMessageBytes))};
}

Labels LabelsOf(const google::protobuf::Map<std::string, std::string>& labels) {
  return {labels.begin(), labels.end()};
}

google::protobuf::Timestamp ToProto(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  google::protobuf::Timestamp proto;
  proto.set_seconds(seconds.time_since_epoch().count());
  proto.set_nanos(static_cast<int32_t>((time - seconds).count()));
  return proto;
}

pb::Kind ToProto(Kind kind) {
  switch (kind) {
    case Kind::kView:
      return pb::VIEW;
    case Kind::kActive:
      return pb::ACTIVE;
    case Kind::kCommitted:
      return pb::COMMITTED;
  }
  return pb::UNKNOWN;
}

void ToProto(const Info& info, pb::Info& proto) {
  proto.set_name(info.name);
  proto.set_parent(info.parent);
  proto.set_kind(ToProto(info.kind));
  *proto.mutable_created_at() = ToProto(info.created);
  *proto.mutable_updated_at() = ToProto(info.updated);
  proto.mutable_labels()->insert(info.labels.begin(), info.labels.end());
}

void ToProto(const std::vector<Mount>& mounts,
             google::protobuf::RepeatedPtrField<containerd::types::Mount>& protos) {
  for (const Mount& mount : mounts) {
    containerd::types::Mount& proto = *protos.Add();
    proto.set_type(mount.type);
    proto.set_source(mount.source);
    proto.mutable_options()->Add(mount.options.begin(), mount.options.end());
  }
}

std::string_view WhatWasPrepared(Snapshotter::Fetch fetch) {
  switch (fetch) {
    case Snapshotter::Fetch::kLazy:
      return "prepared a lazy layer";
    case Snapshotter::Fetch::kWhole:
      return "prepared a plain layer, which cannot be lazy without a TOC digest: all of it is here";
    case Snapshotter::Fetch::kPresent:
      break;
  }
  return "prepared a layer that was here";
}

// The field "remote-snapshot-prepared" is what stargz-snapshotter logs and its test suites count.
void LogRemote(const Snapshotter::Prepared& prepared, const pb::PrepareSnapshotRequest& request) {
  if (prepared.remote == Snapshotter::Remote::kPrepared) {
    log::Info(WhatWasPrepared(prepared.fetch), {{"remote-snapshot-prepared", "true"},
                                                {"key", request.key()},
                                                {"parent", request.parent()}});
  } else if (prepared.remote == Snapshotter::Remote::kRefused) {
    log::Warning("the layer is left to containerd, which downloads it",
                 {{"remote-snapshot-prepared", "false"},
                  {"key", request.key()},
                  {"parent", request.parent()},
                  {"error", Describe(prepared.refusal)}});
  }
}

}  // namespace

grpc::Status SnapshotsService::Prepare(grpc::ServerContext*,
                                       const pb::PrepareSnapshotRequest* request,
                                       pb::PrepareSnapshotResponse* response) {
  const StatusOr<Snapshotter::Prepared> prepared =
      snapshotter_.Prepare(request->key(), request->parent(), LabelsOf(request->labels()));
  if (!prepared.ok()) {
    return Answer("Prepare", request->key(), prepared.status());
  }
  LogRemote(*prepared, *request);
  if (prepared->remote == Snapshotter::Remote::kPrepared) {
    return {grpc::StatusCode::ALREADY_EXISTS, "the layer is there: nothing to unpack"};
  }
  ToProto(prepared->mounts, *response->mutable_mounts());
  return Answer("Prepare", request->key(), OkStatus());
}

grpc::Status SnapshotsService::View(grpc::ServerContext*, const pb::ViewSnapshotRequest* request,
                                    pb::ViewSnapshotResponse* response) {
  const StatusOr<std::vector<Mount>> mounts =
      snapshotter_.View(request->key(), request->parent(), LabelsOf(request->labels()));
  if (mounts.ok()) {
    ToProto(*mounts, *response->mutable_mounts());
  }
  return Answer("View", request->key(), mounts.status());
}

grpc::Status SnapshotsService::Mounts(grpc::ServerContext*, const pb::MountsRequest* request,
                                      pb::MountsResponse* response) {
  const StatusOr<std::vector<Mount>> mounts = snapshotter_.Mounts(request->key());
  if (mounts.ok()) {
    ToProto(*mounts, *response->mutable_mounts());
  }
  return Answer("Mounts", request->key(), mounts.status());
}

grpc::Status SnapshotsService::Commit(grpc::ServerContext*,
                                      const pb::CommitSnapshotRequest* request,
                                      google::protobuf::Empty*) {
  return Answer("Commit", request->key(),
                snapshotter_.Commit(request->key(), request->name(), request->parent(),
                                    LabelsOf(request->labels())));
}

grpc::Status SnapshotsService::Remove(grpc::ServerContext*,
                                      const pb::RemoveSnapshotRequest* request,
                                      google::protobuf::Empty*) {
  return Answer("Remove", request->key(), snapshotter_.Remove(request->key()));
}

grpc::Status SnapshotsService::Stat(grpc::ServerContext*, const pb::StatSnapshotRequest* request,
                                    pb::StatSnapshotResponse* response) {
  const StatusOr<Info> info = snapshotter_.Stat(request->key());
  if (info.ok()) {
    ToProto(*info, *response->mutable_info());
  }
  return Answer("Stat", request->key(), info.status());
}

grpc::Status SnapshotsService::Update(grpc::ServerContext*,
                                      const pb::UpdateSnapshotRequest* request,
                                      pb::UpdateSnapshotResponse* response) {
  const std::vector<std::string> mask(request->update_mask().paths().begin(),
                                      request->update_mask().paths().end());
  const StatusOr<Info> info =
      snapshotter_.Update(request->info().name(), LabelsOf(request->info().labels()), mask);
  if (info.ok()) {
    ToProto(*info, *response->mutable_info());
  }
  return Answer("Update", request->info().name(), info.status());
}

grpc::Status SnapshotsService::List(grpc::ServerContext*, const pb::ListSnapshotsRequest* request,
                                    grpc::ServerWriter<pb::ListSnapshotsResponse>* writer) {
  const std::vector<std::string> texts(request->filters().begin(), request->filters().end());
  const StatusOr<Filter> filter = Filter::Parse(texts);
  if (!filter.ok()) {
    return Answer("List", "", filter.status());
  }
  StatusOr<std::vector<Info>> infos = snapshotter_.List(*filter);
  if (!infos.ok()) {
    return Answer("List", "", infos.status());
  }
  if (std::ranges::all_of(texts, &std::string::empty)) {
    // containerd's collector, which removes what it does not know.
    std::erase_if(*infos, [](const Info& info) {
      return info.name.starts_with(api::snapshot_label::kStandalonePrefix);
    });
  }
  pb::ListSnapshotsResponse message;
  for (const Info& info : *infos) {
    ToProto(info, *message.add_info());
    const bool last = &info == &infos->back();
    if (message.info_size() < kInfosPerMessage && !last) {
      continue;
    }
    if (!writer->Write(message)) {
      return Answer("List", "", MakeError(StatusCode::kCancelled, "the client has gone"));
    }
    message.clear_info();
  }
  return Answer("List", "", OkStatus());
}

grpc::Status SnapshotsService::Usage(grpc::ServerContext*, const pb::UsageRequest* request,
                                     pb::UsageResponse* response) {
  const auto usage = snapshotter_.UsageOf(request->key());
  if (usage.ok()) {
    response->set_size(static_cast<int64_t>(usage->size_bytes));
    response->set_inodes(static_cast<int64_t>(usage->inodes));
  }
  return Answer("Usage", request->key(), usage.status());
}

grpc::Status SnapshotsService::Cleanup(grpc::ServerContext*, const pb::CleanupRequest*,
                                       google::protobuf::Empty*) {
  const StatusOr<Snapshotter::Cleaned> cleaned = snapshotter_.Cleanup();
  if (cleaned.ok()) {
    for (const Status& failure : cleaned->failures) {
      // Not the client's problem: the next pass tries again.
      log::Warning("a removed snapshot is not deleted yet", {{"error", Describe(failure)}});
    }
  }
  return Answer("Cleanup", "", cleaned.status());
}

}  // namespace starling::snapshotter

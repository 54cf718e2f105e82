#pragma once

#include "api/starling/control/v1/status.grpc.pb.h"
#include "layer/status.h"

namespace starling::control {

/// starling.control.v1.Status on a source of it: converts, calls, logs, answers. Borrows it.
/// Threads: safe, synchronous.
class StatusService final : public starling::control::v1::Status::Service {
 public:
  explicit StatusService(layer::StatusSource& source) : source_(source) {}

  grpc::Status Layers(grpc::ServerContext*, const v1::LayersRequest*,
                      grpc::ServerWriter<v1::LayerStatus>* writer) override;
  grpc::Status SlowReads(grpc::ServerContext*, const v1::SlowReadsRequest*,
                         grpc::ServerWriter<v1::SlowReadsPart>* writer) override;
  grpc::Status Starts(grpc::ServerContext*, const v1::StartsRequest*,
                      grpc::ServerWriter<v1::StartsPart>* writer) override;

 private:
  layer::StatusSource& source_;
};

}  // namespace starling::control

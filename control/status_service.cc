#include "control/status_service.h"

#include <chrono>

#include "base/log.h"
#include "control/status_messages.h"

namespace starling::control {
namespace {

// Error messages travel in a header, and headers of more than 8 KiB are refused by clients.
constexpr size_t kMaxMessageBytes = 2048;

/// The answer to a call; its only log line. Codes are numerically gRPC's.
grpc::Status Answer(std::string_view rpc, const Status& status) {
  if (status.ok()) {
    log::Debug("served", {{"rpc", std::string(rpc)}});
    return grpc::Status::OK;
  }
  log::Info("refused", {{"rpc", std::string(rpc)}, {"error", Describe(status)}});
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(MessageOf(status).substr(0, kMaxMessageBytes))};
}

}  // namespace

grpc::Status StatusService::Layers(grpc::ServerContext*, const v1::LayersRequest*,
                                   grpc::ServerWriter<v1::LayerStatus>* writer) {
  const auto layers = source_.Layers();
  if (layers.ok()) {
    for (const layer::LayerStatus& status : *layers) {
      if (!writer->Write(ToProto(status))) {
        break;  // nobody is there any more
      }
    }
  }
  return Answer("Layers", layers.status());
}

grpc::Status StatusService::SlowReads(grpc::ServerContext*, const v1::SlowReadsRequest*,
                                      grpc::ServerWriter<v1::SlowReadsPart>* writer) {
  const auto traced = source_.SlowReads();
  if (traced.ok()) {
    v1::SlowReadsPart head;
    head.set_forgotten(traced->forgotten);
    for (const layer::ContainerStalls& stalls : traced->containers) {
      *head.add_containers() = ToProto(stalls);
    }
    for (const layer::Fallback& fallback : traced->fallbacks) {
      *head.add_fallbacks() = ToProto(fallback);
    }
    bool goes_on = writer->Write(head);
    for (size_t i = 0; goes_on && i < traced->reads.size(); ++i) {
      v1::SlowReadsPart part;
      *part.mutable_read() = ToProto(traced->reads[i]);
      goes_on = writer->Write(part);
    }
  }
  return Answer("SlowReads", traced.status());
}

grpc::Status StatusService::Starts(grpc::ServerContext*, const v1::StartsRequest*,
                                   grpc::ServerWriter<v1::StartsPart>* writer) {
  const auto starts = source_.Starts();
  bool goes_on = true;
  for (size_t i = 0; starts.ok() && goes_on && i < starts->size(); ++i) {
    for (const v1::StartsPart& part : ToProto((*starts)[i])) {
      goes_on = goes_on && writer->Write(part);
    }
  }
  return Answer("Starts", starts.status());
}

}  // namespace starling::control

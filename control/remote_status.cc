#include "control/remote_status.h"

#include <chrono>

#include "api/starling/control/v1/status.grpc.pb.h"
#include "control/call_errors.h"
#include "control/channel.h"
#include "control/status_messages.h"

namespace starling::control {
namespace {

constexpr std::chrono::minutes kCallTimeout(1);

class RemoteStatus : public layer::StatusSource {
 public:
  explicit RemoteStatus(const std::string& address)
      : address_(address), stub_(v1::Status::NewStub(ConnectTo(address))) {}

  StatusOr<std::vector<layer::LayerStatus>> Layers() override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const auto reader = stub_->Layers(&context, {});
    std::vector<layer::LayerStatus> layers;
    for (v1::LayerStatus message; reader->Read(&message);) {
      ASSIGN_OR_RETURN(layer::LayerStatus status, FromProto(message));
      layers.push_back(std::move(status));
    }
    RETURN_IF_ERROR(ResultOfCall(reader->Finish(), address_));
    return layers;
  }

  StatusOr<layer::TracedReads> SlowReads() override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const auto reader = stub_->SlowReads(&context, {});
    layer::TracedReads traced;
    for (v1::SlowReadsPart part; reader->Read(&part);) {
      traced.forgotten += part.forgotten();
      for (const v1::ContainerStalls& stalls : part.containers()) {
        traced.containers.push_back(FromProto(stalls));
      }
      for (const v1::Fallback& message : part.fallbacks()) {
        ASSIGN_OR_RETURN(layer::Fallback fallback, FromProto(message));
        traced.fallbacks.push_back(std::move(fallback));
      }
      if (part.has_read()) {
        ASSIGN_OR_RETURN(layer::NamedRead named, FromProto(part.read()));
        traced.reads.push_back(std::move(named));
      }
    }
    RETURN_IF_ERROR(ResultOfCall(reader->Finish(), address_));
    return traced;
  }

  StatusOr<std::vector<layer::ImageStart>> Starts() override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const auto reader = stub_->Starts(&context, {});
    std::vector<layer::ImageStart> starts;
    for (v1::StartsPart part; reader->Read(&part);) {
      RETURN_IF_ERROR(AddPart(part, starts));
    }
    RETURN_IF_ERROR(ResultOfCall(reader->Finish(), address_));
    return starts;
  }

 private:
  const std::string address_;
  std::unique_ptr<v1::Status::Stub> stub_;
};

}  // namespace

std::unique_ptr<layer::StatusSource> ConnectToStatus(const std::string& address) {
  return std::make_unique<RemoteStatus>(address);
}

}  // namespace starling::control

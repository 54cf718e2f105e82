#include "control/remote_cache.h"

#include <chrono>

#include "api/starling/control/v1/cache.grpc.pb.h"
#include "control/call_errors.h"
#include "control/channel.h"

namespace starling::control {
namespace {

// A store of many layers is opened and looked at, or evicted of, in less.
constexpr std::chrono::minutes kCallTimeout(5);

StatusOr<store::LayerKey> KeyOf(const std::string& layer, const std::string& toc) {
  store::LayerKey key;
  ASSIGN_OR_RETURN(key.layer, oci::Digest::Parse(layer));
  ASSIGN_OR_RETURN(key.toc, oci::Digest::Parse(toc));
  return key;
}

layer::Evicted FromProto(const v1::Evicted& from) {
  return {.layers = from.layers(),
          .content_bytes = from.content_bytes(),
          .disk_bytes = from.disk_bytes()};
}

StatusOr<layer::CachedLayer> FromProto(const v1::Layer& from) {
  layer::CachedLayer layer{.held_bytes = from.held_bytes(),
                           .total_bytes = from.total_bytes(),
                           .disk_bytes = from.disk_bytes(),
                           .is_complete = from.complete(),
                           .is_shown = from.shown(),
                           .pins = {from.pins().begin(), from.pins().end()},
                           .images = {from.images().begin(), from.images().end()}};
  ASSIGN_OR_RETURN(layer.key, KeyOf(from.digest(), from.toc_digest()));
  if (from.has_seconds_since_last_read()) {
    layer.since_last_read = std::chrono::seconds(from.seconds_since_last_read());
  }
  return layer;
}

class RemoteCache : public layer::Cache {
 public:
  explicit RemoteCache(const std::string& address)
      : address_(address), stub_(v1::Cache::NewStub(ConnectTo(address))) {}

  StatusOr<layer::CacheState> List() override {
    v1::ListResponse response;
    RETURN_IF_ERROR(Call(&v1::Cache::Stub::List, v1::ListRequest(), response));
    layer::CacheState state{.layers = {},
                            .pins = {response.pins().begin(), response.pins().end()},
                            .disk_bytes = response.disk_bytes(),
                            .max_bytes = response.max_bytes()};
    for (const v1::Layer& from : response.layers()) {
      ASSIGN_OR_RETURN(layer::CachedLayer layer, FromProto(from));
      state.layers.push_back(std::move(layer));
    }
    return state;
  }

  StatusOr<uint64_t> Pin(const std::string& name) override {
    v1::PinRequest request;
    request.set_name(name);
    v1::PinResponse response;
    RETURN_IF_ERROR(Call(&v1::Cache::Stub::Pin, request, response));
    return response.layers();
  }

  StatusOr<uint64_t> Unpin(const std::string& name) override {
    v1::UnpinRequest request;
    request.set_name(name);
    v1::UnpinResponse response;
    RETURN_IF_ERROR(Call(&v1::Cache::Stub::Unpin, request, response));
    return response.layers();
  }

  StatusOr<layer::Evicted> Evict(const oci::Digest& layer) override {
    v1::EvictRequest request;
    request.set_layer(layer.ToString());
    return Evict(request);
  }

  StatusOr<layer::Evicted> EvictTo(uint64_t disk_bytes) override {
    v1::EvictRequest request;
    request.set_until_disk_bytes(disk_bytes);
    return Evict(request);
  }

  StatusOr<layer::Evicted> Clear() override {
    v1::ClearResponse response;
    RETURN_IF_ERROR(Call(&v1::Cache::Stub::Clear, v1::ClearRequest(), response));
    return FromProto(response.evicted());
  }

  Status Verify(const std::optional<oci::Digest>& layer, const VerifyObserver& observer) override {
    // Without a deadline: it takes as long as the disk needs to read everything.
    grpc::ClientContext context;
    v1::VerifyRequest request;
    request.set_layer(layer ? layer->ToString() : "");
    const auto reader = stub_->Verify(&context, request);
    v1::Verification message;
    bool goes_on = true;
    while (goes_on && reader->Read(&message)) {
      layer::Verification so_far{.held_bytes = message.held_bytes(),
                                 .checked_bytes = message.checked_bytes(),
                                 .wrong_chunks = message.wrong_chunks(),
                                 .mended_chunks = message.mended_chunks(),
                                 .is_done = message.done(),
                                 .problem = message.problem()};
      ASSIGN_OR_RETURN(so_far.key, KeyOf(message.digest(), message.toc_digest()));
      goes_on = observer(so_far);
    }
    if (!goes_on) {
      context.TryCancel();
    }
    const grpc::Status status = reader->Finish();
    return goes_on ? ResultOfCall(status, address_)
                   : MakeError(StatusCode::kCancelled, "the verification was stopped");
  }

 private:
  template <typename Request, typename Response>
  Status Call(grpc::Status (v1::Cache::Stub::*method)(grpc::ClientContext*, const Request&,
                                                      Response*),
              const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    return ResultOfCall(((*stub_).*method)(&context, request, &response), address_);
  }

  StatusOr<layer::Evicted> Evict(const v1::EvictRequest& request) {
    v1::EvictResponse response;
    RETURN_IF_ERROR(Call(&v1::Cache::Stub::Evict, request, response));
    return FromProto(response.evicted());
  }

  const std::string address_;
  std::unique_ptr<v1::Cache::Stub> stub_;
};

}  // namespace

std::unique_ptr<layer::Cache> ConnectToCache(const std::string& address) {
  return std::make_unique<RemoteCache>(address);
}

}  // namespace starling::control

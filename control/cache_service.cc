#include "control/cache_service.h"

#include <optional>

#include "base/log.h"

namespace starling::control {
namespace {

// Error messages travel in a header, and headers of more than 8 KiB are refused by clients.
constexpr size_t kMaxMessageBytes = 2048;
// A message for every chunk would cost more than its verification.
constexpr uint64_t kBytesAMessage = 16 << 20;

/// The answer to a call; its only log line. Codes are numerically gRPC's.
grpc::Status Answer(std::string_view rpc, std::string_view name, const Status& status) {
  if (status.ok()) {
    log::Debug("served", {{"rpc", std::string(rpc)}, {"name", std::string(name)}});
    return grpc::Status::OK;
  }
  log::Info("refused",
            {{"rpc", std::string(rpc)}, {"name", std::string(name)}, {"error", Describe(status)}});
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(MessageOf(status).substr(0, kMaxMessageBytes))};
}

void Set(const layer::Evicted& from, v1::Evicted& to) {
  to.set_layers(from.layers);
  to.set_content_bytes(from.content_bytes);
  to.set_disk_bytes(from.disk_bytes);
}

void Set(const layer::CachedLayer& from, v1::Layer& to) {
  to.set_digest(from.key.layer.ToString());
  to.set_toc_digest(from.key.toc.ToString());
  to.set_held_bytes(from.held_bytes);
  to.set_total_bytes(from.total_bytes);
  to.set_disk_bytes(from.disk_bytes);
  to.set_complete(from.is_complete);
  to.set_shown(from.is_shown);
  to.mutable_pins()->Add(from.pins.begin(), from.pins.end());
  to.mutable_images()->Add(from.images.begin(), from.images.end());
  if (from.since_last_read) {
    to.set_seconds_since_last_read(static_cast<uint64_t>(from.since_last_read->count()));
  }
}

v1::Verification ToProto(const layer::Verification& from) {
  v1::Verification to;
  to.set_digest(from.key.layer.ToString());
  to.set_toc_digest(from.key.toc.ToString());
  to.set_held_bytes(from.held_bytes);
  to.set_checked_bytes(from.checked_bytes);
  to.set_wrong_chunks(from.wrong_chunks);
  to.set_mended_chunks(from.mended_chunks);
  to.set_done(from.is_done);
  to.set_problem(from.problem);
  return to;
}

}  // namespace

grpc::Status CacheService::List(grpc::ServerContext*, const v1::ListRequest*,
                                v1::ListResponse* response) {
  const auto state = cache_.List();
  if (state.ok()) {
    for (const layer::CachedLayer& layer : state->layers) {
      Set(layer, *response->add_layers());
    }
    response->mutable_pins()->Add(state->pins.begin(), state->pins.end());
    response->set_disk_bytes(state->disk_bytes);
    response->set_max_bytes(state->max_bytes);
  }
  return Answer("List", "", state.status());
}

grpc::Status CacheService::Pin(grpc::ServerContext*, const v1::PinRequest* request,
                               v1::PinResponse* response) {
  const auto layers = cache_.Pin(request->name());
  if (layers.ok()) {
    response->set_layers(*layers);
  }
  return Answer("Pin", request->name(), layers.status());
}

grpc::Status CacheService::Unpin(grpc::ServerContext*, const v1::UnpinRequest* request,
                                 v1::UnpinResponse* response) {
  const auto layers = cache_.Unpin(request->name());
  if (layers.ok()) {
    response->set_layers(*layers);
  }
  return Answer("Unpin", request->name(), layers.status());
}

grpc::Status CacheService::Evict(grpc::ServerContext*, const v1::EvictRequest* request,
                                 v1::EvictResponse* response) {
  const auto evict = [&]() -> StatusOr<layer::Evicted> {
    if (request->what_case() == v1::EvictRequest::kUntilDiskBytes) {
      return cache_.EvictTo(request->until_disk_bytes());
    }
    ASSIGN_OR_RETURN(const oci::Digest layer, oci::Digest::Parse(request->layer()));
    return cache_.Evict(layer);
  };
  const auto evicted = evict();
  if (evicted.ok()) {
    Set(*evicted, *response->mutable_evicted());
  }
  return Answer("Evict", request->layer(), evicted.status());
}

grpc::Status CacheService::Clear(grpc::ServerContext*, const v1::ClearRequest*,
                                 v1::ClearResponse* response) {
  const auto evicted = cache_.Clear();
  if (evicted.ok()) {
    Set(*evicted, *response->mutable_evicted());
  }
  return Answer("Clear", "", evicted.status());
}

grpc::Status CacheService::Verify(grpc::ServerContext* context, const v1::VerifyRequest* request,
                                  grpc::ServerWriter<v1::Verification>* writer) {
  const auto verify = [&]() -> Status {
    std::optional<oci::Digest> layer;
    if (!request->layer().empty()) {
      ASSIGN_OR_RETURN(layer, oci::Digest::Parse(request->layer()));
    }
    std::optional<layer::Verification> told;
    return cache_.Verify(layer, [&](const layer::Verification& so_far) {
      const bool is_news = !told || so_far.is_done || told->key != so_far.key ||
                           so_far.checked_bytes - told->checked_bytes >= kBytesAMessage;
      if (!is_news) {
        return !context->IsCancelled();
      }
      told = so_far;
      return writer->Write(ToProto(so_far));
    });
  };
  return Answer("Verify", request->layer(), verify());
}

}  // namespace starling::control

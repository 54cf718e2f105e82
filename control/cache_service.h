#pragma once

#include "api/starling/control/v1/cache.grpc.pb.h"
#include "layer/cache.h"

namespace starling::control {

/// starling.control.v1.Cache on a cache: converts, calls, logs, answers. Borrows it.
/// Threads: safe, synchronous; a handler blocks its thread while the cache does.
class CacheService final : public starling::control::v1::Cache::Service {
 public:
  explicit CacheService(layer::Cache& cache) : cache_(cache) {}

  grpc::Status List(grpc::ServerContext*, const v1::ListRequest*,
                    v1::ListResponse* response) override;
  grpc::Status Pin(grpc::ServerContext*, const v1::PinRequest* request,
                   v1::PinResponse* response) override;
  grpc::Status Unpin(grpc::ServerContext*, const v1::UnpinRequest* request,
                     v1::UnpinResponse* response) override;
  grpc::Status Evict(grpc::ServerContext*, const v1::EvictRequest* request,
                     v1::EvictResponse* response) override;
  grpc::Status Clear(grpc::ServerContext*, const v1::ClearRequest*,
                     v1::ClearResponse* response) override;
  grpc::Status Verify(grpc::ServerContext* context, const v1::VerifyRequest* request,
                      grpc::ServerWriter<v1::Verification>* writer) override;

 private:
  layer::Cache& cache_;
};

}  // namespace starling::control

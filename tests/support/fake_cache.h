/// A cache that answers as it was told and notes what it was asked.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layer/cache.h"

namespace starling::testing_support {

class FakeCache : public layer::Cache {
 public:
  StatusOr<layer::CacheState> List() override { return state; }
  StatusOr<uint64_t> Pin(const std::string& name) override { return Note("pin " + name, layers); }
  StatusOr<uint64_t> Unpin(const std::string& name) override {
    return Note("unpin " + name, layers);
  }
  StatusOr<layer::Evicted> Evict(const oci::Digest& layer) override {
    return Note("evict " + layer.ToString(), evicted);
  }
  StatusOr<layer::Evicted> EvictTo(uint64_t disk_bytes) override {
    return Note("evict to " + std::to_string(disk_bytes), evicted);
  }
  StatusOr<layer::Evicted> Clear() override { return Note("clear", evicted); }
  Status Verify(const std::optional<oci::Digest>& layer, const VerifyObserver& observer) override {
    calls.push_back("verify " + (layer ? layer->ToString() : "all"));
    for (const layer::Verification& so_far : verifications) {
      if (!observer(so_far)) {
        return MakeError(StatusCode::kCancelled, "stopped");
      }
    }
    return error;
  }

  layer::CacheState state;
  uint64_t layers = 0;
  layer::Evicted evicted;
  std::vector<layer::Verification> verifications;
  Status error;  // of everything but List
  std::vector<std::string> calls;

 private:
  template <typename T>
  StatusOr<T> Note(std::string call, const T& answer) {
    calls.push_back(std::move(call));
    return error.ok() ? StatusOr<T>(answer) : error;
  }
};

}  // namespace starling::testing_support

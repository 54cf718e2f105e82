#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "containerd/client.h"

namespace starling::containerd {

/// A lease that the client uses from now on, of which what is created is held. Deleted when it
/// goes, whatever happened; containerd forgets it after a day by itself.
class ScopedLease {
 public:
  /// With this id, or a new one.
  static StatusOr<ScopedLease> Take(Client& client, const std::string& id = "") {
    ASSIGN_OR_RETURN(std::string taken, client.CreateLease(kLifetime, id));
    client.UseLease(taken);
    return ScopedLease(client, std::move(taken));
  }
  ScopedLease(ScopedLease&& other) noexcept
      : client_(other.client_), id_(std::exchange(other.id_, {})) {}
  ScopedLease& operator=(ScopedLease&&) = delete;
  ~ScopedLease() {
    if (!id_.empty()) {
      // It expires by itself if containerd is away now.
      (void)Release();
    }
  }
  Status Release() {
    client_.UseLease({});
    return client_.DeleteLease(std::exchange(id_, {}));
  }

 private:
  static constexpr std::chrono::hours kLifetime{24};
  ScopedLease(Client& client, std::string id) : client_(client), id_(std::move(id)) {}
  Client& client_;
  std::string id_;
};

}  // namespace starling::containerd

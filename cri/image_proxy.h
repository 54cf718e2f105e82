#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>

#include <filesystem>
#include <memory>

#include "credentials/pulled_credentials.h"

namespace starling::cri {

/// The image service of the Container Runtime Interface, as containerd has it: every call goes to
/// containerd and its answer back, as bytes, whatever its service, method and fields. On the way a
/// PullImage is read for the credentials that it brings. gRPC's threads run it; none waits.
class ImageProxy final : public grpc::CallbackGenericService {
 public:
  /// `containerd` is its socket; it may not be there yet: calls fail with UNAVAILABLE then, as they
  /// would without us. Borrows `pulled`.
  ImageProxy(const std::filesystem::path& containerd, credentials::PulledCredentials& pulled);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  grpc::GenericStub containerd_;
  credentials::PulledCredentials& pulled_;
};

}  // namespace starling::cri

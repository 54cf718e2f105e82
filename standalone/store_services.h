/// Small services of containerd on a Store, as far as containerd::Client calls them. Threads: safe.
#pragma once

#include "api/containerd/services/images/v1/images.grpc.pb.h"
#include "api/containerd/services/leases/v1/leases.grpc.pb.h"
#include "api/containerd/services/version/v1/version.grpc.pb.h"
#include "standalone/store.h"

namespace starling::standalone {

class ImagesService final : public ::containerd::services::images::v1::Images::Service {
 public:
  explicit ImagesService(Store& store) : store_(store) {}

  grpc::Status Get(grpc::ServerContext* context,
                   const ::containerd::services::images::v1::GetImageRequest* request,
                   ::containerd::services::images::v1::GetImageResponse* response) override;
  grpc::Status List(grpc::ServerContext* context,
                    const ::containerd::services::images::v1::ListImagesRequest* request,
                    ::containerd::services::images::v1::ListImagesResponse* response) override;
  grpc::Status Create(grpc::ServerContext* context,
                      const ::containerd::services::images::v1::CreateImageRequest* request,
                      ::containerd::services::images::v1::CreateImageResponse* response) override;
  grpc::Status Update(grpc::ServerContext* context,
                      const ::containerd::services::images::v1::UpdateImageRequest* request,
                      ::containerd::services::images::v1::UpdateImageResponse* response) override;

 private:
  Store& store_;
};

class LeasesService final : public ::containerd::services::leases::v1::Leases::Service {
 public:
  explicit LeasesService(Store& store) : store_(store) {}

  /// kInvalidArgument for a lease that would not end by itself.
  grpc::Status Create(grpc::ServerContext* context,
                      const ::containerd::services::leases::v1::CreateRequest* request,
                      ::containerd::services::leases::v1::CreateResponse* response) override;
  grpc::Status Delete(grpc::ServerContext* context,
                      const ::containerd::services::leases::v1::DeleteRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status AddResource(grpc::ServerContext* context,
                           const ::containerd::services::leases::v1::AddResourceRequest* request,
                           google::protobuf::Empty* response) override;

 private:
  Store& store_;
};

class VersionService final : public ::containerd::services::version::v1::Version::Service {
 public:
  grpc::Status Version(grpc::ServerContext* context, const google::protobuf::Empty* request,
                       ::containerd::services::version::v1::VersionResponse* response) override;
};

}  // namespace starling::standalone

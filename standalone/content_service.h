#pragma once

#include "api/containerd/services/content/v1/content.grpc.pb.h"
#include "standalone/store.h"

namespace starling::standalone {

/// containerd's content service on a Store, as far as containerd::Client calls it. An ingest has no
/// name that anybody could meet at: each stream has its own, which ends with it. Threads: safe.
class ContentService final : public ::containerd::services::content::v1::Content::Service {
 public:
  explicit ContentService(Store& store) : store_(store) {}

  grpc::Status Info(grpc::ServerContext* context,
                    const ::containerd::services::content::v1::InfoRequest* request,
                    ::containerd::services::content::v1::InfoResponse* response) override;
  grpc::Status Update(grpc::ServerContext* context,
                      const ::containerd::services::content::v1::UpdateRequest* request,
                      ::containerd::services::content::v1::UpdateResponse* response) override;
  grpc::Status List(grpc::ServerContext* context,
                    const ::containerd::services::content::v1::ListContentRequest* request,
                    grpc::ServerWriter<::containerd::services::content::v1::ListContentResponse>*
                        writer) override;
  grpc::Status Delete(grpc::ServerContext* context,
                      const ::containerd::services::content::v1::DeleteContentRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Read(grpc::ServerContext* context,
                    const ::containerd::services::content::v1::ReadContentRequest* request,
                    grpc::ServerWriter<::containerd::services::content::v1::ReadContentResponse>*
                        writer) override;
  grpc::Status Write(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<::containerd::services::content::v1::WriteContentResponse,
                               ::containerd::services::content::v1::WriteContentRequest>* stream)
      override;
  grpc::Status Abort(grpc::ServerContext* context,
                     const ::containerd::services::content::v1::AbortRequest* request,
                     google::protobuf::Empty* response) override;

 private:
  Store& store_;
};

}  // namespace starling::standalone

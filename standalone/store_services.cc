#include "standalone/store_services.h"

#include "base/timestamp.h"
#include "standalone/call.h"

namespace starling::standalone {
namespace {

namespace images = ::containerd::services::images::v1;
namespace leases = ::containerd::services::leases::v1;
namespace version = ::containerd::services::version::v1;

constexpr const char* kExpireLabel = "containerd.io/gc.expire";
constexpr const char* kContentType = "content";
constexpr std::string_view kSnapshotType = "snapshots/";

StatusOr<Store::Image> FromProto(const images::Image& proto) {
  if (proto.name().empty() || proto.target().size() < 0) {
    return MakeError(StatusCode::kInvalidArgument, "an image needs a name and a size");
  }
  Store::Image image{.name = proto.name(), .target = {}};
  image.target.media_type = proto.target().media_type();
  image.target.size_bytes = static_cast<uint64_t>(proto.target().size());
  ASSIGN_OR_RETURN(image.target.digest, oci::Digest::Parse(proto.target().digest()));
  return image;
}

void ToProto(const Store::Image& image, images::Image& proto) {
  proto.set_name(image.name);
  proto.mutable_target()->set_media_type(image.target.media_type);
  proto.mutable_target()->set_digest(image.target.digest.ToString());
  proto.mutable_target()->set_size(static_cast<int64_t>(image.target.size_bytes));
}

}  // namespace

grpc::Status ImagesService::Get(grpc::ServerContext*, const images::GetImageRequest* request,
                                images::GetImageResponse* response) {
  const auto image = store_.FindImage(request->name());
  if (image.ok()) {
    ToProto(*image, *response->mutable_image());
  }
  return ToGrpc(image.status());
}

grpc::Status ImagesService::List(grpc::ServerContext*, const images::ListImagesRequest*,
                                 images::ListImagesResponse* response) {
  const auto all = store_.ListImages();
  if (!all.ok()) {
    return ToGrpc(all.status());
  }
  for (const Store::Image& image : *all) {
    ToProto(image, *response->add_images());
  }
  return grpc::Status::OK;
}

grpc::Status ImagesService::Create(grpc::ServerContext*, const images::CreateImageRequest* request,
                                   images::CreateImageResponse* response) {
  const auto image = FromProto(request->image());
  *response->mutable_image() = request->image();
  return ToGrpc(image.ok() ? store_.CreateImage(*image) : image.status());
}

grpc::Status ImagesService::Update(grpc::ServerContext*, const images::UpdateImageRequest* request,
                                   images::UpdateImageResponse* response) {
  const auto image = FromProto(request->image());
  *response->mutable_image() = request->image();
  return ToGrpc(image.ok() ? store_.UpdateImage(*image) : image.status());
}

grpc::Status LeasesService::Create(grpc::ServerContext*, const leases::CreateRequest* request,
                                   leases::CreateResponse* response) {
  const auto label = request->labels().find(kExpireLabel);
  const auto expires =
      label == request->labels().end() ? std::nullopt : ParseTimestamp(label->second);
  if (!expires) {
    return ToGrpc(MakeError(StatusCode::kInvalidArgument,
                            fmt::format("a lease needs the label {} with a time", kExpireLabel)));
  }
  response->mutable_lease()->set_id(request->id());
  return ToGrpc(
      store_.CreateLease(request->id(), std::chrono::sys_seconds(std::chrono::seconds(*expires))));
}

grpc::Status LeasesService::Delete(grpc::ServerContext*, const leases::DeleteRequest* request,
                                   google::protobuf::Empty*) {
  return ToGrpc(store_.DeleteLease(request->id()));
}

grpc::Status LeasesService::AddResource(grpc::ServerContext*,
                                        const leases::AddResourceRequest* request,
                                        google::protobuf::Empty*) {
  const leases::Resource& resource = request->resource();
  if (resource.type().starts_with(kSnapshotType)) {
    return ToGrpc(store_.HoldSnapshot(request->id(), resource.id()));
  }
  if (resource.type() != kContentType) {
    return ToGrpc(
        MakeError(StatusCode::kUnimplemented, fmt::format("a lease holds no {}", resource.type())));
  }
  const StatusOr<oci::Digest> digest = oci::Digest::Parse(resource.id());
  return ToGrpc(digest.ok() ? store_.HoldContent(request->id(), *digest) : digest.status());
}

grpc::Status VersionService::Version(grpc::ServerContext*, const google::protobuf::Empty*,
                                     version::VersionResponse* response) {
  response->set_version("standalone");
  return grpc::Status::OK;
}

}  // namespace starling::standalone

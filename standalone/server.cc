#include "standalone/server.h"

#include <grpcpp/grpcpp.h>

#include "api/containerd/services/diff/v1/diff.grpc.pb.h"
#include "containerd/mounts.h"
#include "standalone/call.h"
#include "standalone/content_service.h"
#include "standalone/layer_unpack.h"
#include "standalone/snapshots_service.h"
#include "standalone/store_services.h"

namespace starling::standalone {
namespace {

namespace diff = ::containerd::services::diff::v1;

/// Unpacks layers that the snapshotter did not take.
class DiffService final : public diff::Diff::Service {
 public:
  DiffService(Store& store, std::filesystem::path work_directory)
      : store_(store), work_directory_(std::move(work_directory)) {}

  grpc::Status Apply(grpc::ServerContext* context, const diff::ApplyRequest* request,
                     diff::ApplyResponse* response) override {
    const auto apply = [&]() -> Status {
      ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(request->diff().digest()));
      ASSIGN_OR_RETURN(const UniqueFd blob, store_.OpenContent(digest, LeaseOf(*context)));
      ASSIGN_OR_RETURN(const UniqueFd scratch, store_.ScratchFile());
      FdSource layer(blob.get());
      ASSIGN_OR_RETURN(
          const oci::Digest tar,
          UnpackLayer(layer, scratch, containerd::MountsOf(request->mounts()), work_directory_));
      response->mutable_applied()->set_digest(tar.ToString());
      return OkStatus();
    };
    return ToGrpc(apply());
  }

 private:
  Store& store_;
  const std::filesystem::path work_directory_;
};

}  // namespace

struct Server::State {
  State(std::unique_ptr<Store> opened, const Options& options)
      : store(std::move(opened)),
        contents(*store),
        diffs(*store, options.work_directory),
        images(*store),
        leases(*store),
        snapshots(*store, options.starlingd) {}

  std::unique_ptr<Store> store;
  ContentService contents;
  DiffService diffs;
  ImagesService images;
  LeasesService leases;
  SnapshotsService snapshots;
  VersionService versions;
  std::unique_ptr<grpc::Server> server;  // last: it calls the services
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() { state_->server->Shutdown(std::chrono::system_clock::now()); }

StatusOr<std::unique_ptr<Server>> Server::Start(Options options, Clock& clock) {
  ASSIGN_OR_RETURN(std::unique_ptr<Store> store, Store::Open(options.directory, clock));
  auto state = std::make_unique<State>(std::move(store), options);
  RETURN_IF_ERROR(state->snapshots.All().status());
  grpc::ServerBuilder builder;
  builder.RegisterService(&state->contents);
  builder.RegisterService(&state->diffs);
  builder.RegisterService(&state->images);
  builder.RegisterService(&state->leases);
  builder.RegisterService(&state->snapshots);
  builder.RegisterService(&state->versions);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) {
    return MakeError(StatusCode::kInternal, "the services cannot be started");
  }
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::shared_ptr<grpc::Channel> Server::Connect() {
  return state_->server->InProcessChannel(grpc::ChannelArguments());
}

StatusOr<Store::Collected> Server::Collect() {
  ASSIGN_OR_RETURN(const Store::Collected collected, state_->store->Collect(state_->snapshots));
  if (collected.snapshots > 0) {
    RETURN_IF_ERROR(state_->snapshots.FreeRemoved());
  }
  return collected;
}

Status Server::ForgetImages() { return state_->store->ForgetImages(); }

}  // namespace starling::standalone

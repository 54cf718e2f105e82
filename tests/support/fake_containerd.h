/// containerd's API as far as a pull uses it, with its state in memory.
#pragma once

#include <google/protobuf/empty.pb.h>
#include <grpcpp/grpcpp.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/containerd/services/content/v1/content.grpc.pb.h"
#include "api/containerd/services/diff/v1/diff.grpc.pb.h"
#include "api/containerd/services/images/v1/images.grpc.pb.h"
#include "api/containerd/services/introspection/v1/introspection.grpc.pb.h"
#include "api/containerd/services/leases/v1/leases.grpc.pb.h"
#include "api/containerd/services/namespaces/v1/namespaces.grpc.pb.h"
#include "api/containerd/services/snapshots/v1/snapshots.grpc.pb.h"
#include "api/containerd/services/version/v1/version.grpc.pb.h"
#include "api/snapshot_labels.h"
#include "base/mutex.h"
#include "oci/descriptor.h"

namespace starling::testing_support {

/// Serves on a unix socket until it goes. One namespace, whatever it is called, any snapshotter.
/// Threads: safe.
class FakeContainerd {
 public:
  using Labels = std::map<std::string, std::string>;
  struct Call {
    std::string name;  // such as "snapshots.Prepare"; content.Write is Begin, Data or Commit
    std::string namespace_name;
    std::string lease;
  };
  struct Blob {
    std::string content;
    Labels labels;
  };
  struct Snapshot {
    bool committed = false;
    std::string parent;
    Labels labels;
    std::filesystem::path directory = {};  // what it adds to its parent; empty without real ones
  };
  struct State {
    std::map<std::string, Labels> leases;
    std::map<std::string, std::set<std::string>> held;  // by lease: "TYPE ID"
    std::map<std::string, Blob> blobs;                  // by digest
    std::map<std::string, std::string> ingests;         // by reference
    std::map<std::string, Snapshot> snapshots;          // by key or name
    std::map<std::string, ::containerd::types::Descriptor> images;
    std::vector<::containerd::services::introspection::v1::Plugin> plugins;
    std::vector<std::string> namespaces = {"ns"};  // each has all of the images
    std::vector<::containerd::services::diff::v1::ApplyRequest> applied;
    std::set<std::string> lazy_layers;            // digests that the snapshotter takes lazily
    std::map<std::string, std::string> diff_ids;  // of the layers' tars
    /// Snapshots have real directories below it, with the mounts of an overlay snapshotter.
    std::filesystem::path snapshot_root;

    size_t active_snapshots() const {
      size_t count = 0;
      for (const auto& [key, snapshot] : snapshots) {
        count += snapshot.committed ? 0 : 1;
      }
      return count;
    }
  };

  explicit FakeContainerd(const std::string& socket) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.SetMaxReceiveMessageSize(16 << 20);
    builder.RegisterService(&contents_);
    builder.RegisterService(&diffs_);
    builder.RegisterService(&images_);
    builder.RegisterService(&introspections_);
    builder.RegisterService(&leases_);
    builder.RegisterService(&namespaces_);
    builder.RegisterService(&snapshots_);
    builder.RegisterService(&versions_);
    server_ = builder.BuildAndStart();
  }
  ~FakeContainerd() { server_->Shutdown(std::chrono::system_clock::now()); }

  /// The next call of this name gets `error` instead of an answer; the one after it does not.
  void FailNext(const std::string& call, const grpc::Status& error) {
    MutexLock lock(mutex_);
    failures_[call] = error;
  }
  /// Runs before each call of this name is served, with no lock held.
  void Before(const std::string& call, std::function<void()> hook) {
    MutexLock lock(mutex_);
    hooks_[call] = std::move(hook);
  }
  /// Changes the state behind the client's back.
  void Change(const std::function<void(State&)>& change) {
    MutexLock lock(mutex_);
    change(state_);
  }

  State state() {
    MutexLock lock(mutex_);
    return state_;
  }
  std::vector<Call> calls() {
    MutexLock lock(mutex_);
    return calls_;
  }
  size_t CallsOf(const std::string& name) {
    MutexLock lock(mutex_);
    size_t count = 0;
    for (const Call& call : calls_) {
      count += call.name == name ? 1 : 0;
    }
    return count;
  }

 private:
  template <typename Message>
  static Labels LabelsOf(const Message& message) {
    return {message.labels().begin(), message.labels().end()};
  }
  static grpc::Status NotFound(const std::string& what) {
    return {grpc::StatusCode::NOT_FOUND, what + ": not found"};
  }
  static grpc::Status AlreadyExists(const std::string& what) {
    return {grpc::StatusCode::ALREADY_EXISTS, what + ": already exists"};
  }

  static std::string HeaderOf(const grpc::ServerContext& context, const char* name) {
    const auto found = context.client_metadata().find(name);
    return found == context.client_metadata().end()
               ? ""
               : std::string(found->second.data(), found->second.size());
  }

  /// Notes the call. What it returns is the answer, unless it is OK.
  grpc::Status Enter(const grpc::ServerContext& context, const std::string& name) {
    std::function<void()> hook;
    {
      MutexLock lock(mutex_);
      calls_.push_back({.name = name,
                        .namespace_name = HeaderOf(context, "containerd-namespace"),
                        .lease = HeaderOf(context, "containerd-lease")});
      if (const auto failure = failures_.extract(name); !failure.empty()) {
        return failure.mapped();
      }
      if (const auto found = hooks_.find(name); found != hooks_.end()) {
        hook = found->second;
      }
    }
    if (hook) {
      hook();
    }
    return grpc::Status::OK;
  }

  /// A service's method that is noted, then served by `serve` under the mutex.
  template <typename Serve>
  grpc::Status Handle(const grpc::ServerContext& context, const std::string& name,
                      const Serve& serve) {
    if (const grpc::Status refused = Enter(context, name); !refused.ok()) {
      return refused;
    }
    MutexLock lock(mutex_);
    return serve(state_);
  }

  class Versions final : public ::containerd::services::version::v1::Version::Service {
   public:
    explicit Versions(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status Version(grpc::ServerContext* context, const google::protobuf::Empty*,
                         ::containerd::services::version::v1::VersionResponse* response) override {
      return fake_.Handle(*context, "version.Version", [&](State&) {
        response->set_version("fake");
        return grpc::Status::OK;
      });
    }

   private:
    FakeContainerd& fake_;
  };

  class Introspections final
      : public ::containerd::services::introspection::v1::Introspection::Service {
   public:
    explicit Introspections(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status Plugins(
        grpc::ServerContext* context,
        const ::containerd::services::introspection::v1::PluginsRequest* request,
        ::containerd::services::introspection::v1::PluginsResponse* response) override {
      return fake_.Handle(*context, "introspection.Plugins", [&](State& state) {
        for (const auto& plugin : state.plugins) {
          if (request->filters_size() == 0 || request->filters(0) == "type==" + plugin.type()) {
            *response->add_plugins() = plugin;
          }
        }
        return grpc::Status::OK;
      });
    }

   private:
    FakeContainerd& fake_;
  };

  class Leases final : public ::containerd::services::leases::v1::Leases::Service {
   public:
    explicit Leases(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status Create(grpc::ServerContext* context,
                        const ::containerd::services::leases::v1::CreateRequest* request,
                        ::containerd::services::leases::v1::CreateResponse* response) override {
      return fake_.Handle(*context, "leases.Create", [&](State& state) {
        state.leases[request->id()] = LabelsOf(*request);
        response->mutable_lease()->set_id(request->id());
        return grpc::Status::OK;
      });
    }
    grpc::Status Delete(grpc::ServerContext* context,
                        const ::containerd::services::leases::v1::DeleteRequest* request,
                        google::protobuf::Empty*) override {
      return fake_.Handle(*context, "leases.Delete", [&](State& state) {
        state.held.erase(request->id());
        return state.leases.erase(request->id()) == 1 ? grpc::Status::OK : NotFound(request->id());
      });
    }
    grpc::Status AddResource(grpc::ServerContext* context,
                             const ::containerd::services::leases::v1::AddResourceRequest* request,
                             google::protobuf::Empty*) override {
      return fake_.Handle(*context, "leases.AddResource", [&](State& state) {
        if (!state.leases.contains(request->id())) {
          return NotFound(request->id());
        }
        state.held[request->id()].insert(request->resource().type() + " " +
                                         request->resource().id());
        return grpc::Status::OK;
      });
    }

   private:
    FakeContainerd& fake_;
  };

  class Contents final : public ::containerd::services::content::v1::Content::Service {
   public:
    explicit Contents(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status Update(grpc::ServerContext* context,
                        const ::containerd::services::content::v1::UpdateRequest* request,
                        ::containerd::services::content::v1::UpdateResponse*) override {
      return fake_.Handle(*context, "content.Update", [&](State& state) {
        const auto blob = state.blobs.find(request->info().digest());
        if (blob == state.blobs.end()) {
          return NotFound(request->info().digest());
        }
        for (const std::string& path : request->update_mask().paths()) {
          const std::string key = path.substr(std::string("labels.").size());
          blob->second.labels[key] = request->info().labels().at(key);
        }
        return grpc::Status::OK;
      });
    }
    grpc::Status Info(grpc::ServerContext* context,
                      const ::containerd::services::content::v1::InfoRequest* request,
                      ::containerd::services::content::v1::InfoResponse* response) override {
      return fake_.Handle(*context, "content.Info", [&](State& state) {
        const auto blob = state.blobs.find(request->digest());
        if (blob == state.blobs.end()) {
          return NotFound(request->digest());
        }
        response->mutable_info()->mutable_labels()->insert(blob->second.labels.begin(),
                                                           blob->second.labels.end());
        return grpc::Status::OK;
      });
    }
    grpc::Status Read(grpc::ServerContext* context,
                      const ::containerd::services::content::v1::ReadContentRequest* request,
                      grpc::ServerWriter<::containerd::services::content::v1::ReadContentResponse>*
                          writer) override {
      std::string content;
      const grpc::Status found = fake_.Handle(*context, "content.Read", [&](State& state) {
        const auto blob = state.blobs.find(request->digest());
        if (blob == state.blobs.end()) {
          return NotFound(request->digest());
        }
        content = blob->second.content;
        // As the real one: it does not read from a blob's end.
        return static_cast<size_t>(request->offset()) < content.size() || content.empty()
                   ? grpc::Status::OK
                   : grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "offset");
      });
      constexpr size_t kPieceBytes = 1000;
      for (auto at = static_cast<size_t>(request->offset()); at < content.size();
           at += kPieceBytes) {
        ::containerd::services::content::v1::ReadContentResponse piece;
        piece.set_offset(static_cast<int64_t>(at));
        piece.set_data(content.substr(at, kPieceBytes));
        writer->Write(piece);
      }
      return found;
    }
    grpc::Status List(grpc::ServerContext* context,
                      const ::containerd::services::content::v1::ListContentRequest* request,
                      grpc::ServerWriter<::containerd::services::content::v1::ListContentResponse>*
                          writer) override {
      return fake_.Handle(*context, "content.List", [&](State& state) {
        ::containerd::services::content::v1::ListContentResponse response;
        for (const auto& [digest, blob] : state.blobs) {
          if (request->filters().empty() || Matches(request->filters(0), blob.labels)) {
            auto& info = *response.add_info();
            info.set_digest(digest);
            info.set_size(static_cast<int64_t>(blob.content.size()));
            info.mutable_labels()->insert(blob.labels.begin(), blob.labels.end());
          }
        }
        writer->Write(response);
        return grpc::Status::OK;
      });
    }
    grpc::Status Delete(grpc::ServerContext* context,
                        const ::containerd::services::content::v1::DeleteContentRequest* request,
                        google::protobuf::Empty*) override {
      return fake_.Handle(*context, "content.Delete", [&](State& state) {
        return state.blobs.erase(request->digest()) == 1 ? grpc::Status::OK
                                                         : NotFound(request->digest());
      });
    }
    grpc::Status Abort(grpc::ServerContext* context,
                       const ::containerd::services::content::v1::AbortRequest* request,
                       google::protobuf::Empty*) override {
      return fake_.Handle(*context, "content.Abort", [&](State& state) {
        return state.ingests.erase(request->ref()) == 1 ? grpc::Status::OK
                                                        : NotFound(request->ref());
      });
    }
    grpc::Status Write(
        grpc::ServerContext* context,
        grpc::ServerReaderWriter<::containerd::services::content::v1::WriteContentResponse,
                                 ::containerd::services::content::v1::WriteContentRequest>* stream)
        override {
      ::containerd::services::content::v1::WriteContentRequest request;
      std::string reference;
      while (stream->Read(&request)) {
        if (!request.ref().empty()) {
          reference = request.ref();
        }
        const grpc::Status done = Step(*context, request, reference);
        if (!done.ok()) {
          return done;
        }
        stream->Write({});
      }
      return grpc::Status::OK;
    }

   private:
    /// As far as we ask: labels."NAME" and labels."NAME"==VALUE.
    static bool Matches(const std::string& filter, const Labels& labels) {
      const size_t begin = filter.find('"') + 1;
      const size_t end = filter.find('"', begin);
      const auto label = labels.find(filter.substr(begin, end - begin));
      const size_t equals = filter.find("==", end);
      return label != labels.end() &&
             (equals == std::string::npos || filter.substr(equals + 2) == label->second);
    }
    grpc::Status Step(const grpc::ServerContext& context,
                      const ::containerd::services::content::v1::WriteContentRequest& request,
                      const std::string& reference) {
      namespace content = ::containerd::services::content::v1;
      switch (request.action()) {
        case content::STAT:
          return fake_.Handle(context, "content.Begin", [&](State& state) {
            if (state.blobs.contains(request.expected())) {
              return AlreadyExists(request.expected());
            }
            // The real one locks the reference against a second writer.
            if (!state.ingests.emplace(reference, "").second) {
              return grpc::Status(grpc::StatusCode::UNAVAILABLE, reference + ": locked");
            }
            return grpc::Status::OK;
          });
        case content::WRITE:
          return fake_.Handle(context, "content.Data", [&](State& state) {
            if (static_cast<size_t>(request.offset()) != state.ingests[reference].size()) {
              return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "offset");
            }
            state.ingests[reference] += request.data();
            return grpc::Status::OK;
          });
        default:
          return fake_.Handle(context, "content.Commit", [&](State& state) {
            const std::string content = state.ingests[reference];
            if (static_cast<size_t>(request.total()) != content.size() ||
                request.expected() != oci::Digest::Of(AsBytes(content)).ToString()) {
              return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "unexpected digest");
            }
            state.ingests.erase(reference);
            if (state.blobs.contains(request.expected())) {
              return AlreadyExists(request.expected());
            }
            state.blobs[request.expected()] = {.content = content, .labels = LabelsOf(request)};
            return grpc::Status::OK;
          });
      }
    }

    FakeContainerd& fake_;
  };

  class Diffs final : public ::containerd::services::diff::v1::Diff::Service {
   public:
    explicit Diffs(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status Apply(grpc::ServerContext* context,
                       const ::containerd::services::diff::v1::ApplyRequest* request,
                       ::containerd::services::diff::v1::ApplyResponse* response) override {
      return fake_.Handle(*context, "diff.Apply", [&](State& state) {
        if (!state.blobs.contains(request->diff().digest())) {
          return NotFound(request->diff().digest());
        }
        state.applied.push_back(*request);
        response->mutable_applied()->set_digest(state.diff_ids[request->diff().digest()]);
        return grpc::Status::OK;
      });
    }

   private:
    FakeContainerd& fake_;
  };

  class Namespaces final : public ::containerd::services::namespaces::v1::Namespaces::Service {
   public:
    explicit Namespaces(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status List(
        grpc::ServerContext* context,
        const ::containerd::services::namespaces::v1::ListNamespacesRequest*,
        ::containerd::services::namespaces::v1::ListNamespacesResponse* response) override {
      return fake_.Handle(*context, "namespaces.List", [&](State& state) {
        for (const std::string& name : state.namespaces) {
          response->add_namespaces()->set_name(name);
        }
        return grpc::Status::OK;
      });
    }

   private:
    FakeContainerd& fake_;
  };

  class Images final : public ::containerd::services::images::v1::Images::Service {
   public:
    explicit Images(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status List(grpc::ServerContext* context,
                      const ::containerd::services::images::v1::ListImagesRequest*,
                      ::containerd::services::images::v1::ListImagesResponse* response) override {
      return fake_.Handle(*context, "images.List", [&](State& state) {
        for (const auto& [name, target] : state.images) {
          auto& image = *response->add_images();
          image.set_name(name);
          *image.mutable_target() = target;
        }
        return grpc::Status::OK;
      });
    }
    grpc::Status Get(grpc::ServerContext* context,
                     const ::containerd::services::images::v1::GetImageRequest* request,
                     ::containerd::services::images::v1::GetImageResponse* response) override {
      return fake_.Handle(*context, "images.Get", [&](State& state) {
        const auto found = state.images.find(request->name());
        if (found == state.images.end()) {
          return NotFound(request->name());
        }
        response->mutable_image()->set_name(found->first);
        *response->mutable_image()->mutable_target() = found->second;
        return grpc::Status::OK;
      });
    }
    grpc::Status Create(grpc::ServerContext* context,
                        const ::containerd::services::images::v1::CreateImageRequest* request,
                        ::containerd::services::images::v1::CreateImageResponse*) override {
      return fake_.Handle(*context, "images.Create", [&](State& state) {
        const auto& image = request->image();
        return state.images.emplace(image.name(), image.target()).second
                   ? grpc::Status::OK
                   : AlreadyExists(image.name());
      });
    }
    grpc::Status Update(grpc::ServerContext* context,
                        const ::containerd::services::images::v1::UpdateImageRequest* request,
                        ::containerd::services::images::v1::UpdateImageResponse*) override {
      return fake_.Handle(*context, "images.Update", [&](State& state) {
        const auto found = state.images.find(request->image().name());
        if (found == state.images.end()) {
          return NotFound(request->image().name());
        }
        found->second = request->image().target();
        return grpc::Status::OK;
      });
    }

   private:
    FakeContainerd& fake_;
  };

  class Snapshots final : public ::containerd::services::snapshots::v1::Snapshots::Service {
   public:
    explicit Snapshots(FakeContainerd& fake) : fake_(fake) {}
    grpc::Status Stat(
        grpc::ServerContext* context,
        const ::containerd::services::snapshots::v1::StatSnapshotRequest* request,
        ::containerd::services::snapshots::v1::StatSnapshotResponse* response) override {
      return fake_.Handle(*context, "snapshots.Stat", [&](State& state) {
        const auto found = state.snapshots.find(request->key());
        if (found == state.snapshots.end()) {
          return NotFound(request->key());
        }
        response->mutable_info()->mutable_labels()->insert(found->second.labels.begin(),
                                                           found->second.labels.end());
        return grpc::Status::OK;
      });
    }
    grpc::Status Prepare(
        grpc::ServerContext* context,
        const ::containerd::services::snapshots::v1::PrepareSnapshotRequest* request,
        ::containerd::services::snapshots::v1::PrepareSnapshotResponse* response) override {
      return fake_.Handle(*context, "snapshots.Prepare", [&](State& state) {
        Labels labels = LabelsOf(*request);
        const std::string target = labels[std::string(api::snapshot_label::kRef)];
        if (state.snapshots.contains(target)) {
          return AlreadyExists(target);
        }
        if (!request->parent().empty() && !state.snapshots.contains(request->parent())) {
          return NotFound(request->parent());
        }
        if (state.lazy_layers.contains(labels[std::string(api::snapshot_label::kCriLayerDigest)])) {
          labels[std::string(api::snapshot_label::kRemote)] = api::snapshot_label::kRemoteValue;
          state.snapshots[target] = {
              .committed = true, .parent = request->parent(), .labels = labels};
          return AlreadyExists(target);
        }
        state.snapshots[request->key()] = {.parent = request->parent(), .labels = labels};
        if (!state.snapshot_root.empty()) {
          MakeRealMounts(state, request->key(), /*writable=*/true, *response->add_mounts());
          return grpc::Status::OK;
        }
        ::containerd::types::Mount& mount = *response->add_mounts();
        mount.set_type("overlay");
        mount.set_source("overlay");
        mount.add_options("upperdir=/" + request->key());
        mount.add_options("index=off");
        return grpc::Status::OK;
      });
    }
    grpc::Status View(
        grpc::ServerContext* context,
        const ::containerd::services::snapshots::v1::ViewSnapshotRequest* request,
        ::containerd::services::snapshots::v1::ViewSnapshotResponse* response) override {
      return fake_.Handle(*context, "snapshots.View", [&](State& state) {
        if (!state.snapshots.contains(request->parent())) {
          return NotFound(request->parent());
        }
        state.snapshots[request->key()] = {.parent = request->parent(),
                                           .labels = LabelsOf(*request)};
        if (!state.snapshot_root.empty()) {
          MakeRealMounts(state, request->key(), /*writable=*/false, *response->add_mounts());
          return grpc::Status::OK;
        }
        ::containerd::types::Mount& mount = *response->add_mounts();
        mount.set_type("bind");
        mount.set_source("/" + request->parent());
        mount.add_options("ro");
        return grpc::Status::OK;
      });
    }
    grpc::Status Commit(grpc::ServerContext* context,
                        const ::containerd::services::snapshots::v1::CommitSnapshotRequest* request,
                        google::protobuf::Empty*) override {
      return fake_.Handle(*context, "snapshots.Commit", [&](State& state) {
        if (state.snapshots.contains(request->name())) {
          return AlreadyExists(request->name());
        }
        auto active = state.snapshots.extract(request->key());
        if (active.empty()) {
          return NotFound(request->key());
        }
        // The labels of Prepare stay with the active snapshot, as in containerd.
        state.snapshots[request->name()] = {.committed = true,
                                            .parent = active.mapped().parent,
                                            .labels = LabelsOf(*request),
                                            .directory = active.mapped().directory};
        return grpc::Status::OK;
      });
    }
    grpc::Status Remove(grpc::ServerContext* context,
                        const ::containerd::services::snapshots::v1::RemoveSnapshotRequest* request,
                        google::protobuf::Empty*) override {
      return fake_.Handle(*context, "snapshots.Remove", [&](State& state) {
        return state.snapshots.erase(request->key()) == 1 ? grpc::Status::OK
                                                          : NotFound(request->key());
      });
    }

   private:
    static void MakeRealMounts(State& state, const std::string& key, bool writable,
                               ::containerd::types::Mount& mount) {
      Snapshot& snapshot = state.snapshots[key];
      std::string lower;
      size_t lower_count = 0;
      for (std::string parent = snapshot.parent; !parent.empty();
           parent = state.snapshots[parent].parent) {
        lower += (lower.empty() ? "" : ":") + state.snapshots[parent].directory.string();
        ++lower_count;
      }
      const auto base = state.snapshot_root / std::to_string(state.snapshots.size()) /
                        std::to_string(std::hash<std::string>{}(key));
      snapshot.directory = base / "fs";
      std::filesystem::create_directories(snapshot.directory);
      std::filesystem::create_directories(base / "work");
      if (lower_count == 0 || (lower_count == 1 && !writable)) {
        mount.set_type("bind");
        mount.set_source(lower_count == 0 ? snapshot.directory.string() : lower);
        mount.add_options("rbind");
        mount.add_options(writable ? "rw" : "ro");
        return;
      }
      mount.set_type("overlay");
      mount.set_source("overlay");
      if (writable) {
        mount.add_options("workdir=" + (base / "work").string());
        mount.add_options("upperdir=" + snapshot.directory.string());
      }
      mount.add_options("lowerdir=" + lower);
    }

    FakeContainerd& fake_;
  };

  Mutex mutex_;  // leaf
  State state_ GUARDED_BY(mutex_);
  std::vector<Call> calls_ GUARDED_BY(mutex_);
  std::map<std::string, grpc::Status> failures_ GUARDED_BY(mutex_);
  std::map<std::string, std::function<void()>> hooks_ GUARDED_BY(mutex_);
  Versions versions_{*this};
  Introspections introspections_{*this};
  Leases leases_{*this};
  Namespaces namespaces_{*this};
  Contents contents_{*this};
  Diffs diffs_{*this};
  Images images_{*this};
  Snapshots snapshots_{*this};
  std::unique_ptr<grpc::Server> server_;  // last: it calls the services
};

}  // namespace starling::testing_support

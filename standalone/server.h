#pragma once

#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/status.h"
#include "standalone/store.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace starling::standalone {

/// What builds need of containerd's API, in this process: blobs, images and leases are a Store's,
/// snapshots are passed on to starlingd. Threads: safe.
class Server {
 public:
  struct Options {
    std::filesystem::path directory;       // of the store
    std::filesystem::path starlingd;       // its socket
    std::filesystem::path work_directory;  // where layers are mounted while they are unpacked
  };
  /// kUnavailable when no starlingd answers.
  static StatusOr<std::unique_ptr<Server>> Start(Options options, Clock& clock);
  ~Server();

  /// For containerd::Client; ends with the server.
  std::shared_ptr<grpc::Channel> Connect();

  /// Removes what no lease, image or result holds.
  StatusOr<Store::Collected> Collect();
  /// Lets images stand for nothing; what only they held goes with the next Collect.
  Status ForgetImages();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace starling::standalone

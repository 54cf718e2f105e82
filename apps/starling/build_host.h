#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "apps/starling/commands.h"
#include "base/status.h"
#include "containerd/client.h"
#include "standalone/server.h"

namespace starling::cli {

/// Over which each step of a build has its own mounts, in a name space of its own.
inline constexpr const char* kBuildWorkDirectory = "/run/starling-build";

/// Where builds have their snapshots, blobs and leases.
struct BuildHostOptions {
  ContainerdOptions containerd;
  /// No containerd: starlingd at this socket, and a store below the state directory.
  bool is_standalone = false;
  std::string starlingd;
  std::filesystem::path state_directory;
};

/// `--address none` has no containerd, and so has a machine where nobody named one and there is no
/// socket at the default address. Starts no thread.
BuildHostOptions ChooseBuildHost(const ContainerdOptions& containerd, const std::string& starlingd,
                                 const std::filesystem::path& state_directory);

/// A containerd, or what stands for it. Threads: as of containerd::Client.
class BuildHost {
 public:
  /// kUnavailable when neither answers: says what to start.
  static StatusOr<BuildHost> Open(const BuildHostOptions& options);

  containerd::Client& client() { return *client_; }
  bool is_standalone() const { return server_ != nullptr; }
  /// Removes what nobody holds; a containerd does that by itself.
  Status Collect();
  /// Lets images stand for nothing where only builds use them; a containerd's are its users'.
  Status ForgetImages();

 private:
  BuildHost() = default;
  std::unique_ptr<standalone::Server> server_;
  std::unique_ptr<containerd::Client> client_;  // last: it calls the server
};

}  // namespace starling::cli

#include "apps/starling/machine.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "apps/starling/toolbox.h"
#include "base/unique_fd.h"
#include "containerd/client.h"
#include "credentials/program.h"

namespace starling::cli {
namespace {

constexpr std::chrono::seconds kAnswerTimeout(10);

/// A socket that is not there, or refuses, is told apart from a service that is slow.
Status Connects(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof(address.sun_path)) {
    return MakeError(StatusCode::kInvalidArgument, "too long for a socket");
  }
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const UniqueFd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection.valid()) {
    return ErrnoError(errno, "socket");
  }
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
          0 &&
      errno != EAGAIN) {
    return errno == ECONNREFUSED ? MakeError(StatusCode::kUnavailable, "nobody listens there")
                                 : ErrnoError(errno, "connect");
  }
  return OkStatus();
}

}  // namespace

StatusOr<doctor::RunningContainerd> ThisMachine::AskContainerd(const std::string& socket) {
  RETURN_IF_ERROR(Connects(socket));
  containerd::Client client(
      {.address = socket, .namespace_name = "default", .call_timeout = kAnswerTimeout});
  doctor::RunningContainerd running;
  ASSIGN_OR_RETURN(running.version, client.Version());
  ASSIGN_OR_RETURN(const auto snapshotters, client.Snapshotters());
  for (const auto& [name, snapshotter] : snapshotters) {
    running.snapshotters[name] = {
        .socket = snapshotter.address, .exports = snapshotter.exports, .error = snapshotter.error};
  }
  return running;
}

StatusOr<std::string> ThisMachine::InstalledContainerd() {
  ASSIGN_OR_RETURN(const credentials::ProgramAnswer answer,
                   credentials::RunProgram({.program = "containerd",
                                            .arguments = {"--version"},
                                            .variables = {},
                                            .input = "",
                                            .timeout = kAnswerTimeout}));
  // "containerd github.com/containerd/containerd/v2 v2.3.4 COMMIT"
  std::istringstream words(answer.output);
  std::string version;
  for (int word = 0; word < 3; ++word) {
    words >> version;
  }
  if (answer.exit_status != 0 || !words) {
    return MakeError(StatusCode::kNotFound, "containerd does not tell its version");
  }
  return version;
}

Status ThisMachine::AskStarlingd(const std::string& socket) {
  RETURN_IF_ERROR(Connects(socket));
  // As containerd does: it serves snapshots, and has none of this name.
  containerd::Client client(
      {.address = socket, .namespace_name = "default", .call_timeout = kAnswerTimeout});
  const Status answer = client.StatSnapshot("", "starling-doctor").status();
  if (answer.ok() || answer.code() == StatusCode::kNotFound) {
    return OkStatus();
  }
  if (answer.code() == StatusCode::kUnavailable || answer.code() == StatusCode::kDeadlineExceeded) {
    return MakeError(answer.code(), "no answer in ten seconds");
  }
  return answer;
}

Status ThisMachine::ReadImage(const std::string& image, const config::Settings& settings) {
  const RegistryOptions options{.plain_http_hosts = settings.registry.plain_http_hosts,
                                .hosts_directories = settings.registry.config_path,
                                .secret = "",
                                .destination_secret = ""};
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(options, image));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, toolbox->OpenSource(image));
  return source->ReadTopManifest().status();
}

}  // namespace starling::cli

#include "credentials/credential_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "registry/url.h"

extern char** environ;

namespace starling::credentials {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

constexpr size_t kMaxOutputBytes = 1 << 20;

Status CheckName(const std::string& name) {
  const bool clean =
      !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
      });
  return clean ? OkStatus()
               : MakeError(StatusCode::kInvalidArgument,
                           fmt::format("\"{}\" is not a name of a credential helper",
                                       registry::Printable(name, 100)));
}

/// A child process in a group of its own. Whatever happens, it does not outlive this object.
class Child {
 public:
  static StatusOr<Child> Start(const std::string& program, int input, int output) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    // Libraries open some without O_CLOEXEC.
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::string program_argument = program;
    std::string get = "get";
    char* arguments[] = {program_argument.data(), get.data(), nullptr};
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, program.c_str(), &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      return ErrnoError(error, program);
    }
    return Child(pid);
  }

  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ > 0) {
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }

  /// The exit status, or nothing when it did not come in time or a signal ended it.
  std::optional<int> Wait(TimePoint deadline);

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

/// False when `deadline` has passed.
bool PollUntil(int fd, short events, TimePoint deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready > 0) {
      return true;
    }
    if (ready == 0 || errno != EINTR) {
      return false;
    }
  }
}

std::optional<int> Child::Wait(TimePoint deadline) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!process.valid() || !PollUntil(process.get(), POLLIN, deadline)) {
    return std::nullopt;
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) {
      return std::nullopt;
    }
  }
  pid_ = -1;
  return WIFEXITED(status) ? std::optional(WEXITSTATUS(status)) : std::nullopt;
}

StatusOr<std::string> ReadOutput(int fd, TimePoint deadline) {
  std::string output;
  char buffer[4096];
  for (;;) {
    if (!PollUntil(fd, POLLIN, deadline)) {
      return MakeError(StatusCode::kDeadlineExceeded, "it did not answer in time");
    }
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count == 0) {
      return output;
    }
    if (count < 0 && errno != EINTR) {
      return ErrnoError(errno, "reading its answer");
    }
    if (count > 0) {
      output.append(buffer, static_cast<size_t>(count));
    }
    if (output.size() > kMaxOutputBytes) {
      return MakeError(StatusCode::kResourceExhausted, "its answer is too long");
    }
  }
}

StatusOr<registry::Credentials> ParseAnswer(const std::string& output) {
  const auto json = nlohmann::json::parse(output, nullptr, false);
  const auto text = [&json](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string secret = text("Secret");
  if (secret.empty()) {
    return MakeError(StatusCode::kUnauthenticated, "its answer holds no Secret");
  }
  const std::string username = text("Username");
  // Source: docker-credential-helpers: this user name marks an identity token.
  if (username == "<token>") {
    return registry::Credentials{.username = "", .password = "", .identity_token = secret};
  }
  return registry::Credentials{.username = username, .password = secret, .identity_token = ""};
}

StatusOr<registry::Credentials> Ask(const std::string& program, const std::string& server,
                                    TimePoint deadline) {
  int input[2];
  int output[2];
  // A socket and not a pipe: writing to a program that has ended must not raise SIGPIPE.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  UniqueFd input_theirs(input[0]);
  UniqueFd input_ours(input[1]);
  if (::pipe2(output, O_CLOEXEC) != 0) {
    return ErrnoError(errno, "pipe");
  }
  const UniqueFd output_ours(output[0]);
  UniqueFd output_theirs(output[1]);
  ASSIGN_OR_RETURN(Child child, Child::Start(program, input_theirs.get(), output_theirs.get()));
  input_theirs.Reset();
  output_theirs.Reset();
  // Shorter than any socket buffer, so this does not block. The program may not care to read it.
  (void)::send(input_ours.get(), server.data(), server.size(), MSG_NOSIGNAL);
  input_ours.Reset();
  ASSIGN_OR_RETURN(const std::string answer, ReadOutput(output_ours.get(), deadline));
  const auto exit_status = child.Wait(deadline);
  if (exit_status == 0) {
    return ParseAnswer(answer);
  }
  // Source: docker-credential-helpers, errCredentialsNotFoundMessage.
  if (answer.find("credentials not found") != std::string::npos) {
    return registry::Credentials{};
  }
  return MakeError(
      StatusCode::kUnauthenticated,
      fmt::format("it failed: {}", registry::Printable(answer.substr(0, answer.find('\n')), 200)));
}

}  // namespace

StatusOr<registry::Credentials> AskCredentialHelper(const std::string& name,
                                                    const std::string& server,
                                                    std::chrono::milliseconds timeout) {
  RETURN_IF_ERROR(CheckName(name));
  const std::string program = "docker-credential-" + name;
  auto credentials = Ask(program, server, std::chrono::steady_clock::now() + timeout);
  if (!credentials.ok()) {
    return Annotate(credentials.status(), program);
  }
  return credentials;
}

}  // namespace starling::credentials

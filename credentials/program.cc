#include "credentials/program.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/child_program.h"
#include "base/pipe.h"
#include "base/poll.h"
#include "base/unique_fd.h"

extern char** environ;

namespace starling::credentials {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

std::vector<std::string> EnvironmentOf(const ProgramCall& call) {
  std::vector<std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (std::ranges::none_of(call.variables,
                             [name](const auto& variable) { return variable.first == name; })) {
      environment.emplace_back(text);
    }
  }
  for (const auto& [name, value] : call.variables) {
    environment.push_back(fmt::format("{}={}", name, value));
  }
  return environment;
}

/// Gives `input` and takes the output, side by side, until that ends.
StatusOr<std::string> Talk(UniqueFd to_program, UniqueFd from_program, std::string_view input,
                           TimePoint deadline) {
  std::string output;
  char buffer[4096];
  for (;;) {
    if (input.empty()) {
      to_program.Reset();
    }
    std::vector<pollfd> entries = {{.fd = from_program.get(), .events = POLLIN, .revents = 0}};
    if (to_program.valid()) {
      entries.push_back({.fd = to_program.get(), .events = POLLOUT, .revents = 0});
    }
    if (!PollUntil(entries, deadline).value_or(false)) {
      return MakeError(StatusCode::kDeadlineExceeded, "it did not answer in time");
    }
    if (to_program.valid() && entries.back().revents != 0) {
      const ssize_t sent =
          ::send(to_program.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) {
        input.remove_prefix(static_cast<size_t>(sent));
      } else if (errno != EAGAIN && errno != EINTR) {
        // The program may not care to read it.
        input = {};
      }
    }
    if (entries.front().revents == 0) {
      continue;
    }
    const ssize_t count = ::read(from_program.get(), buffer, sizeof buffer);
    if (count == 0) {
      return output;
    }
    if (count < 0 && errno != EINTR) {
      return ErrnoError(errno, "reading its answer");
    }
    if (count > 0) {
      output.append(buffer, static_cast<size_t>(count));
    }
    if (output.size() > kMaxAnswerBytes) {
      return MakeError(StatusCode::kResourceExhausted, "its answer is too long");
    }
  }
}

}  // namespace

StatusOr<ProgramAnswer> RunProgram(const ProgramCall& call) {
  const TimePoint deadline = std::chrono::steady_clock::now() + call.timeout;
  int input[2];
  // A socket and not a pipe: writing to a program that has ended must not raise SIGPIPE.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  UniqueFd input_theirs(input[0]);
  UniqueFd input_ours(input[1]);
  ASSIGN_OR_RETURN(Pipe output, MakePipe());
  ASSIGN_OR_RETURN(ChildProgram child, ChildProgram::Start({.program = call.program,
                                                            .arguments = call.arguments,
                                                            .environment = EnvironmentOf(call),
                                                            .input = input_theirs.get(),
                                                            .output = output.write_end.get()}));
  input_theirs.Reset();
  output.write_end.Reset();
  ProgramAnswer answer;
  ASSIGN_OR_RETURN(answer.output,
                   Talk(std::move(input_ours), std::move(output.read_end), call.input, deadline));
  if (const auto end = child.Wait(deadline)) {
    answer.exit_status = end->exit_status;
  }
  return answer;
}

}  // namespace starling::credentials

#include "dockerfile/context/git_checkout.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "base/child_program.h"
#include "base/file_system.h"
#include "base/io.h"
#include "base/pipe.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::context {
namespace {

constexpr uint64_t kMaxAnswerBytes = 1 << 20;
constexpr std::array<const char*, 7> kPassedVariables = {
    "PATH",          "HOME",        "SSH_AUTH_SOCK", "GIT_SSL_CAINFO",
    "SSL_CERT_FILE", "https_proxy", "http_proxy"};

/// git without anybody's settings but these.
class Git {
 public:
  Git(std::filesystem::path directory, const std::stop_token& stop)
      : directory_(std::move(directory)), stop_(stop) {
    for (const char* name : kPassedVariables) {
      if (const char* value = std::getenv(name); value != nullptr) {
        environment_.push_back(fmt::format("{}={}", name, value));
      }
    }
    for (const char* setting :
         {"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
          "GIT_ALLOW_PROTOCOL=https:http:ssh:git:file", "LC_ALL=C",
          "GIT_SSH_COMMAND=ssh -oBatchMode=yes"}) {
      environment_.emplace_back(setting);
    }
  }

  /// What it prints, without the last line end.
  StatusOr<std::string> Run(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"-C", directory_,        "-c", "core.hooksPath=/dev/null",
                                    "-c", "safe.directory=*"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    ASSIGN_OR_RETURN(Pipe output, MakePipe());
    ASSIGN_OR_RETURN(ChildProgram child, ChildProgram::Start({.program = "git",
                                                              .arguments = std::move(all),
                                                              .environment = environment_,
                                                              .output = output.write_end.get(),
                                                              .error = output.write_end.get()}));
    output.write_end.Reset();
    const std::stop_callback stopped(stop_, [&child] { child.Signal(SIGTERM); });
    FdSource source(output.read_end.get());
    const auto answer = ReadAll(source, kMaxAnswerBytes);
    if (!answer.ok()) {
      child.Signal(SIGKILL);
    }
    const auto end = child.Wait();
    if (stop_.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    RETURN_IF_ERROR(answer.status());
    std::string text(AsText(*answer));
    while (text.ends_with('\n')) {
      text.pop_back();
    }
    if (end->exit_status != 0) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("git {}: {}", arguments.front(), text));
    }
    return text;
  }

 private:
  const std::filesystem::path directory_;
  const std::stop_token& stop_;
  std::vector<std::string> environment_;
};

bool LooksLikeCommit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// All files get the commit's time, so that two checkouts are the same.
Status SetTimes(const std::filesystem::path& directory, int64_t seconds) {
  const std::array<struct timespec, 2> times = {
      {{.tv_sec = seconds, .tv_nsec = 0}, {.tv_sec = seconds, .tv_nsec = 0}}};
  std::error_code error;
  std::vector<std::filesystem::path> paths = {directory};
  for (auto at = std::filesystem::recursive_directory_iterator(directory, error);
       at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    if (error) {
      return ErrnoError(error.value(), directory.native());
    }
    paths.push_back(at->path());
  }
  for (const std::filesystem::path& path : paths) {
    if (::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, path.native());
    }
  }
  return OkStatus();
}

}  // namespace

StatusOr<GitCheckout> CheckOut(const syntax::GitReference& reference, bool keep_git_directory,
                               const std::filesystem::path& directory,
                               const std::stop_token& stop) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  const Git git(directory, stop);
  RETURN_IF_ERROR(git.Run({"init", "--quiet"}).status());
  RETURN_IF_ERROR(git.Run({"remote", "add", "origin", "--", reference.remote}).status());
  const std::string wanted = reference.ref.empty() ? "HEAD" : reference.ref;
  // A shallow fetch by name; a commit may only be reachable through the branches.
  auto fetched = git.Run({"fetch", "--quiet", "--depth=1", "--no-tags", "origin", "--", wanted});
  if (!fetched.ok() && fetched.status().code() != StatusCode::kCancelled &&
      LooksLikeCommit(wanted)) {
    fetched = git.Run({"fetch", "--quiet", "--tags", "origin"});
  }
  if (!fetched.ok()) {
    return Annotate(fetched.status(), reference.remote);
  }
  const std::string commit_name = LooksLikeCommit(wanted) ? wanted : "FETCH_HEAD";
  ASSIGN_OR_RETURN(const std::string commit,
                   git.Run({"rev-parse", "--verify", "--quiet", commit_name + "^{commit}"}));
  if (!reference.checksum.empty() && !commit.starts_with(reference.checksum)) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{}: {} is commit {}, not {}", reference.remote, wanted, commit,
                                 reference.checksum));
  }
  RETURN_IF_ERROR(git.Run({"checkout", "--quiet", "--detach", commit}).status());
  if (reference.submodules.value_or(false)) {
    RETURN_IF_ERROR(
        git.Run({"submodule", "update", "--init", "--recursive", "--depth=1"}).status());
  }
  ASSIGN_OR_RETURN(const std::string time, git.Run({"show", "-s", "--format=%ct", commit}));
  int64_t seconds = 0;
  std::from_chars(time.data(), time.data() + time.size(), seconds);
  if (!keep_git_directory) {
    std::error_code error;
    std::filesystem::remove_all(directory / ".git", error);
    if (error) {
      return ErrnoError(error.value(), directory.native());
    }
  }
  if (reference.modified_time != "checkout") {
    RETURN_IF_ERROR(SetTimes(directory, seconds));
  }
  GitCheckout checkout{.directory = directory, .commit = commit};
  if (!reference.subdirectory.empty()) {
    // A link in the repository must not lead out of it.
    ASSIGN_OR_RETURN(const UniqueFd root, files::OpenRoot(directory));
    const auto found =
        files::OpenWithoutLinks(root.get(), reference.subdirectory, O_PATH | O_DIRECTORY);
    if (!found.ok()) {
      return Annotate(found.status(), fmt::format("{}: {}", reference.remote, wanted));
    }
    checkout.directory = directory / reference.subdirectory;
  }
  return checkout;
}

}  // namespace starling::dockerfile::context

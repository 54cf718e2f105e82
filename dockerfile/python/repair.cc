#include "dockerfile/python/repair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/unique_fd.h"
#include "dockerfile/files/root_walk.h"
#include "dockerfile/python/elf_interpreter.h"

namespace starling::dockerfile::python {
namespace {

constexpr uint64_t kMaxTextBytes = 16 << 20;
constexpr size_t kMaxDepth = 200;
/// Is executed by the module site. Fedora, RHEL and what is made of them have no names by hash in
/// /etc/ssl/certs, and no /etc/ssl/cert.pem.
constexpr std::string_view kCertificates =
    "import os; \"SSL_CERT_DIR\" in os.environ or os.path.exists(\"/etc/ssl/cert.pem\") or not "
    "os.path.exists(\"/etc/pki/tls/certs/ca-bundle.crt\") or "
    "os.environ.setdefault(\"SSL_CERT_FILE\", \"/etc/pki/tls/certs/ca-bundle.crt\")\n";

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-' || c == '+' || c == '~' || c == '/';
}

/// Whether a path can begin behind `before`: not within one, but behind -I and -L.
bool BeginsPath(std::string_view before) {
  if (before.ends_with("-I") || before.ends_with("-L")) {
    return true;
  }
  return before.empty() || !IsNameCharacter(before.back());
}

struct Tool {
  std::string_view name;
  std::string_view replacement;
};
constexpr std::array kTools = {
    Tool{"clang", "cc"},
    Tool{"musl-clang", "cc"},
    Tool{"clang++", "c++"},
    Tool{"llvm-ar", "ar"},
    Tool{"llvm-ranlib", "ranlib"},
    Tool{"llvm-nm", "nm"},
    Tool{"llvm-objcopy", "objcopy"},
};

/// One word with another compiler in it; nothing when there is none. `CC=clang` has one, too.
std::optional<std::string> ReplaceTool(std::string_view word) {
  const size_t equals = word.rfind('=');
  const size_t begin = equals == std::string_view::npos ? 0 : equals + 1;
  std::string_view path = word.substr(begin);
  const std::string_view name =
      path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
  for (const Tool& tool : kTools) {
    if (name == tool.name && (path == name || path.starts_with('/'))) {
      return std::string(word.substr(0, begin)) + std::string(tool.replacement);
    }
  }
  return std::nullopt;
}

/// What only the clang that built it understands, or can find.
bool IsForeignOption(std::string_view word) {
  return word.starts_with("-fdebug-default-version=") || word == "-flto=thin" ||
         word.starts_with("-fprofile-instr-use=") || word.starts_with("-I/tools/") ||
         word.starts_with("-L/tools/") || word.starts_with("-isysroot");
}

/// A file that stays what it is but for its content: its mode and times are kept.
class TextFile {
 public:
  /// Nothing when the name is a link, or something else that is no file.
  static StatusOr<std::optional<TextFile>> Open(int directory, const std::string& name) {
    TextFile file;
    file.file_.Reset(
        ::openat(directory, name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.file_.valid()) {
      return errno == ELOOP || errno == EISDIR ? StatusOr<std::optional<TextFile>>(std::nullopt)
                                               : ErrnoError(errno, name);
    }
    if (::fstat(file.file_.get(), &file.attributes_) != 0) {
      return ErrnoError(errno, name);
    }
    if (!S_ISREG(file.attributes_.st_mode)) {
      return std::optional<TextFile>();
    }
    return std::optional<TextFile>(std::move(file));
  }

  bool BeginsWith(std::string_view magic) const {
    std::string start(magic.size(), '\0');
    return RealFileSystem().ReadAt(file_.get(), 0, std::as_writable_bytes(std::span(start))).ok() &&
           start == magic;
  }

  Status Change(const std::function<std::string(std::string_view)>& change) const {
    const auto size = static_cast<uint64_t>(attributes_.st_size);
    if (size > kMaxTextBytes) {
      return MakeError(StatusCode::kResourceExhausted, fmt::format("{} bytes of text", size));
    }
    std::string text(size, '\0');
    RETURN_IF_ERROR(
        RealFileSystem().ReadAt(file_.get(), 0, std::as_writable_bytes(std::span(text))));
    const std::string changed = change(text);
    if (changed == text) {
      return OkStatus();
    }
    RETURN_IF_ERROR(RealFileSystem().Resize(file_.get(), changed.size()));
    RETURN_IF_ERROR(RealFileSystem().WriteAt(file_.get(), 0, AsBytes(changed)));
    const std::array<struct timespec, 2> times = {attributes_.st_atim, attributes_.st_mtim};
    return ::futimens(file_.get(), times.data()) == 0 ? OkStatus() : ErrnoError(errno, "times");
  }

 private:
  UniqueFd file_;
  struct stat attributes_{};
};

class Repair {
 public:
  Repair(UniqueFd tree, int minor, std::string_view prefix)
      : tree_(std::move(tree)), minor_(minor), prefix_(prefix) {}

  Status Run() {
    RETURN_IF_ERROR(CheckProgram());
    RETURN_IF_ERROR(ChangeIn(
        "bin", [](const std::string&) { return true; },
        [this](std::string_view text) { return ReplaceTools(ReplacePrefix(text, prefix_)); },
        /*only_scripts=*/true));
    RETURN_IF_ERROR(ChangeIn(
        "lib/pkgconfig", [](const std::string& name) { return name.ends_with(".pc"); },
        [this](std::string_view text) { return ReplacePrefix(text, prefix_); }));
    for (const std::string& library : {Library(""), Library("t")}) {
      RETURN_IF_ERROR(RepairLibrary(library));
    }
    RETURN_IF_ERROR(MakeNames());
    return DateDirectories(tree_.get(), 0).status();
  }

 private:
  std::string Library(std::string_view suffix) const {
    return fmt::format("lib/python3.{}{}", minor_, suffix);
  }

  Status CheckProgram() const {
    const auto program = files::OpenInRoot(tree_.get(), "bin/python3", O_RDONLY | O_NONBLOCK);
    if (!program.ok()) {
      return MakeError(StatusCode::kFailedPrecondition, "there is no bin/python3");
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> interpreter,
                     Named("bin/python3", InterpreterOf(program->get())));
    if (!interpreter) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "this Python is linked statically and can load no extension modules; take a "
                       "newer release");
    }
    return OkStatus();
  }

  template <typename T>
  static StatusOr<T> Named(const std::string& name, StatusOr<T> result) {
    return result.ok() ? std::move(result) : Annotate(result.status(), name);
  }

  Status RepairLibrary(const std::string& library) const {
    const auto both = [this](std::string_view text) {
      return ReplaceTools(ReplacePrefix(text, prefix_));
    };
    RETURN_IF_ERROR(ChangeIn(
        library,
        [](const std::string& name) {
          return (name.starts_with("_sysconfigdata_") && name.ends_with(".py")) ||
                 (name.starts_with("_sysconfig_vars_") && name.ends_with(".json"));
        },
        both));
    const auto directory = files::OpenWithoutLinks(tree_.get(), library, O_RDONLY | O_DIRECTORY);
    if (!directory.ok()) {
      return directory.status().code() == StatusCode::kNotFound ? OkStatus() : directory.status();
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, files::NamesIn(directory->get()));
    for (const std::string& name : names) {
      if (name.starts_with("config-")) {
        RETURN_IF_ERROR(ChangeIn(
            library + "/" + name, [](const std::string& file) { return file == "Makefile"; },
            both));
      }
    }
    RETURN_IF_ERROR(NameCertificates(library + "/site-packages"));
    // Compiled from what was there before.
    return RemoveCompiled(library + "/__pycache__");
  }

  /// Written with the time of the program.
  Status NameCertificates(const std::string& path) const {
    const auto packages = files::OpenWithoutLinks(tree_.get(), path, O_RDONLY | O_DIRECTORY);
    if (!packages.ok()) {
      return packages.status().code() == StatusCode::kNotFound ? OkStatus() : packages.status();
    }
    const std::string name(kCertificatesName);
    RETURN_IF_ERROR(files::RemoveTree(packages->get(), name));
    const UniqueFd file(::openat(packages->get(), name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    struct stat program{};
    if (!file.valid() || ::fchmod(file.get(), 0644) != 0 ||
        ::fstatat(tree_.get(), "bin/python3", &program, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, path);
    }
    RETURN_IF_ERROR(RealFileSystem().WriteAt(file.get(), 0, AsBytes(kCertificates)));
    const std::array<struct timespec, 2> times = {program.st_mtim, program.st_mtim};
    return ::futimens(file.get(), times.data()) == 0 ? OkStatus() : ErrnoError(errno, path);
  }

  Status RemoveCompiled(const std::string& path) const {
    const auto directory = files::OpenWithoutLinks(tree_.get(), path, O_RDONLY | O_DIRECTORY);
    if (!directory.ok()) {
      return directory.status().code() == StatusCode::kNotFound ? OkStatus() : directory.status();
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, files::NamesIn(directory->get()));
    for (const std::string& name : names) {
      if (name.starts_with("_sysconfigdata_")) {
        RETURN_IF_ERROR(files::RemoveTree(directory->get(), name));
      }
    }
    return OkStatus();
  }

  /// Changes files of a directory, which need not be there.
  Status ChangeIn(const std::string& path, const std::function<bool(const std::string&)>& is_meant,
                  const std::function<std::string(std::string_view)>& change,
                  bool only_scripts = false) const {
    const auto directory = files::OpenWithoutLinks(tree_.get(), path, O_RDONLY | O_DIRECTORY);
    if (!directory.ok()) {
      return directory.status().code() == StatusCode::kNotFound ? OkStatus() : directory.status();
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, files::NamesIn(directory->get()));
    for (const std::string& name : names) {
      if (!is_meant(name)) {
        continue;
      }
      ASSIGN_OR_RETURN(const std::optional<TextFile> file, TextFile::Open(directory->get(), name));
      if (file && (!only_scripts || file->BeginsWith("#!"))) {
        RETURN_IF_ERROR(Annotate(file->Change(change), path + "/" + name));
      }
    }
    return OkStatus();
  }

  /// python for python3, and pip and pip3 for the one that there is.
  Status MakeNames() const {
    ASSIGN_OR_RETURN(const UniqueFd bin,
                     files::OpenWithoutLinks(tree_.get(), "bin", O_RDONLY | O_DIRECTORY));
    RETURN_IF_ERROR(Link(bin.get(), "python", {"python3"}));
    RETURN_IF_ERROR(
        Link(bin.get(), "pip3", {fmt::format("pip3.{}", minor_), fmt::format("pip3.{}t", minor_)}));
    return Link(bin.get(), "pip", {"pip3"});
  }

  /// Archives need not have directories, and what is changed in one changes its time: each gets the
  /// time of the youngest file in it. Returns that.
  static StatusOr<struct timespec> DateDirectories(int directory, size_t depth) {
    if (depth > kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted, "too many directories in each other");
    }
    struct timespec youngest{};
    ASSIGN_OR_RETURN(const std::vector<std::string> names, files::NamesIn(directory));
    for (const std::string& name : names) {
      struct stat attributes{};
      if (::fstatat(directory, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
        return ErrnoError(errno, name);
      }
      struct timespec time = attributes.st_mtim;
      if (S_ISDIR(attributes.st_mode)) {
        ASSIGN_OR_RETURN(const UniqueFd below,
                         files::OpenWithoutLinks(directory, name, O_RDONLY | O_DIRECTORY));
        ASSIGN_OR_RETURN(time, DateDirectories(below.get(), depth + 1));
      }
      if (std::pair(time.tv_sec, time.tv_nsec) > std::pair(youngest.tv_sec, youngest.tv_nsec)) {
        youngest = time;
      }
    }
    const std::array<struct timespec, 2> times = {youngest, youngest};
    return ::futimens(directory, times.data()) == 0 ? StatusOr<struct timespec>(youngest)
                                                    : ErrnoError(errno, "times");
  }

  /// A link called `name` to the first of `targets` that is there, with the time of that.
  static Status Link(int directory, const std::string& name,
                     const std::vector<std::string>& targets) {
    struct stat attributes{};
    if (::fstatat(directory, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0) {
      return OkStatus();
    }
    for (const std::string& target : targets) {
      if (::fstatat(directory, target.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
        continue;
      }
      const std::array<struct timespec, 2> times = {attributes.st_mtim, attributes.st_mtim};
      if (::symlinkat(target.c_str(), directory, name.c_str()) != 0 ||
          ::utimensat(directory, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
        return ErrnoError(errno, name);
      }
      break;
    }
    return OkStatus();
  }

  const UniqueFd tree_;
  const int minor_;
  const std::string prefix_;
};

}  // namespace

std::string ReplacePrefix(std::string_view text, std::string_view prefix) {
  std::string result;
  size_t done = 0;
  for (size_t found = text.find(kBuildPrefix); found != std::string_view::npos;
       found = text.find(kBuildPrefix, found + kBuildPrefix.size())) {
    const size_t end = found + kBuildPrefix.size();
    const bool ends = end == text.size() || text[end] == '/' || !IsNameCharacter(text[end]);
    if (ends && BeginsPath(text.substr(0, found))) {
      result += text.substr(done, found - done);
      result += prefix;
      done = end;
    }
  }
  result += text.substr(done);
  return result;
}

std::string ReplaceTools(std::string_view text) {
  constexpr std::string_view kBetweenWords = " \t\n'\"()\\,;|&`";
  std::string result;
  while (!text.empty()) {
    const size_t begin = std::min(text.find_first_not_of(kBetweenWords), text.size());
    result += text.substr(0, begin);
    text.remove_prefix(begin);
    const std::string_view word =
        text.substr(0, std::min(text.find_first_of(kBetweenWords), text.size()));
    text.remove_prefix(word.size());
    if (!IsForeignOption(word)) {
      result += ReplaceTool(word).value_or(std::string(word));
    }
  }
  return result;
}

Status RepairTree(const std::filesystem::path& tree, int minor, std::string_view prefix) {
  ASSIGN_OR_RETURN(UniqueFd root, files::OpenRoot(tree));
  return Repair(std::move(root), minor, prefix).Run();
}

}  // namespace starling::dockerfile::python

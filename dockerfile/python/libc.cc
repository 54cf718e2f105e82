#include "dockerfile/python/libc.h"

#include <fcntl.h>

#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "dockerfile/files/root_walk.h"
#include "dockerfile/python/elf_interpreter.h"

namespace starling::dockerfile::python {
namespace {

constexpr int kOldestGlibcMinor = 17;
/// GNU's library has about 2 MB.
constexpr uint64_t kMaxLibraryBytes = 32 << 20;
constexpr std::array kShells = {"bin/sh", "usr/bin/env", "bin/busybox"};

struct Machine {
  std::string_view architecture;
  std::string_view gnu_loader;
  std::string_view musl_loader;
  std::vector<std::string_view> gnu_libraries;
};

const std::vector<Machine>& Machines() {
  static const auto& machines = *new std::vector<Machine>{
      {"amd64",
       "lib64/ld-linux-x86-64.so.2",
       "lib/ld-musl-x86_64.so.1",
       {"lib/x86_64-linux-gnu/libc.so.6", "lib64/libc.so.6", "lib/libc.so.6"}},
      {"arm64",
       "lib/ld-linux-aarch64.so.1",
       "lib/ld-musl-aarch64.so.1",
       {"lib/aarch64-linux-gnu/libc.so.6", "lib64/libc.so.6", "lib/libc.so.6"}},
  };
  return machines;
}

bool IsThere(int root, std::string_view path) { return files::OpenInRoot(root, path, O_PATH).ok(); }

/// The loader of a program that every such tree has; nothing when none tells.
std::optional<Libc> LibcOfShell(int root, const Machine& machine) {
  for (const std::string_view shell : kShells) {
    const auto file = files::OpenInRoot(root, shell, O_RDONLY | O_NONBLOCK);
    if (!file.ok()) {
      continue;
    }
    const auto interpreter = InterpreterOf(file->get());
    if (interpreter.ok() && *interpreter) {
      if ((*interpreter)->ends_with(machine.gnu_loader.substr(machine.gnu_loader.rfind('/')))) {
        return Libc::kGnu;
      }
      if ((*interpreter)->ends_with(machine.musl_loader.substr(machine.musl_loader.rfind('/')))) {
        return Libc::kMusl;
      }
    }
  }
  return std::nullopt;
}

/// "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36."
std::optional<int> GlibcMinor(int root, const Machine& machine) {
  constexpr std::string_view kVersion = "release version 2.";
  for (const std::string_view path : machine.gnu_libraries) {
    const auto file = files::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK);
    if (!file.ok()) {
      continue;
    }
    FdSource source(file->get());
    const auto bytes = ReadAll(source, kMaxLibraryBytes);
    if (!bytes.ok()) {
      continue;
    }
    const std::string_view text = AsText(*bytes);
    const size_t found = text.find(kVersion);
    int minor = 0;
    if (found != std::string_view::npos &&
        std::from_chars(text.data() + found + kVersion.size(), text.data() + text.size(), minor)
                .ec == std::errc()) {
      return minor;
    }
  }
  return std::nullopt;
}

}  // namespace

StatusOr<BaseLibc> FindLibc(const std::filesystem::path& root, const std::string& architecture) {
  ASSIGN_OR_RETURN(const UniqueFd opened, files::OpenRoot(root));
  for (const Machine& machine : Machines()) {
    if (machine.architecture != architecture) {
      continue;
    }
    const bool gnu = IsThere(opened.get(), machine.gnu_loader);
    const bool musl = IsThere(opened.get(), machine.musl_loader);
    if (!gnu && !musl) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("the base has no C library for {} (neither /{} nor /{}), which "
                                   "Python needs; begin from an image that has one, such as "
                                   "debian:stable-slim",
                                   architecture, machine.gnu_loader, machine.musl_loader));
    }
    BaseLibc base{.libc = gnu ? Libc::kGnu : Libc::kMusl, .minor = {}};
    if (gnu && musl) {
      base.libc = LibcOfShell(opened.get(), machine).value_or(Libc::kGnu);
    }
    if (base.libc == Libc::kGnu) {
      base.minor = GlibcMinor(opened.get(), machine);
    }
    return base;
  }
  return MakeError(
      StatusCode::kFailedPrecondition,
      fmt::format("there is no Python for {}, only for amd64 and arm64", architecture));
}

Status CheckRuns(const BaseLibc& base) {
  if (base.libc == Libc::kGnu && base.minor && *base.minor < kOldestGlibcMinor) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("the base has version 2.{} of the GNU C library, and Python needs "
                                 "2.{} or newer",
                                 *base.minor, kOldestGlibcMinor));
  }
  return OkStatus();
}

}  // namespace starling::dockerfile::python

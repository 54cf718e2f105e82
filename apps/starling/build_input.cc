#include "apps/starling/build_input.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "apps/starling/build_options.h"
#include "base/file_system.h"
#include "base/io.h"
#include "dockerfile/context/download.h"
#include "dockerfile/context/git_checkout.h"
#include "dockerfile/context/local_context.h"
#include "dockerfile/plan/graph.h"
#include "dockerfile/syntax/git_reference.h"
#include "dockerfile/syntax/source_lines.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace context = dockerfile::context;
namespace lock = dockerfile::lock;
namespace plan = dockerfile::plan;
namespace syntax = dockerfile::syntax;

/// A tar begins with a name and has this in its header; what else is on standard input is text.
constexpr size_t kTarMagicOffset = 257;
constexpr std::string_view kTarMagic = "ustar";

/// A Dockerfile, which may be a pipe: -f <(...).
StatusOr<std::string> ReadText(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open(path, O_RDONLY, 0));
  FdSource source(file.get());
  auto bytes = ReadAll(source, syntax::kMaxDockerfileBytes);
  if (!bytes.ok()) {
    return Annotate(bytes.status(), path.native());
  }
  return std::string(AsText(*bytes));
}

/// What is on standard input: a Dockerfile, or a context as a tar.
StatusOr<BuildInput> ReadStandardInput(const std::string& file,
                                       const std::filesystem::path& scratch,
                                       const std::stop_token& stop) {
  // Compressed or not, a tar has bytes that no Dockerfile has; a file can be looked at twice.
  const std::filesystem::path copy = scratch / "stdin";
  ASSIGN_OR_RETURN(const UniqueFd spool, RealFileSystem().Open(copy, O_RDWR | O_CREAT, 0600));
  FdSource source(STDIN_FILENO);
  FdSink sink(spool.get());
  RETURN_IF_ERROR(CopyAll(source, sink).status());
  std::array<char, kTarMagicOffset + kTarMagic.size()> head{};
  const ssize_t size = ::pread(spool.get(), head.data(), head.size(), 0);
  const std::string_view start(head.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
  const bool is_tar = start.size() == head.size() && start.ends_with(kTarMagic);
  const bool is_compressed = start.starts_with("\x1f\x8b") || start.starts_with("BZh") ||
                             start.starts_with(
                                 "\xfd"
                                 "7zXZ") ||
                             start.starts_with("\x28\xb5\x2f\xfd");
  BuildInput input{.name = "stdin"};
  if (!is_tar && !is_compressed) {
    ASSIGN_OR_RETURN(input.text, ReadText(copy));
    return input;
  }
  const std::filesystem::path directory = scratch / "context";
  if (::lseek(spool.get(), 0, SEEK_SET) != 0) {
    return ErrnoError(errno, "stdin");
  }
  RETURN_IF_ERROR(context::UnpackContext(spool.get(), directory, stop));
  const std::filesystem::path dockerfile = directory / (file.empty() ? "Dockerfile" : file);
  ASSIGN_OR_RETURN(context::LocalContext local, context::OpenDirectory(directory, dockerfile));
  input.context = {.directory = local.directory, .ignore_file = local.ignore_file};
  input.name = dockerfile.filename();
  ASSIGN_OR_RETURN(input.text, ReadText(dockerfile));
  return input;
}

}  // namespace

StatusOr<BuildInput> ReadBuildInput(const BuildArguments& arguments,
                                    const std::filesystem::path& scratch, lock::Pins& pins,
                                    const std::stop_token& stop) {
  if (arguments.path == kStandardStream) {
    return ReadStandardInput(arguments.file, scratch, stop);
  }
  std::filesystem::path directory = arguments.path;
  BuildInput input;
  ASSIGN_OR_RETURN(auto git, syntax::ParseGitReference(arguments.path));
  if (git && !(git->like_local_path && std::filesystem::exists(directory))) {
    const std::string name = lock::Pins::NameOf(*git);
    RETURN_IF_ERROR(pins.Pin(*git));
    ASSIGN_OR_RETURN(const context::GitCheckout checkout,
                     context::CheckOut(*git, /*keep_git_directory=*/false, scratch / "git", stop));
    pins.NoteRepository(name, checkout.commit);
    directory = checkout.directory;
    input.material = build::MaterialOfCommit(arguments.path, checkout.commit);
  } else if (syntax::IsHttpUrl(arguments.path)) {
    const std::filesystem::path archive = scratch / "download";
    plan::HttpSource source{.url = arguments.path, .checksum = {}};
    RETURN_IF_ERROR(pins.Pin(source));
    ASSIGN_OR_RETURN(const oci::Digest digest,
                     context::Download(source.url, archive, {.checksum = source.checksum}, stop));
    pins.NoteDownload(source.url, digest);
    input.material = build::MaterialOfDownload(arguments.path, digest);
    ASSIGN_OR_RETURN(const UniqueFd fd, RealFileSystem().Open(archive, O_RDONLY, 0));
    directory = scratch / "context";
    RETURN_IF_ERROR(context::UnpackContext(fd.get(), directory, stop));
  }
  const bool is_remote = directory.native() != arguments.path;
  std::filesystem::path dockerfile = directory / "Dockerfile";
  if (arguments.file == kStandardStream) {
    FdSource source(STDIN_FILENO);
    ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(source, syntax::kMaxDockerfileBytes));
    input.text = AsText(bytes);
    input.name = "stdin";
    dockerfile.clear();
  } else {
    if (!arguments.file.empty()) {
      dockerfile = is_remote ? directory / arguments.file : std::filesystem::path(arguments.file);
    }
    ASSIGN_OR_RETURN(input.text, ReadText(dockerfile));
    input.name = dockerfile.native();
  }
  ASSIGN_OR_RETURN(const context::LocalContext local,
                   context::OpenDirectory(directory, dockerfile));
  input.context = {.directory = local.directory, .ignore_file = local.ignore_file};
  return input;
}

}  // namespace starling::cli

#include "dockerfile/context/local_context.h"

#include <utility>

#include "base/file_system.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::context {
namespace {

constexpr const char* kIgnoreFile = ".dockerignore";

}  // namespace

StatusOr<LocalContext> OpenDirectory(const std::filesystem::path& directory,
                                     const std::filesystem::path& dockerfile) {
  std::error_code error;
  LocalContext context{.directory = std::filesystem::canonical(directory, error)};
  if (error) {
    return ErrnoError(error.value(), fmt::format("build context {}", directory.native()));
  }
  if (!std::filesystem::is_directory(context.directory, error)) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("build context {}: no directory", directory.native()));
  }
  std::filesystem::path own;
  if (!dockerfile.empty()) {
    own = dockerfile.native() + kIgnoreFile;
  }
  for (const std::filesystem::path& path : {own, context.directory / kIgnoreFile}) {
    if (path.empty()) {
      continue;
    }
    auto text = ReadFile(RealFileSystem(), path, syntax::kMaxIgnoreFileBytes);
    if (text.status().code() == StatusCode::kNotFound) {
      continue;
    }
    RETURN_IF_ERROR(text.status());
    auto parsed = syntax::IgnoreFile::Parse(AsText(*text));
    if (!parsed.ok()) {
      return Annotate(parsed.status(), path.native());
    }
    context.ignore_file = std::make_shared<const syntax::IgnoreFile>(*std::move(parsed));
    context.ignore_path = path;
    break;
  }
  return context;
}

Status UnpackContext(int input, const std::filesystem::path& directory,
                     const std::stop_token& stop) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(const UniqueFd root, files::OpenRoot(directory));
  return Annotate(files::UnpackArchive(input, root.get(), {}, stop).status(), "build context");
}

}  // namespace starling::dockerfile::context

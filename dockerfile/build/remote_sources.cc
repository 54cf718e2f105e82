#include "dockerfile/build/remote_sources.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/file_system.h"
#include "base/unique_fd.h"
#include "dockerfile/context/download.h"
#include "dockerfile/context/git_checkout.h"

namespace starling::dockerfile::build {
namespace {

constexpr mode_t kInlineMode = 0644;

Status WriteInlineFile(const std::filesystem::path& directory,
                       const plan::InlineSource::File& file) {
  // The name is a word of the Dockerfile: one file right here.
  if (file.name.empty() || file.name.find('/') != std::string::npos || file.name == "." ||
      file.name == "..") {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("'{}' is no name of a file", file.name));
  }
  const std::filesystem::path path = directory / file.name;
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   RealFileSystem().Open(path, O_WRONLY | O_CREAT | O_TRUNC, kInlineMode));
  RETURN_IF_ERROR(RealFileSystem().WriteAt(fd.get(), 0, AsBytes(file.content)));
  return ::fchmod(fd.get(), kInlineMode) == 0 ? OkStatus() : ErrnoError(errno, path.native());
}

}  // namespace

bool IsRemote(const plan::Operation& operation) {
  return std::holds_alternative<plan::HttpSource>(operation) ||
         std::holds_alternative<plan::GitSource>(operation) ||
         std::holds_alternative<plan::InlineSource>(operation);
}

StatusOr<FetchedSource> FetchRemote(const plan::Operation& operation,
                                    const std::filesystem::path& directory,
                                    const std::stop_token& stop) {
  if (const auto* git = std::get_if<plan::GitSource>(&operation)) {
    ASSIGN_OR_RETURN(const context::GitCheckout checkout,
                     context::CheckOut(git->reference, git->keep_git_directory, directory, stop));
    const std::string& ref = git->reference.ref;
    return FetchedSource{
        .directory = checkout.directory,
        .material = MaterialOfCommit(git->reference.remote + (ref.empty() ? "" : "#" + ref),
                                     checkout.commit)};
  }
  RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  FetchedSource fetched{.directory = directory};
  if (const auto* http = std::get_if<plan::HttpSource>(&operation)) {
    ASSIGN_OR_RETURN(const oci::Digest digest,
                     context::Download(http->url, directory / plan::FileNameOf(*http),
                                       {.checksum = http->checksum}, stop));
    fetched.material = MaterialOfDownload(http->url, digest);
  } else {
    for (const plan::InlineSource::File& file : std::get<plan::InlineSource>(operation).files) {
      RETURN_IF_ERROR(WriteInlineFile(directory, file));
    }
  }
  return fetched;
}

}  // namespace starling::dockerfile::build

// Property: whatever an archive says, it is unpacked below its directory or refused, within its
// limits: a file beside the directory, to which links in it lead, stays as it is.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/temp_dir.h"
#include "base/unique_fd.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/files/root_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;  // NOLINT(google-build-using-namespace)
  static const TempDir directory = *TempDir::Make("/tmp", "archive-fuzz-");
  const std::filesystem::path root = directory.path() / "root";
  const std::filesystem::path outside = directory.path() / "outside";
  std::filesystem::create_directories(root);
  std::filesystem::create_directories(outside);
  std::ofstream(outside / "file") << "untouched";
  std::error_code error;
  std::filesystem::create_directory_symlink("../outside", root / "up", error);
  std::filesystem::create_directory_symlink(outside, root / "abs", error);

  const UniqueFd archive(::memfd_create("archive", MFD_CLOEXEC));
  if (::write(archive.get(), data, size) != static_cast<ssize_t>(size) ||
      ::lseek(archive.get(), 0, SEEK_SET) != 0) {
    return 0;
  }
  const auto opened = dockerfile::files::OpenRoot(root);
  (void)dockerfile::files::IsArchive(archive.get());
  const auto unpacked = dockerfile::files::UnpackArchive(
      archive.get(), opened->get(), {.max_bytes = 1 << 20, .max_files = 1000}, {});
  if (unpacked.ok() && unpacked->bytes > (1 << 20)) {
    std::abort();
  }
  std::string content;
  std::ifstream(outside / "file") >> content;
  size_t beside = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(outside)) {
    ++beside;
  }
  if (content != "untouched" || beside != 1) {
    std::abort();
  }
  std::filesystem::remove_all(root, error);
  return 0;
}

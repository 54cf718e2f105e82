#include "layer/start_files.h"

#include <string>

#include "layer/named_files.h"

namespace starling::layer {
namespace {

/// In the order in which they are read. Sources: System V ABI and musl for the loaders' paths,
/// Debian's multiarch and the file systems of Fedora and Alpine for the others.
const std::vector<std::string>& Paths() {
  static const auto& paths = *new std::vector<std::string>{
      "lib64/ld-linux-x86-64.so.2",
      "lib/ld-linux-aarch64.so.1",
      "lib/ld-musl-x86_64.so.1",
      "lib/ld-musl-aarch64.so.1",
      "etc/ld.so.cache",
      "lib/x86_64-linux-gnu/libc.so.6",
      "lib/aarch64-linux-gnu/libc.so.6",
      "lib64/libc.so.6",
      "lib/x86_64-linux-gnu/libm.so.6",
      "lib/aarch64-linux-gnu/libm.so.6",
      "lib64/libm.so.6",
      // Where a layer has what another one's symlink /lib leads to.
      "usr/lib64/ld-linux-x86-64.so.2",
      "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
      "usr/lib/ld-linux-aarch64.so.1",
      "usr/lib/x86_64-linux-gnu/libc.so.6",
      "usr/lib/aarch64-linux-gnu/libc.so.6",
      "usr/lib64/libc.so.6",
      "usr/lib/x86_64-linux-gnu/libm.so.6",
      "usr/lib/aarch64-linux-gnu/libm.so.6",
      "usr/lib64/libm.so.6",
  };
  return paths;
}

}  // namespace

std::vector<DataRange> FindStartFiles(const erofs::ImageReader& index) {
  return NamedFiles(Paths()).FindIn(index);
}

}  // namespace starling::layer

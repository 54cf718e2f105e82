#include "base/io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace starling {
namespace {

constexpr size_t kCopyBufferBytes = 256 << 10;

}  // namespace

StatusOr<size_t> SpanSource::Read(std::span<std::byte> out) {
  const size_t count = std::min(out.size(), left_.size());
  std::copy_n(left_.begin(), count, out.begin());
  left_ = left_.subspan(count);
  return count;
}

StatusOr<size_t> FdSource::Read(std::span<std::byte> out) {
  for (;;) {
    const ssize_t count = ::read(fd_, out.data(), out.size());
    if (count >= 0) {
      return static_cast<size_t>(count);
    }
    if (errno != EINTR) {
      return ErrnoError(errno, "read");
    }
  }
}

Status FdSink::Write(ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoError(errno, "write");
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return OkStatus();
}

Status BytesSink::Write(ByteSpan bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return OkStatus();
}

StatusOr<size_t> ReadFully(ByteSource& source, std::span<std::byte> out) {
  size_t filled = 0;
  while (filled < out.size()) {
    ASSIGN_OR_RETURN(const size_t count, source.Read(out.subspan(filled)));
    if (count == 0) {
      break;
    }
    filled += count;
  }
  return filled;
}

StatusOr<Bytes> ReadAll(ByteSource& source, uint64_t limit_bytes) {
  Bytes all;
  Bytes buffer(kCopyBufferBytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t count, source.Read(buffer));
    if (count == 0) {
      return all;
    }
    if (count > limit_bytes - all.size()) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("more than the allowed {} bytes", limit_bytes));
    }
    all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(count));
  }
}

StatusOr<uint64_t> CopyAll(ByteSource& source, ByteSink& sink) {
  uint64_t moved_bytes = 0;
  Bytes buffer(kCopyBufferBytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t count, source.Read(buffer));
    if (count == 0) {
      return moved_bytes;
    }
    RETURN_IF_ERROR(sink.Write(ByteSpan(buffer).first(count)));
    moved_bytes += count;
  }
}

}  // namespace starling

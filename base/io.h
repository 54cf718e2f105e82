/// Streams of bytes, pulled or pushed.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/status.h"

namespace starling {

/// Bytes pulled in order. Threads: one at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills up to `out.size()` bytes; 0 means the end (for a non-empty `out`). May block.
  virtual StatusOr<size_t> Read(std::span<std::byte> out) = 0;
};

/// Bytes pushed in order. Threads: one at a time.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  /// Takes all of `bytes` or fails. May block.
  virtual Status Write(ByteSpan bytes) = 0;
};

/// Reads from memory that the caller keeps alive.
class SpanSource : public ByteSource {
 public:
  explicit SpanSource(ByteSpan bytes) : left_(bytes) {}
  StatusOr<size_t> Read(std::span<std::byte> out) override;

 private:
  ByteSpan left_;
};

/// Reads a descriptor from its current position. Borrows it.
class FdSource : public ByteSource {
 public:
  explicit FdSource(int fd) : fd_(fd) {}
  StatusOr<size_t> Read(std::span<std::byte> out) override;

 private:
  int fd_;
};

/// Writes to a descriptor at its current position. Borrows it.
class FdSink : public ByteSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  Status Write(ByteSpan bytes) override;

 private:
  int fd_;
};

/// Collects what is written.
class BytesSink : public ByteSink {
 public:
  Status Write(ByteSpan bytes) override;
  Bytes& bytes() { return bytes_; }

 private:
  Bytes bytes_;
};

/// Reads until `out` is full or the source ends; returns the bytes read.
StatusOr<size_t> ReadFully(ByteSource& source, std::span<std::byte> out);
/// Reads the rest. kResourceExhausted when there are more than `limit_bytes`.
StatusOr<Bytes> ReadAll(ByteSource& source, uint64_t limit_bytes);
/// Moves everything; returns the bytes moved.
StatusOr<uint64_t> CopyAll(ByteSource& source, ByteSink& sink);

}  // namespace starling

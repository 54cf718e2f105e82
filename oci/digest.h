#pragma once

#include <array>
#include <compare>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/io.h"
#include "base/status.h"

namespace starling::oci {

/// A SHA-256 content digest. Other algorithms are refused when parsed: no image that this product
/// reads lazily uses them. An ordinary value; the default one is all zeros and equals no content.
class Digest {
 public:
  static constexpr size_t kBytes = 32;
  using Value = std::array<std::byte, kBytes>;

  Digest() = default;
  explicit Digest(const Value& value) : value_(value) {}
  /// "sha256:" and 64 lower-case hexadecimal digits. kUnimplemented for another well-formed
  /// algorithm, kInvalidArgument for anything else.
  static StatusOr<Digest> Parse(std::string_view text);
  /// The digest of `content`.
  static Digest Of(ByteSpan content);

  std::string ToString() const;
  /// The 64 digits alone.
  std::string Hex() const;
  const Value& value() const { return value_; }
  bool empty() const { return *this == Digest(); }

  friend auto operator<=>(const Digest&, const Digest&) = default;
  friend bool operator==(const Digest&, const Digest&) = default;

 private:
  Value value_{};
};

/// SHA-256 of a stream. Threads: one at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void Update(ByteSpan bytes);
  /// The digest of all updates. Call once, last.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// Passes bytes on to `next` and hashes and counts them. Borrows `next`.
class DigestingSink : public ByteSink {
 public:
  explicit DigestingSink(ByteSink& next) : next_(next) {}
  Status Write(ByteSpan bytes) override;
  uint64_t size_bytes() const { return size_bytes_; }
  Digest Finish() { return hash_.Finish(); }

 private:
  ByteSink& next_;
  Sha256 hash_;
  uint64_t size_bytes_ = 0;
};

}  // namespace starling::oci

template <>
struct std::hash<starling::oci::Digest> {
  size_t operator()(const starling::oci::Digest& digest) const noexcept;
};

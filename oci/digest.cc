#include "oci/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>

#include "base/hex.h"

namespace starling::oci {
namespace {

constexpr std::string_view kPrefix = "sha256:";

bool IsAlgorithmName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-' ||
           c == '_';
  });
}

}  // namespace

StatusOr<Digest> Digest::Parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) {
    const size_t colon = text.find(':');
    if (colon != std::string_view::npos && IsAlgorithmName(text.substr(0, colon)) &&
        text.size() > colon + 1 && HexDecode(text.substr(colon + 1)).has_value()) {
      return MakeError(
          StatusCode::kUnimplemented,
          fmt::format("digest algorithm {} is not supported, only sha256", text.substr(0, colon)));
    }
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("\"{}\" is not a digest (sha256:<64 hex digits>)", text.substr(0, 100)));
  }
  const auto bytes = HexDecode(text.substr(kPrefix.size()));
  if (!bytes || bytes->size() != kBytes) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("\"{}\" is not a digest (sha256:<64 hex digits>)", text.substr(0, 100)));
  }
  Value value;
  std::copy(bytes->begin(), bytes->end(), value.begin());
  return Digest(value);
}

Digest Digest::Of(ByteSpan content) {
  Value value;
  EVP_Digest(content.data(), content.size(), reinterpret_cast<unsigned char*>(value.data()),
             nullptr, EVP_sha256(), nullptr);
  return Digest(value);
}

std::string Digest::ToString() const { return std::string(kPrefix) + Hex(); }

std::string Digest::Hex() const { return HexEncode(value_); }

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() { EVP_DigestInit_ex(evp, EVP_sha256(), nullptr); }
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Update(ByteSpan bytes) { EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()); }

Digest Sha256::Finish() {
  Digest::Value value;
  EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(value.data()), nullptr);
  return Digest(value);
}

Status DigestingSink::Write(ByteSpan bytes) {
  RETURN_IF_ERROR(next_.Write(bytes));
  hash_.Update(bytes);
  size_bytes_ += bytes.size();
  return OkStatus();
}

}  // namespace starling::oci

size_t std::hash<starling::oci::Digest>::operator()(
    const starling::oci::Digest& digest) const noexcept {
  // The value is uniformly distributed already.
  size_t prefix = 0;
  std::memcpy(&prefix, digest.value().data(), sizeof prefix);
  return prefix;
}

#include "credentials/jwt.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>

#include "base/hex.h"

namespace starling::credentials {
namespace {

constexpr size_t kMaxPemBytes = 64 << 10;
constexpr int kLeastKeyBits = 2048;

struct FreeOpenSsl {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
template <typename T>
using OpenSslPtr = std::unique_ptr<T, FreeOpenSsl>;

/// Nobody can be asked for a passphrase here.
int NoPassphrase(char*, int, int, void*) noexcept { return -1; }

Status BadKey(std::string_view what) {
  ERR_clear_error();
  return MakeError(StatusCode::kInvalidArgument, what);
}

}  // namespace

std::string Base64UrlEncode(ByteSpan bytes) {
  std::string text = Base64Encode(bytes);
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  text.erase(std::min(text.find('='), text.size()));
  return text;
}

StatusOr<std::string> SignRs256(std::string_view header, std::string_view claims,
                                std::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return BadKey("the private key is too long");
  }
  const OpenSslPtr<BIO> input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const OpenSslPtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(input.get(), nullptr, &NoPassphrase, nullptr));
  if (!key) {
    return BadKey("the private key is not PEM of an unencrypted key");
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA ||
      EVP_PKEY_get_bits(key.get()) < kLeastKeyBits) {
    return BadKey("the private key is not RSA of 2048 bits or more");
  }
  const std::string message =
      Base64UrlEncode(AsBytes(header)) + "." + Base64UrlEncode(AsBytes(claims));
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  size_t size_bytes = 0;
  const unsigned char* const text = AsUnsigned(AsBytes(message));
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size_bytes, text, message.size()) != 1) {
    return BadKey("the private key cannot sign");
  }
  Bytes signature(size_bytes);
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size_bytes,
                     text, message.size()) != 1) {
    return BadKey("the private key cannot sign");
  }
  return message + "." + Base64UrlEncode(ByteSpan(signature).first(size_bytes));
}

}  // namespace starling::credentials

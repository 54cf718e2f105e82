/// RSA keys made for one test, and the check that a verifier of JSON web tokens makes.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/hex.h"

namespace starling::credentials {

class RsaKey {
 public:
  explicit RsaKey(unsigned bits = 2048) : key_(EVP_RSA_gen(bits), &EVP_PKEY_free) {}

  std::string pem() const {
    const std::unique_ptr<BIO, int (*)(BIO*)> out(BIO_new(BIO_s_mem()), &BIO_free);
    PEM_write_bio_PrivateKey(out.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    char* data = nullptr;
    const long size_bytes = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<size_t>(size_bytes)};
  }

  /// Whether `token` is signed by this key with RS256.
  bool Verifies(const std::string& token) const {
    const size_t dot = token.rfind('.');
    const Bytes signature = FromBase64Url(token.substr(dot + 1));
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                     &EVP_MD_CTX_free);
    return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
           EVP_DigestVerify(context.get(), AsUnsigned(signature), signature.size(),
                            AsUnsigned(AsBytes(token)), dot) == 1;
  }

  static Bytes FromBase64Url(std::string text) {
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    return Base64Decode(text).value_or(Bytes());
  }

 private:
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
};

/// The part of a token between its first two dots.
inline std::string ClaimsOf(const std::string& token) {
  const size_t dot = token.find('.');
  return std::string(
      AsText(RsaKey::FromBase64Url(token.substr(dot + 1, token.rfind('.') - dot - 1))));
}

}  // namespace starling::credentials

#include "oci/reference.h"

#include <algorithm>

namespace starling::oci {
namespace {

constexpr std::string_view kDockerDomain = "docker.io";
constexpr std::string_view kDockerLegacyDomain = "index.docker.io";
constexpr std::string_view kDockerHost = "registry-1.docker.io";
constexpr size_t kMaxNameBytes = 255;  // of domain, slash and repository together
constexpr size_t kMaxTagBytes = 128;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlphanumeric(char c) { return IsLower(c) || IsUpper(c) || IsDigit(c); }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

Status Invalid(std::string_view text, std::string_view problem) {
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("image reference \"{}\": {}", text.substr(0, 300), problem));
}

/// Calls `accept` for each part between `separator`s; false when one is refused.
template <typename Accept>
bool AllParts(std::string_view text, char separator, Accept accept) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (!accept(text.substr(begin, end - begin))) {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

bool IsDomainComponent(std::string_view part) {
  return !part.empty() && part.front() != '-' && part.back() != '-' &&
         std::all_of(part.begin(), part.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-'; });
}

bool IsDomain(std::string_view domain) {
  std::string_view host = domain;
  std::string_view after_host;
  if (domain.starts_with('[')) {
    const size_t close = domain.find(']');
    if (close == std::string_view::npos || close == 1) {
      return false;
    }
    host = domain.substr(1, close - 1);
    after_host = domain.substr(close + 1);
    if (!std::all_of(host.begin(), host.end(), [](char c) { return IsHex(c) || c == ':'; })) {
      return false;
    }
  } else {
    const size_t colon = std::min(domain.find(':'), domain.size());
    host = domain.substr(0, colon);
    after_host = domain.substr(colon);
    if (!AllParts(host, '.', IsDomainComponent)) {
      return false;
    }
  }
  return after_host.empty() || (after_host.size() > 1 && after_host.front() == ':' &&
                                std::all_of(after_host.begin() + 1, after_host.end(), IsDigit));
}

/// Lower-case letters and digits, joined by one '.', one or two '_', or any number of '-'.
bool IsPathComponent(std::string_view part) {
  size_t i = 0;
  for (;;) {
    const size_t word = i;
    while (i < part.size() && (IsLower(part[i]) || IsDigit(part[i]))) {
      ++i;
    }
    if (i == word) {
      return false;
    }
    if (i == part.size()) {
      return true;
    }
    const char joint = part[i];
    if (joint != '.' && joint != '_' && joint != '-') {
      return false;
    }
    const size_t begin = i;
    while (i < part.size() && part[i] == joint) {
      ++i;
    }
    const size_t most = joint == '.' ? 1 : joint == '_' ? 2 : part.size();
    if (i - begin > most) {
      return false;
    }
  }
}

bool IsTag(std::string_view tag) {
  return !tag.empty() && tag.size() <= kMaxTagBytes && tag.front() != '.' && tag.front() != '-' &&
         std::all_of(tag.begin(), tag.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

struct SplitName {
  std::string domain;
  std::string remainder;  // repository, tag and digest
};

/// Docker's rule for whether the first component names a registry.
SplitName SplitDomain(std::string_view text) {
  const size_t slash = text.find('/');
  SplitName split{.domain = std::string(kDockerDomain), .remainder = std::string(text)};
  if (slash != std::string_view::npos) {
    const std::string_view first = text.substr(0, slash);
    if (first == "localhost" || first.find_first_of(".:") != std::string_view::npos ||
        std::any_of(first.begin(), first.end(), IsUpper)) {
      split.domain = first == kDockerLegacyDomain ? kDockerDomain : first;
      split.remainder = text.substr(slash + 1);
    }
  }
  // A tag holds no slash, so one anywhere before the digest is the repository's.
  const std::string_view name =
      std::string_view(split.remainder).substr(0, split.remainder.find('@'));
  if (split.domain == kDockerDomain && name.find('/') == std::string_view::npos) {
    split.remainder.insert(0, "library/");
  }
  return split;
}

Status CheckName(std::string_view text, std::string_view domain, std::string_view repository) {
  if (!IsDomain(domain)) {
    return Invalid(text, fmt::format("\"{}\" is not a registry's host[:port]", domain));
  }
  if (repository.empty()) {
    return Invalid(text, "it names no repository");
  }
  if (std::any_of(repository.begin(), repository.end(), IsUpper)) {
    return Invalid(text, "the repository must be lower-case");
  }
  if (!AllParts(repository, '/', IsPathComponent)) {
    return Invalid(text, fmt::format("\"{}\" is not a repository's name", repository));
  }
  if (domain.size() + 1 + repository.size() > kMaxNameBytes) {
    return Invalid(text, fmt::format("the name is longer than {} characters", kMaxNameBytes));
  }
  return OkStatus();
}

}  // namespace

StatusOr<Reference> Reference::Parse(std::string_view text) {
  if (text.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "the image reference is empty");
  }
  if (text.size() == 2 * Digest::kBytes &&
      std::all_of(text.begin(), text.end(), [](char c) { return IsHex(c) && !IsUpper(c); })) {
    return Invalid(text, "64 hexadecimal digits are a digest, not a name (NAME@sha256:...)");
  }
  SplitName split = SplitDomain(text);
  Reference reference;
  reference.domain_ = std::move(split.domain);
  std::string_view name = split.remainder;

  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    auto digest = Digest::Parse(name.substr(at + 1));
    if (!digest.ok()) {
      return Annotate(digest.status(), fmt::format("image reference \"{}\"", text.substr(0, 300)));
    }
    reference.digest_ = *digest;
    name = name.substr(0, at);
  }
  if (const size_t colon = name.find(':'); colon != std::string_view::npos) {
    const std::string_view tag = name.substr(colon + 1);
    if (!IsTag(tag)) {
      return Invalid(text, fmt::format("\"{}\" is not a tag", tag.substr(0, 150)));
    }
    reference.tag_ = tag;
    name = name.substr(0, colon);
  } else if (!reference.digest_) {
    reference.tag_ = "latest";
  }
  RETURN_IF_ERROR(CheckName(text, reference.domain_, name));
  reference.repository_ = name;
  return reference;
}

std::string Reference::Host() const {
  return domain_ == kDockerDomain ? std::string(kDockerHost) : domain_;
}

std::string Reference::Object() const { return digest_ ? digest_->ToString() : tag_; }

std::string Reference::ToString() const {
  std::string text = domain_ + "/" + repository_;
  if (!tag_.empty()) {
    text += ":" + tag_;
  }
  if (digest_) {
    text += "@" + digest_->ToString();
  }
  return text;
}

Reference Reference::WithDigest(const Digest& digest) const {
  Reference other = *this;
  other.tag_.clear();
  other.digest_ = digest;
  return other;
}

}  // namespace starling::oci

#include "credentials/pulled_credentials.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/file_system.h"
#include "base/hex.h"
#include "base/io.h"
#include "oci/digest.h"
#include "oci/json_fields.h"

namespace starling::credentials {
namespace {

/// Far above what the limits let grow.
constexpr uint64_t kMaxMemoryBytes = 256 << 20;

/// Texts may be any bytes.
std::string Packed(const std::string& text) { return Base64Encode(AsBytes(text)); }

std::optional<std::string> Unpacked(const oci::Json& object, const char* key) {
  const auto text = oci::TextField(object, key);
  const auto bytes = text.ok() ? Base64Decode(*text) : std::nullopt;
  return bytes ? std::optional(std::string(AsText(*bytes))) : std::nullopt;
}

std::optional<registry::Credentials> CredentialsOf(const oci::Json& item) {
  const auto username = Unpacked(item, "username");
  const auto password = Unpacked(item, "password");
  const auto identity_token = Unpacked(item, "identityToken");
  const auto registry_token = Unpacked(item, "registryToken");
  if (!username || !password || !identity_token || !registry_token) {
    return std::nullopt;
  }
  return registry::Credentials{.username = *username,
                               .password = *password,
                               .identity_token = *identity_token,
                               .registry_token = *registry_token};
}

size_t SizeOf(const registry::Credentials& credentials) {
  return credentials.username.size() + credentials.password.size() +
         credentials.identity_token.size() + credentials.registry_token.size();
}

}  // namespace

StatusOr<UniqueFd> PulledCredentials::NewMemory() {
  UniqueFd memory(::memfd_create("pulled-credentials", MFD_CLOEXEC));
  if (!memory.valid()) {
    return ErrnoError(errno, "memfd_create");
  }
  return memory;
}

PulledCredentials::PulledCredentials(const Clock& clock, std::chrono::seconds max_age,
                                     OpenSecret open_secret, UniqueFd memory)
    : clock_(clock),
      max_age_(max_age),
      open_secret_(std::move(open_secret)),
      memory_(std::move(memory)) {
  MutexLock lock(mutex_);
  Load();
}

PulledCredentials::Ticket PulledCredentials::Remember(const registry::CredentialRequest& whose,
                                                      registry::Credentials credentials) {
  if (credentials.anonymous() || SizeOf(credentials) > kMaxBytes) {
    return 0;
  }
  return Add(whose, {.credentials = std::move(credentials)});
}

Status PulledCredentials::RememberSecret(const registry::CredentialRequest& whose,
                                         std::string text) {
  if (text.size() > kMaxBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("the secret has more than {} bytes", kMaxBytes));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<NamedSecret> secret, open_secret_(text, whose.registry));
  Add(whose, {.secret_text = std::move(text), .secret = std::move(secret)});
  return OkStatus();
}

PulledCredentials::Ticket PulledCredentials::Add(const registry::CredentialRequest& whose,
                                                 Item item) {
  item.pulled_at = clock_.Now();
  MutexLock lock(mutex_);
  DropOld();
  Items& items = items_[KeyOf(whose)];
  const auto known =
      std::ranges::find_if(items, [&](const Item& other) { return other.SameAs(item); });
  Ticket ticket = 0;
  if (known != items.end()) {
    items.erase(known);
  } else {
    ticket = ++last_ticket_;
  }
  item.ticket = ticket;
  items.push_front(std::move(item));
  if (items.size() > kMaxOfRepository) {
    items.pop_back();
  }
  MakeRoom();
  Save();
  return ticket;
}

void PulledCredentials::Forget(Ticket ticket) {
  if (ticket == 0) {
    return;
  }
  MutexLock lock(mutex_);
  for (auto& [key, items] : items_) {
    std::erase_if(items, [ticket](const Item& item) { return item.ticket == ticket; });
  }
  std::erase_if(items_, [](const auto& entry) { return entry.second.empty(); });
  Save();
}

StatusOr<registry::Credentials> PulledCredentials::Find(
    const registry::CredentialRequest& request) {
  std::shared_ptr<NamedSecret> secret;
  {
    MutexLock lock(mutex_);
    DropOld();
    const auto found = items_.find(KeyOf(request));
    if (found == items_.end()) {
      return MakeError(StatusCode::kNotFound,
                       fmt::format("no pull of {}/{} came with any since starlingd has started",
                                   request.registry, request.repository));
    }
    secret = found->second.front().secret;
    if (!secret) {
      return found->second.front().credentials;
    }
  }
  return secret->Find(request);
}

void PulledCredentials::Refused(const registry::CredentialRequest& request,
                                const registry::Credentials& refused) {
  std::shared_ptr<NamedSecret> secret;
  {
    MutexLock lock(mutex_);
    const auto found = items_.find(KeyOf(request));
    if (found == items_.end()) {
      return;
    }
    Items& items = found->second;
    secret = items.front().secret;
    // What a secret stands for changes: the one that was asked last was refused.
    std::ranges::stable_partition(items, [&](const Item& item) {
      return item.secret ? item.secret != secret : !item.credentials.SameAs(refused);
    });
  }
  if (secret) {
    secret->Refused(request, refused);
  }
}

// The memory is a line with the digest of what follows, and that.
void PulledCredentials::Load() {
  if (!memory_.valid()) {
    return;
  }
  const off_t size = ::lseek(memory_.get(), 0, SEEK_END);
  if (size <= 0 || static_cast<uint64_t>(size) > kMaxMemoryBytes) {
    return;
  }
  Bytes bytes(static_cast<size_t>(size));
  if (!RealFileSystem().ReadAt(memory_.get(), 0, bytes).ok()) {
    return;
  }
  const std::string_view text = AsText(bytes);
  const size_t line = std::min(text.find('\n'), text.size() - 1);
  const std::string_view content = text.substr(line + 1);
  if (text.substr(0, line) != oci::Digest::Of(AsBytes(content)).ToString()) {
    return;
  }
  const auto document = oci::ParseJsonObject(AsBytes(content), kMaxMemoryBytes, "memory");
  const oci::Json* items = document.ok() ? oci::FindField(*document, "items") : nullptr;
  if (items == nullptr || !items->is_array()) {
    return;
  }
  const auto now = clock_.Now();
  for (const oci::Json& item : *items) {
    const auto registry = oci::TextField(item, "registry");
    const auto repository = oci::TextField(item, "repository");
    const auto pulled_at = oci::SizeField(item, "pulledAt");
    auto credentials = CredentialsOf(item);
    if (!registry.ok() || !repository.ok() || !pulled_at.ok() || !credentials) {
      continue;
    }
    // The clock counts since the machine's start, for all processes.
    const std::chrono::steady_clock::time_point when{std::chrono::nanoseconds(*pulled_at)};
    Item remembered{.ticket = ++last_ticket_,
                    .credentials = *std::move(credentials),
                    .pulled_at = std::min(when, now)};
    if (auto secret_text = Unpacked(item, "secret"); secret_text && !secret_text->empty()) {
      auto secret = open_secret_(*secret_text, *registry);
      if (!secret.ok()) {
        continue;
      }
      remembered.secret_text = *std::move(secret_text);
      remembered.secret = *std::move(secret);
    }
    items_[{*registry, *repository}].push_back(std::move(remembered));
  }
  DropOld();
}

void PulledCredentials::Save() {
  if (!memory_.valid()) {
    return;
  }
  oci::Json document = {{"items", oci::Json::array()}};
  for (const auto& [key, items] : items_) {
    for (const Item& item : items) {
      const registry::Credentials& credentials = item.credentials;
      document["items"].push_back(
          {{"registry", key.first},
           {"repository", key.second},
           {"username", Packed(credentials.username)},
           {"password", Packed(credentials.password)},
           {"identityToken", Packed(credentials.identity_token)},
           {"registryToken", Packed(credentials.registry_token)},
           {"secret", Packed(item.secret_text)},
           {"pulledAt", std::chrono::nanoseconds(item.pulled_at.time_since_epoch()).count()}});
    }
  }
  const std::string content = oci::WriteJson(document);
  const std::string text =
      fmt::format("{}\n{}", oci::Digest::Of(AsBytes(content)).ToString(), content);
  // Memory that cannot be had is a restart that begins without them.
  (void)RealFileSystem().Resize(memory_.get(), text.size());
  (void)RealFileSystem().WriteAt(memory_.get(), 0, AsBytes(text));
}

void PulledCredentials::DropOld() {
  const auto now = clock_.Now();
  for (auto& [key, items] : items_) {
    std::erase_if(items, [&](const Item& item) { return now - item.pulled_at >= max_age_; });
  }
  std::erase_if(items_, [](const auto& entry) { return entry.second.empty(); });
}

void PulledCredentials::MakeRoom() {
  const auto last_pull = [](const auto& entry) {
    return std::ranges::max(entry.second, {}, &Item::pulled_at).pulled_at;
  };
  while (items_.size() > kMaxRepositories) {
    items_.erase(std::ranges::min_element(items_, {}, last_pull));
  }
}

}  // namespace starling::credentials

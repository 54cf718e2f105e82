#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "credentials/named_secret.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// Credentials and secrets that somebody pulled images with, each for the repository of its image
/// and no other. In memory only, for a bounded time and number; that memory may be a file without a
/// name, which another process keeps for the next one. Threads: safe; Find blocks as NamedSecret.
class PulledCredentials : public registry::CredentialSource {
 public:
  /// Of one repository, when its users have different ones; the oldest go.
  static constexpr size_t kMaxOfRepository = 4;
  /// The repository that was pulled longest ago goes.
  static constexpr size_t kMaxRepositories = 1000;
  /// Larger ones are not kept.
  static constexpr size_t kMaxBytes = 16 << 10;
  /// Makes the source of a secret from its text.
  using OpenSecret = std::function<StatusOr<std::shared_ptr<NamedSecret>>(
      const std::string& text, const std::string& registry)>;
  /// Names credentials that a pull brought first; 0: they were there, or are not kept.
  using Ticket = uint64_t;

  /// A file in memory for them, empty.
  static StatusOr<UniqueFd> NewMemory();

  /// Credentials are forgotten `max_age` after the last pull that came with them. Begins with those
  /// in `memory`, if that is valid, and keeps them there; what a process was writing there when it
  /// died is no use and forgotten.
  PulledCredentials(const Clock& clock, std::chrono::seconds max_age, OpenSecret open_secret,
                    UniqueFd memory = UniqueFd());

  /// A pull begins: from now on these are the first to be tried for its repository.
  Ticket Remember(const registry::CredentialRequest& whose, registry::Credentials credentials);
  /// The same of a secret's text, see NamedSecret. kInvalidArgument for one that cannot be
  /// understood, kResourceExhausted for one that is too large.
  Status RememberSecret(const registry::CredentialRequest& whose, std::string text);
  /// That pull failed: what it brought first is as if it had never been.
  void Forget(Ticket ticket);

  std::string Name() const override { return "pulls"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  /// Others of the repository come first then.
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override;

 private:
  using Key = std::pair<std::string, std::string>;
  struct Item {
    Ticket ticket;
    registry::Credentials credentials;
    std::string secret_text;              // instead of credentials
    std::shared_ptr<NamedSecret> secret;  // of that text, or null
    std::chrono::steady_clock::time_point pulled_at;

    bool SameAs(const Item& other) const {
      return secret_text == other.secret_text && credentials.SameAs(other.credentials);
    }
  };
  using Items = std::deque<Item>;  // the first to be tried in front

  static Key KeyOf(const registry::CredentialRequest& request) {
    return {request.registry, request.repository};
  }
  Ticket Add(const registry::CredentialRequest& whose, Item item);
  void Load() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Save() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropOld() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeRoom() EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const std::chrono::seconds max_age_;
  const OpenSecret open_secret_;
  const UniqueFd memory_;
  Mutex mutex_;  // leaf
  Ticket last_ticket_ GUARDED_BY(mutex_) = 0;
  std::map<Key, Items> items_ GUARDED_BY(mutex_);
};

}  // namespace starling::credentials

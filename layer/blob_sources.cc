#include "layer/blob_sources.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace starling::layer {
namespace {

/// Registries that hold one layer are few; more are old names of them.
constexpr size_t kMaxSources = 8;

}  // namespace

bool BlobSources::Experience::HasFailed(Id id) const {
  return std::ranges::find(failed, id) != failed.end();
}

void BlobSources::Add(const std::string& name, const std::string& host, Open open) {
  Entry old;  // goes after the lock
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  const auto known = std::ranges::find_if(
      entries_, [&name](const Entry& entry) { return entry.source.name == name || !entry.open; });
  if (known != entries_.end()) {
    const bool is_usable = !known->failed_at;
    old = std::exchange(
        *known, {.source = {.id = known->source.id, .name = name, .host = host, .reader = {}},
                 .open = std::move(open),
                 .failed_at = {},
                 .spoiled_at = known->spoiled_at});
    if (is_usable) {
      known->source.reader = old.source.reader;
    }
    return;
  }
  if (entries_.size() == kMaxSources) {
    old = std::move(entries_.front());
    entries_.erase(entries_.begin());
  }
  entries_.push_back(
      {.source = {.id = next_id_++, .name = name, .host = host, .reader = {}}, .open = open});
}

void BlobSources::Use(std::shared_ptr<oci::BlobReader> reader) {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  if (entries_.empty()) {
    entries_.push_back({.source = {.id = next_id_++, .name = {}, .host = {}, .reader = {}}});
  }
  entries_.front().source.reader.swap(reader);  // the old one goes after the lock
}

void BlobSources::Close() {
  std::vector<Entry> entries;  // go after the lock
  MutexLock lock(mutex_);
  closed_ = true;
  entries.swap(entries_);
}

BlobSources::Entry* BlobSources::Best(const Experience& experience, TimePoint now) {
  const auto rank = [&](const Entry& entry) {
    const bool rests = entry.Rests(now);
    return std::tuple(experience.spoiled == entry.source.id, entry.IsInQuarantine(now), rests,
                      rests ? entry.failed_at.value_or(now) : TimePoint());
  };
  Entry* best = nullptr;
  for (Entry& entry : entries_) {
    if (!experience.HasFailed(entry.source.id) && (best == nullptr || rank(entry) < rank(*best))) {
      best = &entry;
    }
  }
  return best;
}

BlobSources::Entry* BlobSources::Find(Id id) {
  const auto found = std::ranges::find(entries_, id, [](const Entry& e) { return e.source.id; });
  return found == entries_.end() ? nullptr : &*found;
}

std::optional<BlobSources::Source> BlobSources::Opened(const Experience& experience,
                                                       TimePoint now) {
  MutexLock lock(mutex_);
  const Entry* const best = Best(experience, now);
  if (best == nullptr || !best->source.reader) {
    return std::nullopt;
  }
  return best->source;
}

StatusOr<BlobSources::Source> BlobSources::OpenBest(Experience& experience, TimePoint now) {
  Status error = MakeError(StatusCode::kUnavailable, "layer: no place to fetch from is known");
  for (;;) {
    Source source;
    Open open;
    {
      MutexLock lock(mutex_);
      const Entry* const best = Best(experience, now);
      if (best == nullptr) {
        return error;
      }
      source = best->source;
      open = best->open;
    }
    if (source.reader) {
      return source;
    }
    auto opened = open();
    if (opened.ok()) {
      source.reader = *std::move(opened);
      MutexLock lock(mutex_);
      if (Entry* const entry = Find(source.id); entry != nullptr && !entry->source.reader) {
        entry->source.reader = source.reader;
      }
      return source;
    }
    error = opened.status();
    OnFailed(source.id, now);
    experience.failed.push_back(source.id);
  }
}

bool BlobSources::HasOther(const Experience& experience) {
  MutexLock lock(mutex_);
  return std::ranges::any_of(entries_, [&experience](const Entry& entry) {
    return !experience.HasFailed(entry.source.id);
  });
}

bool BlobSources::HasHealthyOther(const Experience& experience, TimePoint now) {
  MutexLock lock(mutex_);
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return !experience.HasFailed(entry.source.id) && !entry.Rests(now);
  });
}

void BlobSources::OnFailed(Id id, TimePoint now) {
  MutexLock lock(mutex_);
  if (Entry* const entry = Find(id)) {
    entry->failed_at = now;
  }
}

std::optional<BlobSources::Source> BlobSources::OnSpoiled(Id id, TimePoint now) {
  MutexLock lock(mutex_);
  Entry* const entry = Find(id);
  if (entry == nullptr) {
    return std::nullopt;
  }
  entry->failed_at = now;
  if (entry->IsInQuarantine(now)) {
    return std::nullopt;
  }
  entry->spoiled_at = now;
  return entry->source;
}

std::vector<BlobSources::Health> BlobSources::HealthOfAll(TimePoint now) {
  std::vector<Health> all;
  MutexLock lock(mutex_);
  const Entry* const best = Best({}, now);
  for (const Entry& entry : entries_) {
    Health health{.name = entry.source.name,
                  .host = entry.source.host,
                  .is_preferred = &entry == best,
                  .brought_wrong_bytes = entry.IsInQuarantine(now)};
    if (entry.Rests(now) && entry.failed_at) {
      health.since_failure =
          std::chrono::duration_cast<std::chrono::seconds>(now - *entry.failed_at);
    }
    all.push_back(std::move(health));
  }
  return all;
}

BlobSources::Source BlobSources::Preferred(TimePoint now) {
  MutexLock lock(mutex_);
  const Entry* const best = Best({}, now);
  return best == nullptr ? Source() : best->source;
}

}  // namespace starling::layer

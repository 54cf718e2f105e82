#include "layer/blob_sources.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace starling::layer {

bool BlobSources::Experience::HasFailed(Id id) const {
  return std::ranges::find(failed, id) != failed.end();
}

void BlobSources::Set(const std::string& image, const std::string& host,
                      std::vector<Named> sources) {
  std::vector<Entry> old;  // goes after the lock
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  sources.resize(std::min(sources.size(), kMaxSources));
  entries_.swap(old);
  std::vector<Entry> fresh;
  for (Named& named : sources) {
    Entry entry{.source = {.id = 0, .image = image, .name = named.name, .host = host, .reader = {}},
                .open = std::move(named.open)};
    // A reader without a name is taken for the first that is named.
    const auto known = std::ranges::find_if(old, [&named](const Entry& earlier) {
      return earlier.source.name == named.name || !earlier.open;
    });
    if (known == old.end()) {
      entry.source.id = next_id_++;
    } else {
      entry.source.id = known->source.id;
      entry.spoiled_at = known->spoiled_at;
      if (!known->failed_at) {
        entry.source.reader = known->source.reader;
      }
      known->source.image = image;
      known->source.name = named.name;
      known->open = entry.open;
    }
    fresh.push_back(std::move(entry));
  }
  const auto insert_into = [&fresh](std::vector<Entry>& entries) {
    std::ranges::move(fresh, std::back_inserter(entries));
    fresh.clear();
  };
  for (const Entry& entry : old) {
    if (entry.source.image == image) {
      insert_into(entries_);  // all of them, where the first was
    } else {
      entries_.push_back(entry);
    }
  }
  insert_into(entries_);
  if (entries_.size() > kMaxSources) {
    // Those of the image stay.
    for (auto entry = entries_.begin(); entry != entries_.end() && entries_.size() > kMaxSources;) {
      entry = entry->source.image == image ? std::next(entry) : entries_.erase(entry);
    }
  }
}

void BlobSources::Use(std::shared_ptr<oci::BlobReader> reader) {
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  if (entries_.empty()) {
    entries_.push_back(
        {.source = {.id = next_id_++, .image = {}, .name = {}, .host = {}, .reader = {}}});
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

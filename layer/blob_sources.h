#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// The places that one blob can be read from, in order of preference, and how they fared.
/// Threads: safe. Readers are let go of with no lock held.
class BlobSources {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// Finds the blob; must not wait for the network.
  using Open = std::function<StatusOr<std::shared_ptr<oci::BlobReader>>()>;
  /// Means one source for ever.
  using Id = uint64_t;

  struct Source {
    Id id = 0;
    std::string image;  // whose blob it is: fetches count for its bandwidth
    std::string name;
    std::string host;
    std::shared_ptr<oci::BlobReader> reader;
  };
  /// What one fetch has learnt of the sources, which decides where it goes next.
  struct Experience {
    std::vector<Id> failed;     // are not asked again
    std::optional<Id> spoiled;  // brought wrong bytes: is asked again when no other is left

    bool HasFailed(Id id) const;
  };

  /// Registries that hold one layer are few; more are old names of them.
  static constexpr size_t kMaxSources = 8;
  /// A source that failed is asked again after this long, or when all others failed later.
  static constexpr std::chrono::seconds kRest{60};
  /// And one that brought wrong bytes after this.
  static constexpr std::chrono::seconds kQuarantine{600};

  struct Named {
    std::string name;
    Open open;
  };

  /// Names the sources of an image, best first, in place of those that it had: of these the ones
  /// with the same `name` keep what is known of them, and their readers unless they failed. Images
  /// stand in the order in which they came. Of more than kMaxSources the first are forgotten, of an
  /// image's own the last.
  void Set(const std::string& image, const std::string& host, std::vector<Named> sources);
  /// Reads from an already opened blob; it belongs to the first source, known or not yet.
  void Use(std::shared_ptr<oci::BlobReader> reader);
  /// Lets go of the readers and functions; nothing can be opened from now on.
  void Close();

  /// The source that is best for a fetch, if it is open already: the first that has not failed
  /// lately, or else the one whose failure is the longest ago.
  std::optional<Source> Opened(const Experience& experience, TimePoint now);
  /// The same, opened if need be: calls the sources' functions, and notes in `experience` those
  /// that failed. Errors: the last source's; kUnavailable when none is left.
  StatusOr<Source> OpenBest(Experience& experience, TimePoint now);
  /// True when a fetch has a source left that has not failed it.
  bool HasOther(const Experience& experience);
  /// The same of one that has not failed lately.
  bool HasHealthyOther(const Experience& experience, TimePoint now);
  void OnFailed(Id id, TimePoint now);
  /// It brought wrong bytes. Returns what is known of it the first time in its quarantine.
  std::optional<Source> OnSpoiled(Id id, TimePoint now);
  struct Health {
    std::string name;
    std::string host;
    bool is_preferred = false;
    std::optional<std::chrono::seconds> since_failure;  // that it rests for
    bool brought_wrong_bytes = false;                   // lately, so that it is asked last

    friend bool operator==(const Health&, const Health&) = default;
  };
  /// In order of preference.
  std::vector<Health> HealthOfAll(TimePoint now);
  /// The source that a fetch would go to, open or not; without name and host when none is known.
  Source Preferred(TimePoint now);

 private:
  struct Entry {
    Source source;  // its reader is null until it is open
    Open open;      // null for a reader without a name
    std::optional<TimePoint> failed_at;
    std::optional<TimePoint> spoiled_at;

    bool IsInQuarantine(TimePoint now) const {
      return spoiled_at && now - *spoiled_at < kQuarantine;
    }
    bool Rests(TimePoint now) const {
      return (failed_at && now - *failed_at < kRest) || IsInQuarantine(now);
    }
  };

  Entry* Best(const Experience& experience, TimePoint now) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry* Find(Id id) EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;  // leaf
  bool closed_ GUARDED_BY(mutex_) = false;
  Id next_id_ GUARDED_BY(mutex_) = 1;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer

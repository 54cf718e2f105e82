#include "registry/outages.h"

#include <algorithm>
#include <utility>

#include "registry/retry.h"

namespace starling::registry {
namespace {

using std::chrono::milliseconds;

/// Who failed last lets the others find out first: what it wants may be all that is broken.
constexpr milliseconds kOthersFirst{600};
/// Registries choose the hosts that they redirect to, so their number has a bound.
constexpr size_t kMaxPlaces = 256;

milliseconds Lasted(std::chrono::steady_clock::time_point since,
                    std::chrono::steady_clock::time_point now) {
  return std::chrono::duration_cast<milliseconds>(now - since);
}

}  // namespace

std::string Outages::PlaceOf(std::string_view url) {
  const size_t host = url.find("//");
  return std::string(
      url.substr(0, host == std::string_view::npos ? host : url.find_first_of("/?", host + 2)));
}

OutageEvent Outages::EventOf(OutageEvent::Kind kind, const std::string& name, const Place& place,
                             TimePoint now) {
  return {.kind = kind,
          .place = name,
          .lasted = Lasted(place.first_failure, now),
          .waiting = place.waiting,
          .error = place.error};
}

Outages::Place* Outages::Find(const std::string& place) {
  const auto found = places_.find(place);
  return found == places_.end() ? nullptr : &found->second;
}

Outages::Place* Outages::FindOrAdd(const std::string& place) {
  if (Place* const known = Find(place)) {
    return known;
  }
  if (places_.size() >= kMaxPlaces) {
    std::erase_if(places_, [](const auto& entry) { return entry.second.waiting == 0; });
    if (places_.size() >= kMaxPlaces) {
      return nullptr;
    }
  }
  return &places_[place];
}

Outages::Visit::~Visit() {
  Ended();
  if (!is_counted_) {
    return;
  }
  MutexLock lock(outages_->mutex_);
  if (Place* const place = outages_->Find(place_)) {
    --place->waiting;
  }
}

Outages::Admission Outages::Visit::Ask(TimePoint now) {
  MutexLock lock(outages_->mutex_);
  Place* const place = outages_->Find(place_);
  if (place == nullptr || !place->is_away()) {
    return {};
  }
  place->last_asked = now;
  if (!std::exchange(is_counted_, true)) {
    ++place->waiting;
  }
  if (now < place->until) {
    return {.verdict = Verdict::kWait, .wait = WithSpread(place->until - now)};
  }
  if (place->MustWait(now)) {
    return {.verdict = Verdict::kWait, .wait = kPollOfOthers, .is_probed = true};
  }
  if (place->waiting > 1 && place->failed_last == what_ && now < place->until + kOthersFirst) {
    return {.verdict = Verdict::kWait, .wait = kPollOfOthers, .is_probed = true};
  }
  place->probe_until = now + kProbeTime;
  is_probe_ = true;
  return {.verdict = Verdict::kProbe};
}

std::optional<milliseconds> Outages::Visit::Failed(const Status& error, TimePoint now) {
  std::optional<milliseconds> wait;
  std::vector<OutageEvent> events;
  {
    MutexLock lock(outages_->mutex_);
    is_probe_ = false;
    Place* const place = outages_->FindOrAdd(place_);
    if (place == nullptr) {
      return std::nullopt;
    }
    if (!std::exchange(is_counted_, true)) {
      ++place->waiting;
    }
    if (place->failures++ == 0) {
      place->first_failure = now;
    }
    place->last_asked = now;
    place->error = std::string(MessageOf(error));
    place->failed_last = what_;
    if (!place->is_away()) {
      return std::nullopt;
    }
    // Answers to what was sent before the wait began do not make it longer each.
    if (now >= place->until) {
      place->until = now + RetryDelay(place->rounds++);
      place->probe_until.reset();
    }
    wait = WithSpread(place->until - now);
    if (!place->is_told && now - place->first_failure >= kTellAfter) {
      place->is_told = true;
      events.push_back(EventOf(OutageEvent::Kind::kAway, place_, *place, now));
    }
  }
  outages_->Tell(events);
  return wait;
}

void Outages::Visit::Answered(TimePoint now) {
  std::vector<OutageEvent> events;
  {
    MutexLock lock(outages_->mutex_);
    is_probe_ = false;
    Place* const place = outages_->Find(place_);
    if (place != nullptr && place->failures > 0) {
      if (place->is_told) {
        events.push_back(EventOf(OutageEvent::Kind::kBack, place_, *place, now));
      }
      *place = {.waiting = place->waiting};
    }
    outages_->ForgetLeft(now, events);
  }
  outages_->Tell(events);
}

void Outages::ForgetLeft(TimePoint now, std::vector<OutageEvent>& events) {
  std::erase_if(places_, [&](const auto& entry) {
    const auto& [name, place] = entry;
    const bool is_left = place.waiting == 0 && now - place.last_asked >= kLeftAfter;
    if (is_left && place.is_told) {
      events.push_back(EventOf(OutageEvent::Kind::kLeft, name, place, now));
    }
    return is_left;
  });
}

void Outages::Tell(const std::vector<OutageEvent>& events) const {
  for (const OutageEvent& event : events) {
    if (observer_) {
      observer_(event);
    }
  }
}

void Outages::Visit::Ended() {
  if (!std::exchange(is_probe_, false)) {
    return;
  }
  MutexLock lock(outages_->mutex_);
  if (Place* const place = outages_->Find(place_)) {
    place->probe_until.reset();
  }
}

Status Outages::Visit::Reason(TimePoint now) const {
  MutexLock lock(outages_->mutex_);
  const Place* const place = outages_->Find(place_);
  if (place == nullptr || !place->is_away()) {
    return OkStatus();
  }
  return MakeError(StatusCode::kUnavailable,
                   fmt::format("{} has been away for {} s: {}", place_,
                               Lasted(place->first_failure, now).count() / 1000, place->error));
}

bool Outages::IsAway(const std::string& place, TimePoint now) {
  MutexLock lock(mutex_);
  const Place* const found = Find(place);
  return found != nullptr && found->MustWait(now);
}

}  // namespace starling::registry

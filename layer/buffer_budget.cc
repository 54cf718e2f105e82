#include "layer/buffer_budget.h"

#include <algorithm>
#include <utility>

namespace starling::layer {

std::shared_ptr<BufferBudget> BufferBudget::Make(uint64_t total_bytes) {
  return std::shared_ptr<BufferBudget>(new BufferBudget(total_bytes));
}

std::shared_ptr<BufferBudget::Room> BufferBudget::Take(const Request& request, Ready ready) {
  {
    MutexLock lock(mutex_);
    if (!MayBegin(request.host, request.layer)) {
      waiting_[request.host][request.layer].push_back(
          {.request = request, .ready = std::move(ready), .number = next_number_++});
      ++waiting_count_;
      return nullptr;
    }
    Count(request);
  }
  return std::make_shared<Room>(shared_from_this(), request);
}

void BufferBudget::GiveUp(const std::string& host, const void* layer, TimePoint since,
                          const Status& error) {
  const std::list<Waiting> given_up = Remove([&](const Request& request) {
    return request.host == host && (layer == nullptr || request.layer == layer) &&
           request.since <= since;
  });
  for (const Waiting& waiting : given_up) {
    waiting.ready(error);
  }
}

void BufferBudget::Forget(const void* layer) {
  Remove([layer](const Request& request) { return request.layer == layer; });
}

/// Takes out of the queues what matches: the caller calls and destroys it without the lock.
std::list<BufferBudget::Waiting> BufferBudget::Remove(
    const std::function<bool(const Request&)>& matches) {
  std::list<Waiting> removed;
  MutexLock lock(mutex_);
  for (auto& [host, queues] : waiting_) {
    for (auto& [layer, queue] : queues) {
      for (auto next = queue.begin(); next != queue.end();) {
        const auto at = next++;
        if (matches(at->request)) {
          removed.splice(removed.end(), queue, at);
        }
      }
    }
    std::erase_if(queues, [](const auto& entry) { return entry.second.empty(); });
  }
  std::erase_if(waiting_, [](const auto& entry) { return entry.second.empty(); });
  waiting_count_ -= removed.size();
  removed.sort([](const Waiting& a, const Waiting& b) { return a.number < b.number; });
  return removed;
}

/// The oldest that may begin, counted; empty when there is none.
std::list<BufferBudget::Waiting> BufferBudget::TakeNext() {
  Queue* oldest = nullptr;
  for (auto& [host, queues] : waiting_) {
    for (auto& [layer, queue] : queues) {
      if ((oldest == nullptr || queue.front().number < oldest->front().number) &&
          MayBegin(host, layer)) {
        oldest = &queue;
      }
    }
  }
  std::list<Waiting> next;
  if (oldest == nullptr) {
    return next;
  }
  next.splice(next.end(), *oldest, oldest->begin());
  --waiting_count_;
  const Request& request = next.front().request;
  Count(request);
  if (oldest->empty()) {
    auto& queues = waiting_[request.host];
    queues.erase(request.layer);
    if (queues.empty()) {
      waiting_.erase(request.host);
    }
  }
  return next;
}

uint64_t BufferBudget::held_bytes() const {
  MutexLock lock(mutex_);
  return held_bytes_;
}

size_t BufferBudget::waiting() const {
  MutexLock lock(mutex_);
  return waiting_count_;
}

bool BufferBudget::MayBegin(const std::string& name, const void* layer) const {
  const auto found = hosts_.find(name);
  if (found == hosts_.end()) {
    return true;
  }
  const uint64_t free_bytes = total_bytes_ - std::min(total_bytes_, held_bytes_);
  const Host& host = found->second;
  if (host.held_bytes >= free_bytes) {
    return false;
  }
  const auto held = host.held_by_layer.find(layer);
  return held == host.held_by_layer.end() || held->second < free_bytes - host.held_bytes;
}

void BufferBudget::Count(const Request& request) {
  held_bytes_ += request.size_bytes;
  Host& host = hosts_[request.host];
  host.held_bytes += request.size_bytes;
  host.held_by_layer[request.layer] += request.size_bytes;
}

void BufferBudget::Return(const Request& request) {
  {
    MutexLock lock(mutex_);
    held_bytes_ -= request.size_bytes;
    const auto host = hosts_.find(request.host);
    host->second.held_bytes -= request.size_bytes;
    const auto layer = host->second.held_by_layer.find(request.layer);
    layer->second -= request.size_bytes;
    if (layer->second == 0) {
      host->second.held_by_layer.erase(layer);
    }
    if (host->second.held_bytes == 0) {
      hosts_.erase(host);
    }
  }
  Serve();
}

/// Begins what there is room for. One thread at a time, and not within itself: a callback may make
/// room again.
void BufferBudget::Serve() {
  {
    MutexLock lock(mutex_);
    serve_again_ = true;
    if (std::exchange(is_serving_, true)) {
      return;
    }
  }
  for (;;) {
    std::list<Waiting> begun;
    {
      MutexLock lock(mutex_);
      if (!std::exchange(serve_again_, false)) {
        is_serving_ = false;
        return;
      }
      for (std::list<Waiting> next = TakeNext(); !next.empty(); next = TakeNext()) {
        begun.splice(begun.end(), next);
      }
    }
    for (Waiting& waiting : begun) {
      waiting.ready(std::make_shared<Room>(shared_from_this(), std::move(waiting.request)));
    }
  }
}

}  // namespace starling::layer

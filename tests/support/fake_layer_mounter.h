#pragma once

#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "snapshotter/layer_mounter.h"

namespace starling::testing_support {

/// Shows layers as empty directories, remembers what is asked of it and fails on demand. Its
/// `stored` layers outlive it, as a disk does. Threads: safe.
class FakeLayerMounter final : public snapshotter::LayerMounter {
 public:
  explicit FakeLayerMounter(std::filesystem::path root) : root_(std::move(root)) {}

  StatusOr<snapshotter::LayerMount> Mount(uint64_t number,
                                          const snapshotter::LayerRequest& layer) override {
    std::unique_lock lock(mutex_);
    ++mounts_;
    numbers_.push_back(number);
    requests_.push_back(layer);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    RETURN_IF_ERROR(mount_error_);
    snapshotter::LayerMount shown = Show(number);
    shown.is_whole = oci::IsPlain(layer.layer, layer.toc);
    return shown;
  }

  StatusOr<snapshotter::LayerMount> Restore(uint64_t number,
                                            const snapshotter::LayerRequest& layer) override {
    const std::lock_guard lock(mutex_);
    ++restores_;
    requests_.push_back(layer);
    RETURN_IF_ERROR(restore_error_);
    return Show(number);
  }

  Status Serve() override {
    const std::lock_guard lock(mutex_);
    restores_before_serving_ = restores_;
    discards_before_serving_ = discarded_.size() + discards_of_others_;
    return serve_error_;
  }

  std::optional<std::filesystem::path> ShowChain(std::span<const uint64_t> numbers,
                                                 snapshotter::Reader reader) override {
    const std::lock_guard lock(mutex_);
    readers_.push_back(reader);
    chains_.emplace_back(numbers.begin(), numbers.end());
    if (!merges_ || numbers.size() < 2) {
      return std::nullopt;
    }
    const std::filesystem::path path = ChainPathOf(numbers.back());
    std::filesystem::create_directories(path);
    return path;
  }

  Status Discard(uint64_t number) override {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(discard_error_);
    discarded_.push_back(number);
    std::filesystem::remove_all(PathOf(number));
    return OkStatus();
  }

  Status DiscardOthers() override {
    const std::lock_guard lock(mutex_);
    ++discards_of_others_;
    return OkStatus();
  }

  /// Mount calls wait until they are let go.
  void HoldMounts() {
    Set([this] { held_ = true; });
  }
  void LetMountsGo() {
    Set([this] { held_ = false; });
  }
  void WaitForMounts(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, count] { return mounts_ >= count; });
  }
  void FailMounts(Status error) {
    Set([&] { mount_error_ = std::move(error); });
  }
  void FailRestores(Status error) {
    Set([&] { restore_error_ = std::move(error); });
  }
  void MergeChains() {
    Set([this] { merges_ = true; });
  }
  void FailServing(Status error) {
    Set([&] { serve_error_ = std::move(error); });
  }
  void FailDiscards(Status error) {
    Set([&] { discard_error_ = std::move(error); });
  }

  size_t mounts() const { return Get(mounts_); }
  size_t restores() const { return Get(restores_); }
  /// At the last Serve.
  std::optional<size_t> restores_before_serving() const { return Get(restores_before_serving_); }
  size_t discards_before_serving() const { return Get(discards_before_serving_); }
  size_t discards_of_others() const { return Get(discards_of_others_); }
  std::vector<uint64_t> numbers() const { return Get(numbers_); }
  std::vector<uint64_t> discarded() const { return Get(discarded_); }
  std::vector<snapshotter::LayerRequest> requests() const { return Get(requests_); }
  /// What was asked for, bottom first.
  std::vector<std::vector<uint64_t>> chains() const { return Get(chains_); }
  /// Whom for.
  std::vector<snapshotter::Reader> readers() const { return Get(readers_); }
  std::filesystem::path ChainPathOf(uint64_t top) const {
    return root_ / "m" / std::to_string(top);
  }
  std::filesystem::path PathOf(uint64_t number) const {
    return root_ / "l" / std::to_string(number);
  }

  static constexpr uint64_t kSizeBytes = 12345;
  static constexpr uint64_t kInodes = 67;

 private:
  snapshotter::LayerMount Show(uint64_t number) {
    std::filesystem::create_directories(PathOf(number));
    return {.path = PathOf(number), .size_bytes = kSizeBytes, .inodes = kInodes};
  }
  template <typename Change>
  void Set(const Change& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <typename T>
  T Get(const T& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }

  const std::filesystem::path root_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  size_t mounts_ = 0;
  size_t restores_ = 0;
  size_t discards_of_others_ = 0;
  std::optional<size_t> restores_before_serving_;
  size_t discards_before_serving_ = 0;
  Status serve_error_;
  Status mount_error_;
  Status restore_error_;
  Status discard_error_;
  bool merges_ = false;
  std::vector<std::vector<uint64_t>> chains_;
  std::vector<snapshotter::Reader> readers_;
  std::vector<uint64_t> numbers_;
  std::vector<uint64_t> discarded_;
  std::vector<snapshotter::LayerRequest> requests_;
};

}  // namespace starling::testing_support

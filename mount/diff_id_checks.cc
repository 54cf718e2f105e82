#include "mount/diff_id_checks.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "layer/diff_id.h"

namespace starling::mount {
namespace {

using store::LayerKey;

constexpr int kLowestPriority = 19;
// Of linux/ioprio.h, which Debian 12's kernel headers have and its C library does not.
constexpr int kIoPriorityOfProcess = 1;
constexpr int kIoPriorityIdle = 3 << 13;
constexpr uint64_t kMaxDiffIdBytes = 128;
constexpr size_t kMaxConfigs = 64;

/// The calling thread yields to all others, on the processors and at the disk. Where it may not, it
/// is as urgent as they are.
void YieldToOthers() {
  const auto self = static_cast<id_t>(::syscall(SYS_gettid));
  (void)::setpriority(PRIO_PROCESS, self, kLowestPriority);
  (void)::syscall(SYS_ioprio_set, kIoPriorityOfProcess, 0, kIoPriorityIdle);
}

/// Source: OCI image specification, "Layer ChainID".
oci::Digest ChainOf(const std::optional<oci::Digest>& parent, const oci::Digest& diff_id) {
  return parent ? oci::Digest::Of(AsBytes(parent->ToString() + " " + diff_id.ToString())) : diff_id;
}

}  // namespace

DiffIdChecks::DiffIdChecks(Dependencies dependencies)
    : deps_(std::move(dependencies)), thread_(std::make_unique<ThreadPool>("diff-id", 1)) {
  thread_->Post(YieldToOthers);
}

DiffIdChecks::~DiffIdChecks() { Close(); }

void DiffIdChecks::Close() {
  std::shared_ptr<layer::IdleReader> reader;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    entries_.clear();
    reader = reader_;
  }
  if (reader) {
    reader->Cancel();
  }
  thread_.reset();
}

void DiffIdChecks::Expect(const LayerSpec& spec) {
  MutexLock lock(mutex_);
  if (!closed_) {
    entries_[spec.key()].promises.insert_or_assign(spec.image, spec);
  }
}

void DiffIdChecks::Check(const Layer& layer) {
  MutexLock lock(mutex_);
  // Under the lock, so that Close ends every use of the thread.
  if (!closed_) {
    thread_->Post([this, layer] { Run(layer); });
  }
}

void DiffIdChecks::Forget(const LayerKey& layer) {
  std::shared_ptr<layer::IdleReader> reader;
  {
    MutexLock lock(mutex_);
    entries_.erase(layer);
    if (computed_ == layer) {
      reader = reader_;
    }
  }
  if (reader) {
    reader->Cancel();
  }
}

DiffIdState DiffIdChecks::state(const LayerKey& layer) const {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(layer);
  return entry == entries_.end() ? DiffIdState::kUnknown : entry->second.state;
}

bool DiffIdChecks::IsWanted(const LayerKey& key) const {
  MutexLock lock(mutex_);
  return !closed_ && entries_.contains(key);
}

void DiffIdChecks::SetState(const LayerKey& key, DiffIdState state) {
  MutexLock lock(mutex_);
  if (const auto entry = entries_.find(key); entry != entries_.end()) {
    entry->second.state = state;
  }
}

void DiffIdChecks::Run(const Layer& layer) {
  const LayerKey& key = layer.stored->key();
  if (!IsWanted(key) || !layer.stored->complete()) {
    return;
  }
  const StatusOr<oci::Digest> diff_id = DiffIdOf(layer);
  if (diff_id.ok()) {
    Compare(key, *diff_id);
    return;
  }
  if (!IsWanted(key) || diff_id.status().code() == StatusCode::kCancelled) {
    return;
  }
  SetState(key, DiffIdState::kNotChecked);
  log::Info("a layer's diffID is not checked",
            {{"layer", key.layer.ToString()}, {"error", Describe(diff_id.status())}});
}

/// As it was computed once.
StatusOr<oci::Digest> DiffIdChecks::DiffIdOf(const Layer& layer) {
  const LayerKey& key = layer.stored->key();
  if (const auto text = deps_.layers.ReadDerived(key, kFileName, kMaxDiffIdBytes); text.ok()) {
    if (auto known = oci::Digest::Parse(AsText(*text)); known.ok()) {
      return known;
    }
  }
  const std::shared_ptr<layer::LazyLayer> engine = layer.layer.lock();
  if (!engine) {
    return MakeError(StatusCode::kCancelled, "diffID: the layer is closed");
  }
  ASSIGN_OR_RETURN(const oci::Digest diff_id, Compute(layer, *engine));
  RETURN_IF_ERROR(deps_.layers.WriteDerived(key, kFileName, AsBytes(diff_id.ToString())));
  if (layer.gaps) {
    layer.gaps->Discard();
  }
  return diff_id;
}

StatusOr<oci::Digest> DiffIdChecks::Compute(const Layer& layer, layer::LazyLayer& engine) {
  const LayerKey& key = layer.stored->key();
  const auto reader = std::make_shared<layer::IdleReader>(engine.shared_from_this(),
                                                          deps_.scheduler, deps_.counters);
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return MakeError(StatusCode::kCancelled, "diffID: closed");
    }
    reader_ = reader;
    computed_ = key;
  }
  const auto compute = [&]() -> StatusOr<oci::Digest> {
    ASSIGN_OR_RETURN(
        const layer::Gaps gaps,
        layer::Gaps::Open(deps_.files, layer.stored->directory() / layer::GapLog::kFileName,
                          engine.chunks().members().size()));
    return layer::ComputeDiffId(
        {.stored = *layer.stored,
         .table = engine.chunks(),
         .gaps = gaps,
         .fetch = [&reader](oci::BlobRange range) { return reader->Read(range); },
         .is_stopped = [this, &key] { return !IsWanted(key); }});
  };
  StatusOr<oci::Digest> diff_id = compute();
  MutexLock lock(mutex_);
  reader_.reset();
  computed_.reset();
  return diff_id;
}

void DiffIdChecks::Compare(const LayerKey& key, const oci::Digest& diff_id) {
  std::map<std::string, LayerSpec> promises;
  std::set<std::string> told;
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) {
      return;
    }
    promises = entry->second.promises;
    told = entry->second.told;
  }
  bool is_any_known = false;
  std::set<std::string> broken;
  for (const auto& [image, promise] : promises) {
    const std::optional<bool> keeps = Keeps(promise, diff_id);
    is_any_known |= keeps.has_value();
    if (!keeps.value_or(true)) {
      broken.insert(image);
    }
    if (keeps.value_or(true) || told.contains(image)) {
      continue;
    }
    log::Error("a layer is not the one that its image's configuration names",
               {{"image", image},
                {"layer", key.layer.ToString()},
                {"expected", ExpectationOf(promise)},
                {"computed-diff-id", diff_id.ToString()},
                {"what-to-do",
                 "files that are read match the layer's table of contents, which the image's "
                 "manifest pins, but other clients would unpack something else or refuse it: have "
                 "the image built or converted anew, then pull it again"}});
  }
  MutexLock lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) {
    return;
  }
  entry->second.told.insert(broken.begin(), broken.end());
  if (!broken.empty()) {
    entry->second.state = DiffIdState::kDiffers;
  } else {
    entry->second.state = is_any_known ? DiffIdState::kMatches : DiffIdState::kNotChecked;
  }
}

/// Nothing when the image says nothing about it, or cannot be asked.
std::optional<bool> DiffIdChecks::Keeps(const LayerSpec& promise, const oci::Digest& diff_id) {
  if (promise.chain) {
    return ChainOf(promise.parent_chain, diff_id) == *promise.chain;
  }
  const StatusOr<DiffIds> config = ReadConfig(promise);
  if (!config.ok()) {
    log::Info("a layer's diffID cannot be compared",
              {{"image", promise.image}, {"error", Describe(config.status())}});
    return std::nullopt;
  }
  return std::ranges::find(*config, std::pair(promise.layer, diff_id)) != config->end();
}

/// The diffID, if it can be had, or else the chain ID that is made of it.
std::string DiffIdChecks::ExpectationOf(const LayerSpec& promise) {
  if (promise.chain && !promise.parent_chain) {
    return promise.chain->ToString();
  }
  if (const StatusOr<DiffIds> config = ReadConfig(promise); config.ok()) {
    const auto found =
        std::ranges::find(*config, promise.layer, &std::pair<oci::Digest, oci::Digest>::first);
    if (found != config->end()) {
      return found->second.ToString();
    }
  }
  return promise.chain ? fmt::format("chain ID {}", promise.chain->ToString())
                       : "another one; the configuration does not name the layer";
}

StatusOr<DiffIdChecks::DiffIds> DiffIdChecks::ReadConfig(const LayerSpec& promise) {
  if (!promise.manifest) {
    return MakeError(StatusCode::kNotFound, "the image's manifest is not known");
  }
  if (const auto known = configs_.find(*promise.manifest); known != configs_.end()) {
    return known->second;
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, deps_.sources(promise.image));
  ASSIGN_OR_RETURN(const oci::Manifest manifest, oci::ReadManifest(*source, *promise.manifest));
  ASSIGN_OR_RETURN(const oci::ImageConfig config, oci::ReadConfig(*source, manifest.config));
  if (config.diff_ids().size() != manifest.layers.size()) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("the image's configuration names {} layers, its manifest {}",
                                 config.diff_ids().size(), manifest.layers.size()));
  }
  DiffIds diff_ids;
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    diff_ids.emplace_back(manifest.layers[i].digest, config.diff_ids()[i]);
  }
  if (configs_.size() == kMaxConfigs) {
    configs_.clear();
  }
  configs_.emplace(*promise.manifest, diff_ids);
  return diff_ids;
}

}  // namespace starling::mount

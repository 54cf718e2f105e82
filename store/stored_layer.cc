#include "store/stored_layer_state.h"

namespace starling::store {

StoredLayer::StoredLayer(std::unique_ptr<State> state) : state_(std::move(state)) {}

StoredLayer::~StoredLayer() = default;

const LayerKey& StoredLayer::key() const { return state_->directory.record.key; }

const LayerInfo& StoredLayer::info() const { return state_->directory.record.info; }

ByteSpan StoredLayer::index() const { return state_->directory.index.bytes(); }

ByteSpan StoredLayer::chunk_table() const { return state_->directory.chunk_table.bytes(); }

bool StoredLayer::IsPresent(uint64_t chunk) const {
  const PresenceMap& present = *state_->directory.present;
  return chunk < present.chunk_count() && present.IsSet(chunk);
}

Status StoredLayer::Put(uint64_t chunk, uint64_t data_address, ByteSpan bytes,
                        const oci::Digest& digest) {
  if (chunk >= info().chunk_count) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("chunk {} of a layer with {}", chunk, info().chunk_count));
  }
  if (data_address > info().data_size_bytes ||
      bytes.size() > info().data_size_bytes - data_address) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("chunk {}: {} bytes at {} go beyond the layer's {}", chunk,
                                 bytes.size(), data_address, info().data_size_bytes));
  }
  if (IsPresent(chunk)) {
    return OkStatus();
  }
  if (const oci::Digest actual = oci::Digest::Of(bytes); actual != digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("chunk {} of layer {} has digest {}, but its TOC says {}", chunk,
                                 key().layer.ToString(), actual.ToString(), digest.ToString()));
  }
  RETURN_IF_ERROR(
      Annotate(state_->files.WriteAt(state_->directory.data_for_writing.get(), data_address, bytes),
               data_path().string()));
  state_->directory.present->Set(chunk, bytes.size());
  return OkStatus();
}

Status StoredLayer::Read(uint64_t data_address, std::span<std::byte> out) const {
  return Annotate(state_->files.ReadAt(state_->directory.data_for_reading.get(), data_address, out),
                  data_path().string());
}

int StoredLayer::data_fd() const { return state_->directory.data_for_reading.get(); }

std::filesystem::path StoredLayer::index_path() const {
  return state_->directory.path / kIndexFile;
}

std::filesystem::path StoredLayer::data_path() const { return state_->directory.path / kDataFile; }

uint64_t StoredLayer::present_bytes() const { return state_->directory.present->present_bytes(); }

bool StoredLayer::complete() const {
  return state_->directory.present->present_count() == info().chunk_count;
}

Status StoredLayer::Checkpoint() {
  const MutexLock lock(state_->checkpoint_mutex);
  // The path may be another layer's by now, and nobody will open this one again.
  if (state_->removed) {
    return OkStatus();
  }
  return state_->directory.Checkpoint(state_->files);
}

}  // namespace starling::store

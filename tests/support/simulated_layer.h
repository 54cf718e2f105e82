/// Layers whose members have given sizes, behind a SimulatedLink.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "erofs/image_writer.h"
#include "layer/chunk_table.h"
#include "oci/blob_reader.h"
#include "store/layer_store.h"
#include "tests/support/recorded_start.h"
#include "tests/support/simulated_link.h"

namespace starling::testing_support {

/// A blob of gzip members of given sizes that hold zeros: what is missing to a member's size is a
/// file name in its header. Its bytes are made as they are read.
class SimulatedBlob : public oci::BlobReader {
 public:
  /// Borrows `link`, which it is read through.
  SimulatedBlob(const std::vector<RecordedStart::Member>& members, SimulatedLink& link)
      : link_(link) {
    offsets_.push_back(0);
    for (const RecordedStart::Member& member : members) {
      ends_.push_back(&EndOf(std::min(member.data_bytes, DataBytesIn(member))));
      offsets_.push_back(offsets_.back() + member.blob_size);
    }
  }

  /// Bytes that a member of that size can hold here.
  static uint64_t DataBytesIn(const RecordedStart::Member& member) {
    constexpr uint64_t kRoom = 40;  // of header, end and what deflate needs at least
    return member.blob_size < kRoom
               ? 1
               : std::min(member.data_bytes, (member.blob_size - kRoom) * 900 + 1);
  }

  uint64_t SizeBytes() const override { return offsets_.back(); }
  void Read(oci::BlobRange, const oci::ReadOptions&, Done done) override {
    done(MakeError(StatusCode::kUnimplemented, "only streams are simulated"));
  }
  void Stream(oci::BlobRange range, const oci::ReadOptions&, Part part, StreamDone done) override {
    link_.Ask(range.size_bytes, [this, at = range.blob_offset, part = std::move(part),
                                 done = std::move(done)](uint64_t bytes, bool is_last) mutable {
      Bytes out(bytes);
      Fill(at, out);
      at += bytes;
      part(out);
      if (is_last) {
        done(OkStatus());
      }
    });
  }

 private:
  static constexpr size_t kHeaderBytes = 10;

  /// What follows the name in the header of a member of so many zeros.
  const Bytes& EndOf(uint64_t data_bytes) {
    const auto [found, is_new] = by_data_bytes_.try_emplace(data_bytes);
    Bytes& end = found->second;
    if (is_new) {
      const std::vector<Bytef> zeros(data_bytes);
      z_stream stream{};
      deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
                   Z_DEFAULT_STRATEGY);
      end.resize(1 + deflateBound(&stream, data_bytes) + 8);  // the first is the name's end
      stream.next_in = const_cast<Bytef*>(zeros.data());
      stream.avail_in = static_cast<uInt>(zeros.size());
      stream.next_out = reinterpret_cast<Bytef*>(end.data() + 1);
      stream.avail_out = static_cast<uInt>(end.size() - 1);
      deflate(&stream, Z_FINISH);
      end.resize(1 + stream.total_out);
      deflateEnd(&stream);
      for (const uLong word : {crc32(0, zeros.data(), static_cast<uInt>(zeros.size())),
                               static_cast<uLong>(data_bytes)}) {
        for (int shift = 0; shift < 32; shift += 8) {
          end.push_back(static_cast<std::byte>(word >> shift & 0xff));
        }
      }
    }
    return end;
  }

  void Fill(uint64_t blob_offset, std::span<std::byte> out) const {
    size_t member = std::ranges::upper_bound(offsets_, blob_offset) - offsets_.begin() - 1;
    while (!out.empty()) {
      const uint64_t from = blob_offset - offsets_[member];
      const uint64_t size = offsets_[member + 1] - offsets_[member];
      const Bytes& end = *ends_[member];
      const size_t count = std::min<uint64_t>(out.size(), size - from);
      std::memset(out.data(), 'x', count);
      for (size_t i = from; i < std::min<uint64_t>(kHeaderBytes, from + count); ++i) {
        constexpr uint8_t kHeader[kHeaderBytes] = {0x1f, 0x8b, 8, 8 /* has a name */};
        out[i - from] = static_cast<std::byte>(kHeader[i]);
      }
      const uint64_t end_from = size - end.size();
      for (uint64_t i = std::max(from, end_from); i < from + count; ++i) {
        out[i - from] = end[i - end_from];
      }
      out = out.subspan(count);
      blob_offset += count;
      ++member;
    }
  }

  SimulatedLink& link_;
  std::map<uint64_t, Bytes> by_data_bytes_;
  std::vector<const Bytes*> ends_;  // of each member
  std::vector<uint64_t> offsets_;   // of each member, and of the blob's end
};

/// Stores a layer of such members, a file each, from whose numbers its digests are made.
inline StatusOr<std::shared_ptr<store::StoredLayer>> StoreSimulated(
    const std::vector<RecordedStart::Member>& members, uint32_t number, store::LayerStore& layers) {
  layer::ChunkTableSpec spec;
  std::map<uint64_t, oci::Digest> zeros;
  for (const RecordedStart::Member& member : members) {
    const uint64_t data_bytes = SimulatedBlob::DataBytesIn(member);
    const auto [digest, is_new] = zeros.try_emplace(data_bytes);
    if (is_new) {
      digest->second = oci::Digest::Of(Bytes(data_bytes));
    }
    spec.chunks.push_back({.data_address = spec.data_size_bytes,
                           .size_bytes = data_bytes,
                           .member = static_cast<uint32_t>(spec.members.size()),
                           .flags = member.is_unlikely ? layer::kUnlikely : 0,
                           .digest = digest->second.value()});
    spec.members.push_back({.blob_offset = spec.blob_size_bytes, .blob_size = member.blob_size});
    spec.data_size_bytes += data_bytes;
    spec.blob_size_bytes += member.blob_size;
  }
  const store::LayerInfo info{.blob_size_bytes = spec.blob_size_bytes,
                              .data_size_bytes = spec.data_size_bytes,
                              .chunk_count = spec.chunks.size()};
  ASSIGN_OR_RETURN(const Bytes table, layer::WriteChunkTable(spec));
  const erofs::InodeSpec root{.mode = S_IFDIR | 0755, .nlink = 2};
  ASSIGN_OR_RETURN(const Bytes index, erofs::WriteImage(std::span(&root, 1), spec.data_size_bytes));
  const std::string name = fmt::format("layer {}", number);
  const oci::Digest digest = oci::Digest::Of(AsBytes(name));
  return layers.Create({.layer = digest, .toc = digest}, info, index, table);
}

}  // namespace starling::testing_support

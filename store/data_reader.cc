#include "store/data_reader.h"

namespace starling::store {

Status DataReader::Read(int fd, uint64_t data_address, std::span<std::byte> out) {
  if (!can_tell_.load(kRelaxed)) {
    return files_.ReadAt(fd, data_address, out);
  }
  const StatusOr<size_t> cached = files_.ReadCached(fd, data_address, out);
  if (!cached.ok()) {
    if (cached.status().code() != StatusCode::kUnimplemented) {
      return cached.status();
    }
    can_tell_.store(false, kRelaxed);
    return files_.ReadAt(fd, data_address, out);
  }
  if (*cached == out.size()) {
    OnCached(fd, data_address / kRegionBytes);
    return OkStatus();
  }
  OnWait(fd, (data_address + *cached) / kRegionBytes);
  return files_.ReadAt(fd, data_address + *cached, out.subspan(*cached));
}

void DataReader::OnCached(int fd, uint64_t region) {
  if (entered_.load(kRelaxed) == region) {
    return;
  }
  entered_.store(region, kRelaxed);
  if (read_ahead_.Has(region)) {
    ReadAheadAfter(fd, region);
  }
}

void DataReader::OnWait(int fd, uint64_t region) {
  if (on_wait_) {
    on_wait_();
  }
  entered_.store(region, kRelaxed);
  const bool is_nearby = waited_for_.Has(region) || waited_for_.Has(region + 1) ||
                         (region > 0 && waited_for_.Has(region - 1));
  waited_for_.Add(region);
  if (is_nearby) {
    ReadAhead(fd, region);  // again, if it was: the kernel may have let go of it
    ReadAheadAfter(fd, region);
  }
}

void DataReader::ReadAhead(int fd, uint64_t region) {
  read_ahead_.Add(region);
  files_.ReadAhead(fd, region * kRegionBytes, kRegionBytes);
}

void DataReader::ReadAheadAfter(int fd, uint64_t region) {
  for (uint64_t next = region + 1; next < region + kRegionsAhead; ++next) {
    if (!read_ahead_.Has(next) && !IsInMemory(fd, next)) {
      ReadAhead(fd, next);
    }
  }
}

/// By its first byte. What is beyond the file's end, an error of ReadCached, needs no reading.
bool DataReader::IsInMemory(int fd, uint64_t region) const {
  std::byte first{};
  const StatusOr<size_t> cached = files_.ReadCached(fd, region * kRegionBytes, {&first, 1});
  return !cached.ok() || *cached == 1;
}

}  // namespace starling::store

#include "dockerfile/build/result_cache.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "dockerfile/build/key_part_json.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::build {
namespace {

using Content = containerd::Client::Content;
using oci::Json;

constexpr const char* kKeyLabel = "starling.dev/build.key";
constexpr const char* kAloneLabel = "starling.dev/build.alone";
constexpr const char* kTitleLabel = "starling.dev/build.title";
constexpr const char* kUsedLabel = "starling.dev/build.used";
constexpr const char* kSizeLabel = "starling.dev/build.size";
constexpr const char* kSnapshotterLabel = "starling.dev/build.snapshotter";
constexpr const char* kRootLabel = "containerd.io/gc.root";
constexpr const char* kContentLabel = "containerd.io/gc.ref.content.layer";
constexpr const char* kSnapshotLabelPrefix = "containerd.io/gc.ref.snapshot.";
constexpr int kRecordVersion = 2;
constexpr uint64_t kMaxRecordBytes = 16 << 20;
/// A use is noted this often at most: each note is a write.
constexpr std::chrono::hours kUsedResolution(1);

std::chrono::sys_seconds Now() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string Seconds(std::chrono::sys_seconds time) {
  return fmt::format("{}", time.time_since_epoch().count());
}

uint64_t NumberIn(const containerd::Labels& labels, const char* name) {
  uint64_t number = 0;
  if (const auto found = labels.find(name); found != labels.end()) {
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), number);
  }
  return number;
}

std::chrono::sys_seconds UsedOf(const containerd::Labels& labels) {
  return std::chrono::sys_seconds(std::chrono::seconds(NumberIn(labels, kUsedLabel)));
}

/// What a title is found by: filters have their own idea of quotes.
std::string TitleLabelOf(const std::string& title) { return oci::Digest::Of(AsBytes(title)).Hex(); }

Json JsonOf(const CachedResult& result) {
  Json layers = Json::array();
  for (const Layer& layer : result.tree.layers) {
    layers.push_back({{"mediaType", layer.blob.media_type},
                      {"digest", layer.blob.digest.ToString()},
                      {"size", layer.blob.size_bytes},
                      {"annotations", layer.blob.annotations},
                      {"diffId", layer.diff_id.ToString()},
                      {"origin", layer.origin},
                      {"created", layer.created.time_since_epoch().count()}});
  }
  return {{"version", kRecordVersion},   {"key", result.key.ToString()},
          {"title", result.title},       {"snapshot", result.tree.snapshot},
          {"layers", std::move(layers)}, {"parts", KeyPartsJson(result.parts)}};
}

StatusOr<CachedResult> ParseRecord(ByteSpan bytes) {
  ASSIGN_OR_RETURN(const Json json,
                   oci::ParseJsonObject(bytes, kMaxRecordBytes, "result of a build's step"));
  CachedResult result;
  try {
    if (json.at("version") != kRecordVersion) {
      return MakeError(StatusCode::kUnimplemented, "a record of another version");
    }
    ASSIGN_OR_RETURN(result.key, oci::DigestField(json, "key"));
    result.title = json.at("title").get<std::string>();
    result.tree.snapshot = json.at("snapshot").get<std::string>();
    for (const Json& entry : json.at("layers")) {
      Layer layer;
      layer.blob.media_type = entry.at("mediaType").get<std::string>();
      ASSIGN_OR_RETURN(layer.blob.digest, oci::DigestField(entry, "digest"));
      ASSIGN_OR_RETURN(layer.blob.size_bytes, oci::SizeField(entry, "size"));
      layer.blob.annotations = entry.at("annotations").get<oci::Annotations>();
      ASSIGN_OR_RETURN(layer.diff_id, oci::DigestField(entry, "diffId"));
      layer.origin = entry.at("origin").get<std::string>();
      layer.created =
          std::chrono::sys_seconds(std::chrono::seconds(entry.at("created").get<int64_t>()));
      result.tree.layers.push_back(std::move(layer));
    }
    ASSIGN_OR_RETURN(result.parts, KeyPartsIn(oci::FindField(json, "parts")));
  } catch (const Json::exception& error) {
    return MakeError(StatusCode::kDataLoss, error.what());
  }
  return result;
}

/// What a step is when its base does not count.
oci::Digest KeyWithoutBase(std::vector<plan::KeyPart> parts) {
  std::erase_if(parts, [](const plan::KeyPart& part) { return part.name == kBasePart; });
  return plan::KeyOf(parts);
}

std::string Filter(const char* label, const std::string& value) {
  return fmt::format("labels.\"{}\"=={}", label, value);
}

}  // namespace

StatusOr<std::optional<CachedResult>> ResultCache::Read(const Content& record) {
  if (record.size_bytes > kMaxRecordBytes) {
    return std::optional<CachedResult>();
  }
  oci::Descriptor blob;
  blob.digest = record.digest;
  blob.size_bytes = record.size_bytes;
  const StatusOr<Bytes> bytes = client_.ReadContent(blob);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return std::optional<CachedResult>();  // pruned meanwhile
  }
  RETURN_IF_ERROR(bytes.status());
  StatusOr<CachedResult> result = ParseRecord(*bytes);
  if (!result.ok()) {
    // Of another version of this program, or of somebody else: the step is done again.
    log::Debug("a build's record is left alone",
               {{"record", record.digest.ToString()}, {"error", Describe(result.status())}});
    return std::optional<CachedResult>();
  }
  return std::optional<CachedResult>(*std::move(result));
}

StatusOr<std::optional<CachedResult>> ResultCache::Find(const oci::Digest& key) {
  return FindBy(kKeyLabel, key, [&key](const CachedResult& result) { return result.key == key; });
}

StatusOr<std::optional<CachedResult>> ResultCache::FindAlone(
    const std::vector<plan::KeyPart>& parts) {
  const oci::Digest key = KeyWithoutBase(parts);
  return FindBy(kAloneLabel, key,
                [&key](const CachedResult& result) { return KeyWithoutBase(result.parts) == key; });
}

StatusOr<std::optional<CachedResult>> ResultCache::FindBy(
    const char* label, const oci::Digest& key,
    const std::function<bool(const CachedResult&)>& fits) {
  ASSIGN_OR_RETURN(const std::vector<Content> records,
                   client_.FindContent(Filter(label, key.Hex())));
  for (const Content& record : records) {
    const auto snapshotter = record.labels.find(kSnapshotterLabel);
    if (snapshotter == record.labels.end() || snapshotter->second != snapshotter_) {
      continue;
    }
    ASSIGN_OR_RETURN(std::optional<CachedResult> result, Read(record));
    if (!result || result->tree.layers.empty() || !fits(*result)) {
      continue;
    }
    const Status there = client_.StatSnapshot(snapshotter_, result->tree.snapshot).status();
    if (there.code() == StatusCode::kNotFound) {
      continue;  // removed by hand
    }
    RETURN_IF_ERROR(there);
    if (Now() - UsedOf(record.labels) > kUsedResolution) {
      RETURN_IF_ERROR(client_.LabelContent(record.digest, {{kUsedLabel, Seconds(Now())}}));
    }
    return result;
  }
  return std::optional<CachedResult>();
}

Status ResultCache::Put(const CachedResult& result) {
  ASSIGN_OR_RETURN(const std::vector<Content> former,
                   client_.FindContent(Filter(kKeyLabel, result.key.Hex())));
  const std::string text = oci::WriteJson(JsonOf(result));
  oci::Descriptor blob;
  blob.digest = oci::Digest::Of(AsBytes(text));
  blob.size_bytes = text.size();
  const Layer& own = result.tree.layers.back();
  containerd::Labels labels = {{kKeyLabel, result.key.Hex()},
                               {kTitleLabel, TitleLabelOf(result.title)},
                               {kUsedLabel, Seconds(Now())},
                               {kSizeLabel, fmt::format("{}", own.blob.size_bytes)},
                               {kSnapshotterLabel, snapshotter_},
                               {kRootLabel, Seconds(Now())},
                               {kSnapshotLabelPrefix + snapshotter_, result.tree.snapshot},
                               {kContentLabel, own.blob.digest.ToString()}};
  if (result.is_alone) {
    labels[kAloneLabel] = KeyWithoutBase(result.parts).Hex();
  }
  RETURN_IF_ERROR(client_.PutContent(blob, AsBytes(text), labels));
  for (const Content& record : former) {
    const auto snapshotter = record.labels.find(kSnapshotterLabel);
    if (record.digest != blob.digest && snapshotter != record.labels.end() &&
        snapshotter->second == snapshotter_) {
      const Status removed = client_.DeleteContent(record.digest);
      if (!removed.ok() && removed.code() != StatusCode::kNotFound) {
        return removed;
      }
    }
  }
  return OkStatus();
}

StatusOr<std::optional<CachedResult>> ResultCache::FindByTitle(const std::string& title) {
  ASSIGN_OR_RETURN(std::vector<Content> records,
                   client_.FindContent(Filter(kTitleLabel, TitleLabelOf(title))));
  std::sort(records.begin(), records.end(),
            [](const Content& a, const Content& b) { return UsedOf(a.labels) > UsedOf(b.labels); });
  for (const Content& record : records) {
    ASSIGN_OR_RETURN(std::optional<CachedResult> result, Read(record));
    if (result && result->title == title) {
      return result;
    }
  }
  return std::optional<CachedResult>();
}

StatusOr<std::vector<ResultCache::Entry>> ResultCache::List() {
  ASSIGN_OR_RETURN(const std::vector<Content> records,
                   client_.FindContent(fmt::format("labels.\"{}\"", kKeyLabel)));
  std::vector<Entry> entries;
  for (const Content& record : records) {
    Entry entry{.record = record.digest,
                .size_bytes = NumberIn(record.labels, kSizeLabel),
                .used = UsedOf(record.labels)};
    ASSIGN_OR_RETURN(const std::optional<CachedResult> result, Read(record));
    if (result) {
      entry.title = result->title;
    }
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  return entries;
}

StatusOr<ResultCache::Pruned> ResultCache::Prune(uint64_t keep_bytes,
                                                 std::chrono::sys_seconds used_since) {
  ASSIGN_OR_RETURN(const std::vector<Entry> entries, List());
  uint64_t held_bytes = 0;
  for (const Entry& entry : entries) {
    held_bytes += entry.size_bytes;
  }
  Pruned pruned;
  for (const Entry& entry : entries) {
    if (held_bytes <= keep_bytes && entry.used >= used_since) {
      break;
    }
    const Status removed = client_.DeleteContent(entry.record);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) {
      return removed;
    }
    held_bytes -= entry.size_bytes;
    pruned.bytes += entry.size_bytes;
    ++pruned.entries;
  }
  return pruned;
}

}  // namespace starling::dockerfile::build

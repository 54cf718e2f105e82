#include "mount/held_layer_opener.h"

#include <malloc.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "layer/diff_id.h"
#include "layer/layer_opener.h"
#include "layer/shared_chunks.h"
#include "layer/toc_image.h"
#include "layer/verification.h"
#include "mount/diff_id_checks.h"

namespace starling::mount {
namespace {

/// What is left over of a smaller index is not worth the stop of all threads.
constexpr uint64_t kLargeIndexBytes = 1 << 20;

void LogWrongBytes(const layer::WrongBytes& wrong) {
  log::Error(
      "wrong bytes came for a layer: they are asked for once more, elsewhere if possible, and "
      "then not for some minutes",
      {{"image", wrong.source},
       {"host", wrong.host},
       {"layer", wrong.layer.ToString()},
       {"blob-range", fmt::format("{}-{}", wrong.range.blob_offset, wrong.range.end() - 1)},
       {"error", Describe(wrong.error)}});
}

}  // namespace

LayerSpec HeldLayerOpener::ByItsDescription(LayerSpec spec) {
  if (!oci::IsPlain(spec.layer, spec.toc) || deps_.layers.Find(spec.key()).ok()) {
    return spec;
  }
  // What is stored outlives the description by which it was.
  std::optional<oci::Digest> toc = StoredDescription(spec.layer);
  if (!toc) {
    const auto kept = deps_.gzip_indexes.DigestOf(spec.layer);
    toc = kept.ok() ? std::optional(*kept) : std::nullopt;
  }
  if (toc) {
    spec.toc = *toc;
    spec.toc_of = oci::TocDigestOf::kGzipIndex;
  }
  return spec;
}

/// The digest of the description by which the plain layer is in the store.
std::optional<oci::Digest> HeldLayerOpener::StoredDescription(const oci::Digest& layer) {
  const auto stored = deps_.layers.List();
  if (!stored.ok()) {
    return std::nullopt;
  }
  for (const store::LayerKey& key : *stored) {
    if (key.layer != layer) {
      continue;
    }
    const auto found = deps_.layers.Find(key);
    const auto chunks =
        found.ok() ? layer::ChunkTable::Open((*found)->chunk_table()) : found.status();
    if (chunks.ok() && chunks->codec() == layer::Codec::kGzipSpans) {
      return key.toc;
    }
  }
  return std::nullopt;
}

void HeldLayerOpener::KeepDescription(estargz::GzipLayerIndex::Parts parts) {
  deps_.disk.Post(
      [this, parts = std::make_shared<const estargz::GzipLayerIndex::Parts>(std::move(parts))] {
        const auto description = estargz::GzipLayerIndex::Make(*parts);
        const Status status =
            description.ok() ? deps_.gzip_indexes.Add(*description) : description.status();
        if (!status.ok()) {
          log::Warning("the seek index of a gzip layer is not kept",
                       {{"layer", parts->layer.ToString()}, {"error", Describe(status)}});
        }
      });
}

StatusOr<HeldLayer> HeldLayerOpener::OpenAnew(const store::StoredLayer& damaged,
                                              const LayerSpec& spec) {
  log::Warning("a layer is fetched anew, because its files are damaged",
               {{"layer", spec.layer.ToString()}, {"error", Describe(damaged.CheckFiles())}});
  if (const Status removed = deps_.layers.Remove(spec.key());
      !removed.ok() && removed.code() != StatusCode::kNotFound) {
    return removed;
  }
  return Open(spec, Network::kAllowed);
}

StatusOr<HeldLayer> HeldLayerOpener::Open(const LayerSpec& spec, Network network) {
  const store::LayerKey key = spec.key();
  const bool is_plain = oci::IsPlain(spec.layer, spec.toc);
  if (is_plain && deps_.recorder) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "it is fetched as a whole, so what is needed of it says nothing; make it lazy "
                     "with starling convert or starling index");
  }
  StatusOr<std::shared_ptr<store::StoredLayer>> stored = deps_.layers.Find(key);
  if (is_plain && stored.ok() && (*stored)->doubtful_count() > 0) {
    const auto chunks = layer::ChunkTable::Open((*stored)->chunk_table());
    RETURN_IF_ERROR(chunks.status());
    RETURN_IF_ERROR(layer::VerifyHeld(**stored, *chunks, [](uint64_t) { return true; }).status());
  }
  if (is_plain && stored.ok() && !(*stored)->complete() && network == Network::kAllowed) {
    // Of what was evicted, or went with a loss of power, no part can be fetched before the others.
    RETURN_IF_ERROR(deps_.layers.Remove(key));
    stored = MakeError(StatusCode::kNotFound, "the layer was not on the disk yet as a whole");
  }
  if (stored.ok()) {
    return is_plain ? OpenWhole(*std::move(stored), spec) : OpenStored(*std::move(stored));
  }
  if (network == Network::kForbidden || stored.status().code() != StatusCode::kNotFound) {
    return stored.status();
  }
  if (is_plain) {
    return OpenPlain(spec);
  }
  if (spec.toc_of == oci::TocDigestOf::kGzipIndex) {
    return OpenDescribed(key);
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, deps_.sources(spec.image));
  layer::TocImage toc_image([this, &spec]() -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    ASSIGN_OR_RETURN(const std::string name, layer::TocImage::NameFor(spec.image));
    return deps_.sources(name);
  });
  const auto asked = SystemClock().WallTime();
  ASSIGN_OR_RETURN(layer::OpenedLayer opened,
                   layer::OpenLayer(*source, key, spec.size_bytes, deps_.layers, deps_.counters,
                                    {.digest_of = spec.toc_of, .toc_image = &toc_image}));
  const auto opened_at = SystemClock().WallTime();
  if (opened.stored->index().size() >= kLargeIndexBytes) {
    // Indexing took tens of megabytes that nobody needs again.
    ::malloc_trim(0);
  }
  ASSIGN_OR_RETURN(HeldLayer held, OpenNew(std::move(opened.stored)));
  held.layer->tally().OnOpened(opened.requests, opened.fetched_bytes);
  held.layer->Trace({.layer = {},
                     .purpose = layer::Purpose::kIndex,
                     .requests = opened.requests,
                     .bytes = opened.fetched_bytes,
                     .sent = asked,
                     .ended = opened_at});
  // Of several it is not known at which of them it was opened.
  if (!deps_.places->HasSeveral(spec.image)) {
    held.layer->UseReader(KeepTogether(source, std::move(opened.reader)));
  }
  held.layer->TakeTail(std::move(opened.tail));
  return held;
}

/// A plain gzip layer, by the description that the node keeps: the registry is not asked.
StatusOr<HeldLayer> HeldLayerOpener::OpenDescribed(const store::LayerKey& key) {
  ASSIGN_OR_RETURN(const auto description, deps_.gzip_indexes.Find(key.layer));
  if (layer::KeyOf(description) != key) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("another gzip index of {} is kept", key.layer.ToString()));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<store::StoredLayer> stored,
                   layer::StoreDescribed(description, deps_.layers));
  return OpenNew(std::move(stored));
}

/// Fetches all of a layer that cannot be lazy.
StatusOr<HeldLayer> HeldLayerOpener::OpenPlain(const LayerSpec& spec) {
  if (deps_.gzip_indexes.DigestOf(spec.layer).ok()) {
    return MakeError(StatusCode::kAborted, "a description of the layer is kept by now");
  }
  const auto asked = SystemClock().WallTime();
  ASSIGN_OR_RETURN(const std::shared_ptr<store::StoredLayer> stored, deps_.eager->Fetch(spec));
  const auto fetched_at = SystemClock().WallTime();
  ::malloc_trim(0);
  log::Info("a plain layer was fetched as a whole",
            {{"layer", spec.layer.ToString()},
             {"image", spec.image},
             {"blob-bytes", fmt::format("{}", stored->info().blob_size_bytes)},
             {"data-bytes", fmt::format("{}", stored->info().data_size_bytes)}});
  deps_.disk.Post([stored] {
    if (const Status status = stored->Checkpoint(); !status.ok()) {
      log::Warning("a layer may have to be fetched again after a reboot",
                   {{"layer", stored->key().layer.ToString()}, {"error", Describe(status)}});
    }
  });
  ASSIGN_OR_RETURN(HeldLayer held, OpenWhole(stored, spec));
  held.is_new = true;
  held.layer->NoteFetchedWhole();
  held.layer->Trace({.layer = {},
                     .purpose = layer::Purpose::kWhole,
                     .bytes = stored->info().blob_size_bytes,
                     .sent = asked,
                     .ended = fetched_at});
  KeepDigests(held);
  return held;
}

/// A layer that can be had as a whole only: what it loses comes that way.
StatusOr<HeldLayer> HeldLayerOpener::OpenWhole(std::shared_ptr<store::StoredLayer> stored,
                                               const LayerSpec& spec) {
  ASSIGN_OR_RETURN(HeldLayer held, OpenStored(std::move(stored)));
  held.layer->RefetchBy([mender = deps_.eager, spec, files = held.stored](auto spill, auto done) {
    mender->Mend(spec, files, std::move(spill), std::move(done));
  });
  return held;
}

/// A layer of which nothing was fetched yet: what other layers hold of it need not be.
StatusOr<HeldLayer> HeldLayerOpener::OpenNew(std::shared_ptr<store::StoredLayer> stored) {
  ASSIGN_OR_RETURN(HeldLayer held, OpenStored(std::move(stored)));
  layer::SharedChunks shared =
      layer::SharedChunks::Find(*held.stored, held.layer->chunks(), deps_.layers, digests_);
  if (!shared.empty()) {
    log::Debug("other layers hold a part of a new one",
               {{"layer", held.stored->key().layer.ToString()},
                {"bytes", fmt::format("{}", shared.size_bytes())}});
  }
  held.is_new = true;
  held.layer->UseShared(std::move(shared));
  KeepDigests(held);
  return held;
}

/// So that later layers can take chunks from this one. It need not happen before anything else.
void HeldLayerOpener::KeepDigests(const HeldLayer& held) {
  deps_.disk.Post([this, layer = held.layer] {
    const Status kept = digests_.Add(layer->key(), layer::ChunkDigests::Of(layer->chunks()));
    if (!kept.ok() && kept.code() != StatusCode::kNotFound) {
      log::Warning("later layers take nothing from this one",
                   {{"layer", layer->key().layer.ToString()}, {"error", Describe(kept)}});
    }
  });
}

StatusOr<HeldLayer> HeldLayerOpener::OpenStored(std::shared_ptr<store::StoredLayer> stored) {
  ASSIGN_OR_RETURN(std::shared_ptr<layer::LazyLayer> layer,
                   layer::LazyLayer::Open(stored, deps_.cpu, deps_.counters, {}, deps_.scheduler));
  layer->ReportWrongBytes(LogWrongBytes);
  layer->Trace(deps_.traces.slow_reads(), deps_.traces.fetches());
  layer->CountWaits(deps_.traces.container_waits());
  std::shared_ptr<layer::ReadTap> tap;
  if (deps_.recorder) {
    layer->Observe(deps_.recorder->AddLayer(stored->key(), layer->chunks(), stored));
  } else if (deps_.records_runs) {
    tap = std::make_shared<layer::ReadTap>();
    layer->Observe(tap);
  }
  std::shared_ptr<layer::GapLog> gaps;
  std::error_code ignored;
  if (deps_.checks_diff_ids && layer::HasDiffId(layer->chunks()) &&
      !std::filesystem::exists(stored->directory() / DiffIdChecks::kFileName, ignored)) {
    gaps = std::make_shared<layer::GapLog>(stored->directory() / layer::GapLog::kFileName,
                                           deps_.files);
    layer->KeepGaps(gaps);
  }
  return HeldLayer{.layer = std::move(layer),
                   .stored = std::move(stored),
                   .tap = std::move(tap),
                   .gaps = std::move(gaps)};
}

}  // namespace starling::mount

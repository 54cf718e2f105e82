#include "inspect/check.h"

#include <algorithm>

#include "base/size_text.h"
#include "base/text.h"
#include "oci/reference.h"
#include "oci/toc_digest.h"

namespace starling::inspect {
namespace {

/// From so many layers on an ordinary overlay may not hold them, and each costs a Prepare and
/// questions to the registry. Source: docs/decisions/0018-merged-chains.md.
constexpr size_t kManyLayers = 40;
/// What is too small to be worth a layer of its own.
constexpr uint64_t kTinyLayerBytes = 64 << 10;
/// Of the image: then the prefetch fetches what nobody waits for.
constexpr uint64_t kMuchPrefetchPercent = 50;

uint64_t Percent(uint64_t part, uint64_t whole) { return whole == 0 ? 0 : part * 100 / whole; }

/// The share of a layer's data that runs needed; nothing without a profile of the image.
std::optional<double> NeededShare(const Circumstances& circumstances, const store::LayerKey& key,
                                  uint64_t data_bytes) {
  if (!circumstances.profile || data_bytes == 0) {
    return std::nullopt;
  }
  uint64_t needed_bytes = 0;
  for (const layer::LayerAccess& access : circumstances.profile->layers()) {
    if (access.key == key) {
      for (const layer::AccessRange& range : access.ranges) {
        needed_bytes += range.range.size_bytes;
      }
    }
  }
  return static_cast<double>(needed_bytes) / static_cast<double>(data_bytes);
}

LayerVerdict LazyVerdict(Treatment treatment, const Circumstances& circumstances,
                         const LayerReport& layer, const oci::Digest& toc, uint64_t data_bytes) {
  layer::FetchDecision decision = layer::DecideFetch(
      circumstances.preference,
      {.blob_bytes = layer.descriptor.size_bytes,
       .needed_share =
           NeededShare(circumstances, {.layer = layer.descriptor.digest, .toc = toc}, data_bytes)});
  return {.treatment = treatment, .mode = decision.mode, .reason = std::move(decision.reason)};
}

LayerVerdict Judge(const Circumstances& circumstances, const LayerReport& layer) {
  const auto promised = oci::FindTocDigest(layer.descriptor.annotations);
  if (layer.lazy && promised.ok()) {
    return LazyVerdict(Treatment::kLazy, circumstances, layer, promised->digest, layer.data_bytes);
  }
  if (!oci::media_type::IsLayer(layer.descriptor.media_type)) {
    return {.treatment = Treatment::kImpossible, .reason = layer.reason};
  }
  if (promised.ok()) {
    // Its annotation has starlingd try, and what fails then is not shown.
    return {.treatment = Treatment::kLeft, .reason = layer.reason};
  }
  if (const auto kept = circumstances.kept_indexes.find(layer.descriptor.digest);
      kept != circumstances.kept_indexes.end()) {
    return LazyVerdict(Treatment::kLazyByIndex, circumstances, layer, kept->second.digest,
                       kept->second.data_bytes);
  }
  const bool can_be_taken = layer.format != LayerFormat::kUnknown;
  return {.treatment = circumstances.takes_plain_layers && can_be_taken ? Treatment::kWhole
                                                                        : Treatment::kLeft,
          .reason = layer.reason};
}

/// Collects the advice about one image.
class Adviser {
 public:
  Adviser(const CheckReport& report, const Circumstances& circumstances, const std::string& name)
      : report_(report), image_(report.image), circumstances_(circumstances), name_(name) {}

  std::vector<Advice> Run() {
    AdviseWhole();
    AdviseBroken();
    AdviseAttachedIndexes();
    AdviseFirstNeeds();
    AdvisePrefetch();
    AdviseChunks();
    AdviseLayers();
    AdviseClients();
    return std::move(advice_);
  }

 private:
  using Numbers = std::map<std::string_view, uint64_t>;
  struct Sum {
    uint64_t layers = 0;
    uint64_t bytes = 0;
  };

  template <typename Wanted>
  Sum Count(Wanted&& wanted) const {
    Sum sum;
    for (size_t i = 0; i < image_.layers.size(); ++i) {
      if (wanted(image_.layers[i], report_.verdicts[i])) {
        ++sum.layers;
        sum.bytes += image_.layers[i].descriptor.size_bytes;
      }
    }
    return sum;
  }

  std::string Quoted() const { return ShellWord(name_); }
  /// A name for what the image is made into.
  std::string Target(std::string_view suffix) const {
    constexpr std::string_view kRegistry = "docker://";
    std::string_view text = name_;
    text.remove_prefix(text.starts_with(kRegistry) ? kRegistry.size() : 0);
    const auto reference = oci::Reference::Parse(text);
    if (!reference.ok()) {
      return "TARGET";
    }
    return ShellWord(fmt::format("{}/{}:{}-{}", reference->domain(), reference->repository(),
                                 reference->tag().empty() ? "image" : reference->tag(), suffix));
  }

  void Add(std::string_view id, std::string text, Numbers numbers,
           std::vector<std::string> commands = {}) {
    advice_.push_back({.id = id,
                       .text = std::move(text),
                       .numbers = std::move(numbers),
                       .commands = std::move(commands)});
  }

  std::vector<std::string> OptimizeCommands() const {
    return {fmt::format("starling optimize {} -t {}", Quoted(), Target("fast")),
            fmt::format("starling optimize {} --profile", Quoted())};
  }

  void AdviseWhole() {
    const Sum whole = Count([](const LayerReport&, const LayerVerdict& verdict) {
      return verdict.treatment == Treatment::kWhole;
    });
    if (whole.layers == 0) {
      return;
    }
    const Sum gzip = Count([](const LayerReport& layer, const LayerVerdict& verdict) {
      return verdict.treatment == Treatment::kWhole && layer.format == LayerFormat::kGzip;
    });
    std::string text = fmt::format(
        "{} of {} layers, {} ({} % of the image), come as a whole before a container starts",
        whole.layers, image_.layers.size(), SizeText(whole.bytes),
        Percent(whole.bytes, image_.size_bytes()));
    if (gzip.layers > 0 && circumstances_.keeps_gzip_indexes) {
      text += fmt::format("; {} of them are lazy here the next time", gzip.layers);
    }
    std::vector<std::string> commands = {
        fmt::format("starling convert {} {}", Quoted(), Target("esgz"))};
    if (gzip.layers > 0) {
      commands.push_back(
          fmt::format("starling index create {0} && starling index push {0}", Quoted()));
    }
    Add("whole-layers", std::move(text),
        {{"layers", whole.layers}, {"size", whole.bytes}, {"gzipLayers", gzip.layers}},
        std::move(commands));
  }

  void AdviseBroken() {
    const Sum left = Count([](const LayerReport& layer, const LayerVerdict& verdict) {
      return verdict.treatment == Treatment::kLeft &&
             oci::FindTocDigest(layer.descriptor.annotations).ok();
    });
    if (left.layers > 0) {
      Add("broken-layers",
          fmt::format("{} layers promise a table of contents that cannot be used, so that "
                      "containerd downloads them",
                      left.layers),
          {{"layers", left.layers}, {"size", left.bytes}},
          {fmt::format("starling convert --force {} {}", Quoted(), Target("esgz"))});
    }
  }

  void AdviseAttachedIndexes() {
    if (!circumstances_.attached) {
      return;
    }
    const std::set<oci::Digest>& indexed = circumstances_.attached->indexed_layers;
    const Sum unused = Count([&](const LayerReport& layer, const LayerVerdict& verdict) {
      return verdict.treatment == Treatment::kWhole && indexed.contains(layer.descriptor.digest);
    });
    if (unused.layers > 0) {
      Add("attached-indexes",
          fmt::format("indexes of {} of these layers are attached to the image{}", unused.layers,
                      circumstances_.attached->is_trusted
                          ? ", and starlingd takes them at the first pull, for the next one"
                          : ": with them the layers are lazy here, if whoever attached them is "
                            "trusted"),
          {{"layers", unused.layers}, {"size", unused.bytes}},
          {fmt::format("starling index pull {}", Quoted())});
    }
  }

  /// Whether anything says what a start needs first.
  void AdviseFirstNeeds() {
    if (circumstances_.profile) {
      return;
    }
    if (circumstances_.attached && circumstances_.attached->profile) {
      Add("attached-profile",
          "a profile of what runs need is attached to the image, and this machine does not have it",
          {}, {fmt::format("starling profile pull {}", Quoted())});
      return;
    }
    const Sum lazy =
        Count([](const LayerReport&, const LayerVerdict& verdict) { return verdict.is_lazy(); });
    const Sum with_landmark = Count([](const LayerReport& layer, const LayerVerdict& verdict) {
      return verdict.is_lazy() && layer.landmark == Landmark::kPrefetch;
    });
    const Sum without_any = Count([](const LayerReport& layer, const LayerVerdict& verdict) {
      return verdict.is_lazy() && layer.landmark == Landmark::kNone;
    });
    if (lazy.layers == 0 || with_landmark.layers > 0) {
      return;
    }
    Add("no-first-needs",
        fmt::format("nothing says what a start needs first: no profile is known, and of {} lazy "
                    "layers none has a prefetch landmark ({} have none at all)",
                    lazy.layers, without_any.layers),
        {{"lazyLayers", lazy.layers}, {"layersWithoutLandmark", without_any.layers}},
        OptimizeCommands());
  }

  void AdvisePrefetch() {
    uint64_t prefetch_bytes = 0;
    for (const LayerReport& layer : image_.layers) {
      prefetch_bytes += layer.prefetch_bytes;
    }
    const uint64_t percent = Percent(prefetch_bytes, image_.size_bytes());
    if (!circumstances_.profile && percent > kMuchPrefetchPercent) {
      Add("much-prefetch",
          fmt::format("its landmarks have {} ({} % of the image) fetched first",
                      SizeText(prefetch_bytes), percent),
          {{"size", prefetch_bytes}}, OptimizeCommands());
    }
  }

  void AdviseChunks() {
    uint64_t chunks = 0;
    uint64_t largest_chunk_bytes = 0;
    uint64_t largest_member_bytes = 0;
    for (const LayerReport& layer : image_.layers) {
      if (layer.lazy && layer.huge_chunks > 0) {
        chunks += layer.huge_chunks;
        largest_chunk_bytes = std::max(largest_chunk_bytes, layer.largest_chunk_bytes);
        largest_member_bytes = std::max(largest_member_bytes, layer.largest_member_bytes);
      }
    }
    if (chunks > 0) {
      Add("huge-chunks",
          fmt::format(
              "{} chunks are larger than {}: a byte of the largest costs {} of network, and "
              "{} to decode",
              chunks, SizeText(estargz::kDefaultChunkBytes), SizeText(largest_member_bytes),
              SizeText(largest_chunk_bytes)),
          {{"chunks", chunks},
           {"largestChunkSize", largest_chunk_bytes},
           {"largestMemberSize", largest_member_bytes}},
          {fmt::format("starling convert --force {} {}", Quoted(), Target("small-chunks"))});
    }
  }

  void AdviseLayers() {
    if (image_.layers.size() <= kManyLayers) {
      return;
    }
    const Sum tiny = Count([](const LayerReport& layer, const LayerVerdict&) {
      return layer.descriptor.size_bytes < kTinyLayerBytes;
    });
    Add("many-layers",
        fmt::format("{} layers, {} of them smaller than {}: each costs a pull a request or two",
                    image_.layers.size(), tiny.layers, SizeText(kTinyLayerBytes)),
        {{"layers", image_.layers.size()}, {"tinyLayers", tiny.layers}});
  }

  void AdviseClients() {
    const Sum noted = Count([](const LayerReport& layer, const LayerVerdict& verdict) {
      return verdict.is_lazy() && !layer.note.empty();
    });
    if (noted.layers > 0) {
      Add("annotations-not-passed",
          fmt::format(
              "{} layers are lazy with starling pull and starling mount alone: containerd's "
              "own clients do not pass the annotations of their format on",
              noted.layers),
          {{"layers", noted.layers}},
          {fmt::format("starling convert --force --format zstdchunked {} {}", Quoted(),
                       Target("zstdchunked"))});
    }
  }

  const CheckReport& report_;
  const ImageReport& image_;
  const Circumstances& circumstances_;
  const std::string& name_;
  std::vector<Advice> advice_;
};

}  // namespace

std::string_view NameOf(Treatment treatment) {
  switch (treatment) {
    case Treatment::kLazy:
      return "lazy";
    case Treatment::kLazyByIndex:
      return "index";
    case Treatment::kWhole:
      return "whole";
    case Treatment::kLeft:
      return "containerd";
    case Treatment::kImpossible:
      break;
  }
  return "none";
}

size_t CheckReport::lazy_layers() const {
  return static_cast<size_t>(std::ranges::count_if(verdicts, &LayerVerdict::is_lazy));
}

uint64_t CheckReport::ahead_bytes() const {
  uint64_t sum_bytes = 0;
  for (size_t i = 0; i < verdicts.size(); ++i) {
    sum_bytes += verdicts[i].is_lazy() ? 0 : image.layers[i].descriptor.size_bytes;
  }
  return sum_bytes;
}

CheckReport Check(ImageReport image, const Circumstances& circumstances, const std::string& name) {
  CheckReport report{.image = std::move(image), .verdicts = {}, .advice = {}};
  for (const LayerReport& layer : report.image.layers) {
    report.verdicts.push_back(Judge(circumstances, layer));
  }
  report.advice = Adviser(report, circumstances, name).Run();
  return report;
}

}  // namespace starling::inspect

#include "containerd/pull.h"

#include <chrono>
#include <random>

#include "api/snapshot_labels.h"
#include "base/progress_sink.h"
#include "containerd/content_labels.h"
#include "containerd/scoped_lease.h"
#include "oci/image_config.h"
#include "oci/toc_digest.h"

namespace starling::containerd {
namespace {

namespace snapshot_label = api::snapshot_label;

// Another pull may have the same snapshot in hand: containerd then says "already exists" and
// shows it a moment later. containerd's own unpacker tries three times.
constexpr int kPrepareTries = 3;
// Key and value together. Source: containerd, pkg/labels.
constexpr size_t kMaxLabelBytes = 4096;

constexpr std::string_view kSnapshotPrefix = "containerd.io/snapshot/";
constexpr const char* kUncompressed = "containerd.io/uncompressed";

/// One layer of the image as the unpacking sees it.
struct Layer {
  oci::Descriptor descriptor;
  oci::Digest diff_id;
  std::string chain_id;
  std::string parent_chain_id;  // empty for the lowest
};

/// Digests from `first` on, comma separated, as many as a label holds.
std::string JoinDigests(std::span<const Layer> layers, size_t key_bytes) {
  std::string text;
  for (const Layer& layer : layers) {
    const std::string digest = layer.descriptor.digest.ToString();
    if (key_bytes + text.size() + 1 + digest.size() > kMaxLabelBytes) {
      break;
    }
    text += text.empty() ? "" : ",";
    text += digest;
  }
  return text;
}

/// snapshot_label::kLazyLayers; nothing when a label does not hold all of them.
std::string JoinLazyLayers(std::span<const Layer> layers) {
  std::string text;
  for (const Layer& layer : layers) {
    const StatusOr<oci::TocDigest> toc = oci::FindTocDigest(layer.descriptor.annotations);
    if (toc.status().code() == StatusCode::kNotFound) {
      continue;
    }
    if (!toc.ok() || toc->of != oci::TocDigestOf::kJson) {
      return "";
    }
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", layer.descriptor.digest.ToString(),
                        toc->digest.ToString());
    if (snapshot_label::kLazyLayers.size() + text.size() > kMaxLabelBytes) {
      return "";
    }
  }
  return text;
}

Labels PrepareLabels(const LayersOptions& options, const oci::Digest& manifest,
                     std::span<const Layer> from_this_up) {
  if (!options.reference) {
    return options.labels;
  }
  const Layer& layer = from_this_up.front();
  Labels labels;
  for (const auto& [key, value] : layer.descriptor.annotations) {
    if (key.starts_with(kSnapshotPrefix) && key.size() + value.size() <= kMaxLabelBytes) {
      labels[key] = value;
    }
  }
  const StatusOr<oci::TocDigest> toc = oci::FindTocDigest(layer.descriptor.annotations);
  if (toc.ok() && toc->of == oci::TocDigestOf::kCompressed) {
    labels[std::string(oci::kCompressedTocLabel)] = toc->digest.ToString();
  }
  if (const std::string lazy = JoinLazyLayers(from_this_up); !lazy.empty()) {
    labels[std::string(snapshot_label::kLazyLayers)] = lazy;
  }
  const std::string reference = options.reference->ToString();
  const std::string digest = layer.descriptor.digest.ToString();
  const std::pair<std::string_view, std::string> ours[] = {
      {snapshot_label::kRef, layer.chain_id},
      {snapshot_label::kCriImageRef, reference},
      {snapshot_label::kCriManifestDigest, manifest.ToString()},
      {snapshot_label::kCriLayerDigest, digest},
      {snapshot_label::kCriImageLayers,
       JoinDigests(from_this_up, snapshot_label::kCriImageLayers.size())},
      {snapshot_label::kStargzReference, reference},
      {snapshot_label::kStargzDigest, digest},
      {snapshot_label::kStargzLayers,
       JoinDigests(from_this_up, snapshot_label::kStargzLayers.size())},
  };
  for (const auto& [key, value] : ours) {
    labels[std::string(key)] = value;
  }
  labels.insert(options.labels.begin(), options.labels.end());
  return labels;
}

/// Names no two pulls share. Source of the form: containerd core/unpack, "extract-".
std::string ExtractionKey(const std::string& chain_id) {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("extract-{}-{:08x} {}",
                     std::chrono::system_clock::now().time_since_epoch().count() % 1'000'000'000,
                     random() & 0xffffffffU, chain_id);
}

/// The documents of an image: containerd may hold some of them, the source has all.
class HeldDocuments : public oci::ImageSource {
 public:
  HeldDocuments(Client& client, oci::ImageSource& source) : client_(client), source_(source) {}

  std::string Name() const override { return source_.Name(); }
  // Only the source knows what the name stands for now.
  StatusOr<oci::RawManifest> ReadTopManifest() override { return source_.ReadTopManifest(); }
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override {
    if (descriptor.size_bytes == 0 || descriptor.media_type.empty()) {
      return source_.ReadManifest(descriptor);  // only an answer says what is missing
    }
    StatusOr<Bytes> held = client_.ReadContent(descriptor);
    if (held.status().code() == StatusCode::kNotFound) {
      return source_.ReadManifest(descriptor);
    }
    RETURN_IF_ERROR(held.status());
    return oci::RawManifest{.media_type = descriptor.media_type,
                            .digest = descriptor.digest,
                            .bytes = *std::move(held)};
  }
  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override {
    const StatusOr<Bytes> held = client_.ReadContent(blob);
    if (held.status().code() == StatusCode::kNotFound) {
      return source_.ReadBlob(blob, sink);
    }
    RETURN_IF_ERROR(held.status());
    return sink.Write(*held);
  }
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    return source_.OpenBlob(blob, tail_bytes);
  }
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override {
    return source_.BlobAt(blob);
  }

 private:
  Client& client_;
  oci::ImageSource& source_;
};

/// One pull: what it was asked and what it found so far.
class Pull {
 public:
  Pull(Client& client, oci::ImageSource& source, LayersOptions options, Progress& progress)
      : client_(client),
        source_(source),
        documents_(client, source),
        options_(std::move(options)),
        progress_(progress) {}

  StatusOr<PullReport> BringImage(const oci::Platform& platform) {
    ASSIGN_OR_RETURN(image_, oci::SelectImage(documents_, platform));
    ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Take(client_));
    RETURN_IF_ERROR(ReadConfig());
    RETURN_IF_ERROR(StoreDocuments());
    RETURN_IF_ERROR(BringLayers());
    RETURN_IF_ERROR(client_.PutImage(options_.reference->ToString(), image_.target));
    RETURN_IF_ERROR(lease.Release());
    return report_;
  }

  StatusOr<PullReport> BringLayersOf(const oci::SelectedImage& image,
                                     const std::vector<oci::Digest>& diff_ids) {
    image_ = image;
    RETURN_IF_ERROR(FindLayers(diff_ids));
    RETURN_IF_ERROR(BringLayers());
    return report_;
  }

 private:
  Status BringLayers() {
    report_.target = image_.top.digest;
    if (!layers_.empty()) {
      // Those that are there may belong to nobody: the collector would take them any moment.
      RETURN_IF_ERROR(client_.HoldSnapshot(options_.snapshotter, layers_.back().chain_id));
    }
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (options_.stop.stop_requested()) {
        return MakeError(StatusCode::kCancelled, "stopped");
      }
      RETURN_IF_ERROR(BringLayer(std::span(layers_).subspan(i)));
    }
    return CountTaken();
  }

  Status ReadConfig() {
    BytesSink sink;
    const oci::Descriptor& config = image_.manifest.config;
    RETURN_IF_ERROR(oci::CheckConfigSize(config));
    RETURN_IF_ERROR(Annotate(documents_.ReadBlob(config, sink), "configuration of the image"));
    config_bytes_ = std::move(sink.bytes());
    ASSIGN_OR_RETURN(const oci::ImageConfig parsed, oci::ImageConfig::Parse(config_bytes_));
    return FindLayers(parsed.diff_ids());
  }

  Status FindLayers(const std::vector<oci::Digest>& diff_ids) {
    if (diff_ids.size() != image_.manifest.layers.size()) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("the manifest has {} layers, the configuration {}",
                                   image_.manifest.layers.size(), diff_ids.size()));
    }
    const std::vector<oci::Digest> chain_ids = oci::ChainIds(diff_ids);
    for (size_t i = 0; i < chain_ids.size(); ++i) {
      layers_.push_back({.descriptor = image_.manifest.layers[i],
                         .diff_id = diff_ids[i],
                         .chain_id = chain_ids[i].ToString(),
                         .parent_chain_id = i == 0 ? "" : chain_ids[i - 1].ToString()});
    }
    return OkStatus();
  }

  /// Index, manifest and configuration, with the labels by which containerd's collector finds what
  /// they refer to.
  Status StoreDocuments() {
    Labels config_labels = SourceLabels();
    if (!layers_.empty()) {
      config_labels["containerd.io/gc.ref.snapshot." + options_.snapshotter] =
          layers_.back().chain_id;
    }
    RETURN_IF_ERROR(client_.PutContent(image_.manifest.config, config_bytes_, config_labels));

    Labels manifest_labels = SourceLabels();
    manifest_labels["containerd.io/gc.ref.content.config"] =
        image_.manifest.config.digest.ToString();
    for (size_t i = 0; i < layers_.size(); ++i) {
      manifest_labels[fmt::format("containerd.io/gc.ref.content.l.{}", i)] =
          layers_[i].descriptor.digest.ToString();
    }
    RETURN_IF_ERROR(client_.PutContent(DescriptorOf(image_.raw_manifest), image_.raw_manifest.bytes,
                                       manifest_labels));
    if (image_.top.digest == image_.raw_manifest.digest) {
      return OkStatus();
    }
    Labels index_labels = SourceLabels();
    index_labels["containerd.io/gc.ref.content.m.0"] = image_.raw_manifest.digest.ToString();
    return client_.PutContent(DescriptorOf(image_.top), image_.top.bytes, index_labels);
  }

  static oci::Descriptor DescriptorOf(const oci::RawManifest& document) {
    oci::Descriptor descriptor;
    descriptor.media_type = document.media_type;
    descriptor.digest = document.digest;
    descriptor.size_bytes = document.bytes.size();
    return descriptor;
  }

  /// Where a blob came from, so that a push may mount it across repositories.
  Labels SourceLabels() const {
    if (!options_.reference) {
      return {};
    }
    return {{OriginLabelOf(options_.reference->domain()), options_.reference->repository()}};
  }

  static std::string PartOf(const Layer& layer) {
    return layer.descriptor.digest.ToString().substr(0, 19);
  }

  Status BringLayer(std::span<const Layer> from_this_up) {
    const Layer& layer = from_this_up.front();
    const std::string part = PartOf(layer);
    progress_.Begin(part, layer.descriptor.size_bytes);
    // Above one that is absent hardly any is there, and Prepare would say so.
    if (!is_above_absent_ && client_.StatSnapshot(options_.snapshotter, layer.chain_id).ok()) {
      ++report_.present_layers;
      progress_.End(part, "already there");
      return OkStatus();
    }
    is_above_absent_ = true;
    StatusOr<Offer> offer = OfferLayer(from_this_up);
    if (offer.status().code() == StatusCode::kNotFound && !taken_.empty()) {
      // The layer below is not shown yet, because another pull has it in hand.
      RETURN_IF_ERROR(SeeTopmostTaken().status());
      offer = OfferLayer(from_this_up);
    }
    RETURN_IF_ERROR(offer.status());
    if (*offer == Offer::kTaken) {
      taken_.push_back(from_this_up);
      progress_.End(part, IsLazy(layer) ? "lazy" : "fetched by the snapshotter");
    }
    return OkStatus();
  }

  enum class Offer { kTaken, kUnpacked };

  static bool IsLazy(const Layer& layer) {
    return oci::FindTocDigest(layer.descriptor.annotations).ok();
  }

  /// Lets the snapshotter have the lowest of `from_this_up`, and unpacks it when that does not want
  /// it. Whether what is taken is also shown, Prepare of the layer above finds out: so that is not
  /// asked for each of them.
  StatusOr<Offer> OfferLayer(std::span<const Layer> from_this_up) {
    const Layer& layer = from_this_up.front();
    const std::string part = PartOf(layer);
    const std::string key = ExtractionKey(layer.chain_id);
    const StatusOr<std::vector<Mount>> mounts =
        client_.PrepareSnapshot(options_.snapshotter, key, layer.parent_chain_id,
                                PrepareLabels(options_, image_.raw_manifest.digest, from_this_up));
    if (mounts.status().code() == StatusCode::kAlreadyExists) {
      return Offer::kTaken;
    }
    RETURN_IF_ERROR(mounts.status());
    const Status unpacked = Unpack(layer, key, *mounts, part);
    if (!unpacked.ok()) {
      (void)client_.RemoveSnapshot(options_.snapshotter, key);
      return unpacked;
    }
    ++report_.downloaded_layers;
    progress_.End(part, "downloaded");
    return Offer::kUnpacked;
  }

  /// Waits until the topmost layer that was taken is shown; its labels. Nothing when it had to be
  /// unpacked after all.
  StatusOr<std::optional<Labels>> SeeTopmostTaken() {
    const std::span<const Layer> from_this_up = taken_.back();
    const Layer& layer = from_this_up.front();
    for (int tries = 1;; ++tries) {
      StatusOr<Labels> shown = client_.StatSnapshot(options_.snapshotter, layer.chain_id);
      if (shown.ok()) {
        return std::optional(*std::move(shown));
      }
      if (tries == kPrepareTries) {
        break;
      }
      ASSIGN_OR_RETURN(const Offer offer, OfferLayer(from_this_up));
      if (offer == Offer::kUnpacked) {
        taken_.pop_back();
        return std::optional<Labels>();
      }
    }
    return MakeError(StatusCode::kAborted,
                     fmt::format("snapshotter {} says that layer {} exists, but does not show it",
                                 options_.snapshotter, layer.descriptor.digest.ToString()));
  }

  /// What those that were taken are: by the topmost of them, because hardly ever two pulls bring
  /// one image at the same time.
  Status CountTaken() {
    if (taken_.empty()) {
      return OkStatus();
    }
    ASSIGN_OR_RETURN(const std::optional<Labels> topmost, SeeTopmostTaken());
    const bool is_remote = !topmost || topmost->contains(std::string(snapshot_label::kRemote));
    for (const std::span<const Layer> from_this_up : taken_) {
      // Without the label it is one that another pull has unpacked meanwhile.
      ++(!is_remote                     ? report_.present_layers
         : IsLazy(from_this_up.front()) ? report_.lazy_layers
                                        : report_.whole_layers);
    }
    return OkStatus();
  }

  Status Unpack(const Layer& layer, const std::string& key, const std::vector<Mount>& mounts,
                const std::string& part) {
    RETURN_IF_ERROR(Download(layer.descriptor, part));
    ASSIGN_OR_RETURN(const oci::Digest diff_id, client_.Apply(layer.descriptor, mounts));
    if (diff_id != layer.diff_id) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("layer {} unpacks to {}, but the configuration says {}",
                                   layer.descriptor.digest.ToString(), diff_id.ToString(),
                                   layer.diff_id.ToString()));
    }
    RETURN_IF_ERROR(
        client_.LabelContent(layer.descriptor.digest, {{kUncompressed, diff_id.ToString()}}));
    const Status committed =
        client_.CommitSnapshot(options_.snapshotter, layer.chain_id, key,
                               {{std::string(snapshot_label::kRef), layer.chain_id}});
    if (committed.code() == StatusCode::kAlreadyExists) {
      // Another pull was faster; what it unpacked is the same.
      return client_.RemoveSnapshot(options_.snapshotter, key);
    }
    return committed;
  }

  Status Download(const oci::Descriptor& layer, const std::string& part) {
    StatusOr<std::unique_ptr<Client::ContentWriter>> writer = client_.WriteContent(layer);
    if (writer.status().code() == StatusCode::kAlreadyExists) {
      return OkStatus();
    }
    RETURN_IF_ERROR(writer.status());
    ProgressSink sink(**writer, progress_, part, options_.stop);
    RETURN_IF_ERROR(source_.ReadBlob(layer, sink));
    return (*writer)->Commit(SourceLabels());
  }

  Client& client_;
  oci::ImageSource& source_;
  HeldDocuments documents_;
  const LayersOptions options_;
  Progress& progress_;
  oci::SelectedImage image_;
  Bytes config_bytes_;
  std::vector<Layer> layers_;
  bool is_above_absent_ = false;  // the layer that comes next
  /// Which layers the snapshotter has taken, each with those above it.
  std::vector<std::span<const Layer>> taken_;
  PullReport report_;
};

/// `report`; when a stop was asked for, that is the reason whatever broke off.
StatusOr<PullReport> UnlessStopped(const std::stop_token& stop, StatusOr<PullReport> report) {
  if (!report.ok() && stop.stop_requested()) {
    return MakeError(StatusCode::kCancelled, "stopped");
  }
  return report;
}

}  // namespace

Labels LabelsForBuild() {
  return {{std::string(snapshot_label::kFor), std::string(snapshot_label::kForBuild)}};
}

StatusOr<PullReport> PullImage(Client& client, oci::ImageSource& source, const PullOptions& options,
                               Progress& progress) {
  const LayersOptions layers = {
      .reference = options.reference, .snapshotter = options.snapshotter, .stop = options.stop};
  return UnlessStopped(options.stop,
                       Pull(client, source, layers, progress).BringImage(options.platform));
}

StatusOr<PullReport> PullLayers(Client& client, oci::ImageSource& source,
                                const oci::SelectedImage& image,
                                const std::vector<oci::Digest>& diff_ids,
                                const LayersOptions& options, Progress& progress) {
  return UnlessStopped(options.stop,
                       Pull(client, source, options, progress).BringLayersOf(image, diff_ids));
}

}  // namespace starling::containerd

#include "mount/image_mount.h"

#include <sys/mount.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "oci/manifest.h"
#include "oci/toc_digest.h"

namespace starling::mount {
namespace {

// mount(2) copies one page of options and cuts off the rest in silence.
constexpr size_t kMaxMountOptions = 4095;

StatusOr<LayerSpec> SpecOf(const oci::Descriptor& layer, const std::string& image,
                           const oci::Digest& manifest) {
  LayerSpec spec{.image = image,
                 .layer = layer.digest,
                 .toc = layer.digest,
                 .size_bytes = layer.size_bytes,
                 .manifest = manifest};
  const StatusOr<oci::TocDigest> toc = oci::FindTocDigest(layer.annotations);
  if (toc.ok()) {
    spec.toc = toc->digest;
    spec.toc_of = toc->of;
  } else if (toc.status().code() != StatusCode::kNotFound) {
    return Annotate(toc.status(), fmt::format("layer {}", layer.digest.ToString()));
  }
  return spec;
}

/// The first layer's error is the one to tell.
StatusOr<std::vector<MountedLayer>> MountEach(LayerHost& host,
                                              const std::vector<LayerSpec>& specs) {
  host.OpenAhead(specs);
  std::vector<MountedLayer> layers;
  for (const LayerSpec& spec : specs) {
    StatusOr<MountedLayer> layer = host.Mount(layers.size() + 1, spec);
    if (!layer.ok()) {
      return Annotate(layer.status(), fmt::format("layer {}", spec.layer.ToString()));
    }
    layers.push_back(*std::move(layer));
  }
  return layers;
}

Status MountLayers(LayerHost& host, const std::vector<MountedLayer>& layers,
                   const std::filesystem::path& directory) {
  std::vector<uint64_t> numbers;
  numbers.reserve(layers.size());
  for (const MountedLayer& layer : layers) {
    numbers.push_back(layer.number);
  }
  const std::optional<std::filesystem::path> whole =
      layers.size() == 1 ? layers.front().path : host.ShowChain(numbers);
  if (whole) {
    // Overlayfs wants two lower directories, or an upper one.
    if (::mount(whole->c_str(), directory.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      return ErrnoError(errno, fmt::format("mount {}", directory.string()));
    }
    return OkStatus();
  }
  std::string options = "lowerdir=";
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    options += layer == layers.rbegin() ? "" : ":";
    options += layer->path.string();
  }
  if (options.size() > kMaxMountOptions) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("{} layers below {} make more mount options than the kernel takes: "
                    "choose a shorter --root",
                    layers.size(), layers.front().path.parent_path().string()));
  }
  if (::mount("starling", directory.c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) {
    return ErrnoError(errno, fmt::format("mount {}", directory.string()));
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<ImageMount>> ImageMount::Start(Options options,
                                                        std::shared_ptr<oci::ImageSource> source,
                                                        FileSystem& files) {
  ASSIGN_OR_RETURN(oci::SelectedImage image, oci::SelectImage(*source, options.platform));
  if (image.manifest.layers.empty()) {
    return MakeError(StatusCode::kFailedPrecondition, "the image has no layers");
  }
  std::vector<LayerSpec> specs;
  for (const oci::Descriptor& layer : image.manifest.layers) {
    ASSIGN_OR_RETURN(LayerSpec spec, SpecOf(layer, source->Name(), image.raw_manifest.digest));
    specs.push_back(std::move(spec));
  }
  ASSIGN_OR_RETURN(
      std::unique_ptr<LayerHost> host,
      LayerHost::Start(
          {.root = std::filesystem::absolute(options.root),
           .profiles = options.profiles,
           .gzip_indexes = options.gzip_indexes,
           .fetch = options.fetch,
           .data_plane = options.data_plane},
          {.sources = [source, open = std::move(options.open_image)](
                          const std::string& name) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
             return name == source->Name() || !open ? source : open(name);
           },
           .blob_places = std::move(options.blob_places),
           .files = files,
           .recorder = std::move(options.recorder)}));
  ASSIGN_OR_RETURN(const std::vector<MountedLayer> layers, MountEach(*host, specs));
  RETURN_IF_ERROR(MountLayers(*host, layers, options.directory));
  return std::unique_ptr<ImageMount>(
      new ImageMount(std::move(image), std::move(options.directory), std::move(host)));
}

ImageMount::~ImageMount() {
  // Detached: a process that still stands in the directory must not keep the server from ending.
  ::umount2(directory_.c_str(), MNT_DETACH);
}

}  // namespace starling::mount

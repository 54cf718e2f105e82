#include <cstdio>
#include <memory>

#include "apps/starling/artifacts.h"
#include "apps/starling/commands.h"
#include "base/file_system.h"
#include "base/size_text.h"
#include "layer/gzip_index_artifact.h"
#include "layer/gzip_index_store.h"
#include "layer/layer_describer.h"

namespace starling::cli {
namespace {

using estargz::GzipLayerIndex;

struct Arguments {
  std::string image;
  std::string root = "/var/lib/starling";
  std::string platform;
  RegistryOptions registries;
};

layer::GzipIndexStore StoreOf(const Arguments& arguments) {
  return {std::filesystem::path(arguments.root) / layer::GzipIndexStore::kDirectoryName,
          RealFileSystem()};
}

/// An image and its plain layers: those of which no table of contents is promised.
struct PlainImage {
  std::shared_ptr<oci::ImageSource> source;
  oci::Descriptor subject;
  std::vector<oci::Descriptor> layers;
};

StatusOr<PlainImage> OpenImage(Toolbox& toolbox, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const oci::Platform platform, PlatformOf(arguments.platform));
  PlainImage image;
  ASSIGN_OR_RETURN(image.source, toolbox.OpenSource(arguments.image));
  ASSIGN_OR_RETURN(const oci::SelectedImage selected, oci::SelectImage(*image.source, platform));
  image.subject = SubjectOf(selected);
  image.layers = layer::PlainLayersOf(selected.manifest);
  if (image.layers.empty()) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "every layer of the image has a table of contents; nothing is to be indexed");
  }
  return image;
}

void Print(const GzipLayerIndex& index) {
  const uint64_t bytes = index.bytes().size();
  std::printf("%s\n  %s, %zu points\n  index %s\n    %s, %.2f %%\n",
              index.layer().ToString().c_str(), SizeText(index.blob_size_bytes()).c_str(),
              index.seek_index().points().size(), index.digest().ToString().c_str(),
              SizeText(bytes).c_str(),
              100.0 * static_cast<double>(bytes) / static_cast<double>(index.blob_size_bytes()));
}

Status Create(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const PlainImage image, OpenImage(*toolbox, arguments));
  layer::GzipIndexStore indexes = StoreOf(arguments);
  for (const oci::Descriptor& layer : image.layers) {
    if (const auto kept = indexes.Find(layer.digest); kept.ok()) {
      Print(*kept);
      continue;
    }
    ASSIGN_OR_RETURN(const GzipLayerIndex index, layer::DescribeLayer(*image.source, layer));
    RETURN_IF_ERROR(indexes.Add(index));
    Print(index);
  }
  return OkStatus();
}

Status Show(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const PlainImage image, OpenImage(*toolbox, arguments));
  layer::GzipIndexStore indexes = StoreOf(arguments);
  for (const oci::Descriptor& layer : image.layers) {
    ASSIGN_OR_RETURN(const GzipLayerIndex index, indexes.Find(layer.digest));
    Print(index);
  }
  return OkStatus();
}

Status Push(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<registry::Referrers> referrers,
                   toolbox->OpenReferrers(arguments.image));
  ASSIGN_OR_RETURN(const PlainImage image, OpenImage(*toolbox, arguments));
  layer::GzipIndexStore indexes = StoreOf(arguments);
  registry::Artifact artifact{.type = std::string(layer::kGzipIndexType),
                              .annotations = CreatedNow()};
  for (const oci::Descriptor& layer : image.layers) {
    ASSIGN_OR_RETURN(const GzipLayerIndex index, indexes.Find(layer.digest));
    artifact.parts.push_back({.content = Bytes(index.bytes().begin(), index.bytes().end()),
                              .annotations = {{std::string(layer::kGzipIndexLayerAnnotation),
                                               layer.digest.ToString()}}});
  }
  ASSIGN_OR_RETURN(const oci::Descriptor attached, referrers->Attach(image.subject, artifact));
  std::printf("%s\n", attached.digest.ToString().c_str());
  return OkStatus();
}

/// Who pulls trusts whoever pushed: from now on the layers are shown as the indexes say.
Status Pull(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<registry::Referrers> referrers,
                   toolbox->OpenReferrers(arguments.image));
  ASSIGN_OR_RETURN(const PlainImage image, OpenImage(*toolbox, arguments));
  ASSIGN_OR_RETURN(registry::Artifact artifact,
                   referrers->ReadNewest(image.subject.digest, layer::kGzipIndexType,
                                         layer::kMaxGzipIndexArtifactBytes));
  layer::GzipIndexStore indexes = StoreOf(arguments);
  ASSIGN_OR_RETURN(const std::vector<GzipLayerIndex> read,
                   layer::ReadGzipIndexes(registry::ContentsOf(std::move(artifact)), image.layers));
  for (const GzipLayerIndex& index : read) {
    RETURN_IF_ERROR(indexes.Add(index));
    Print(index);
  }
  return OkStatus();
}

}  // namespace

void AddIndex(CLI::App& app, Run& chosen) {
  CLI::App& index = *app.add_subcommand(
      "index",
      "Indexes of plain gzip layers, by which this machine reads them in parts without a "
      "conversion");
  index.require_subcommand(1);
  const auto add = [&](const char* name, const char* description,
                       Status (*run)(const Arguments&)) -> CLI::App& {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App& command = *index.add_subcommand(name, description);
    command.add_option("IMAGE", arguments->image)->required();
    command
        .add_option("--root", arguments->root, "Its gzip-indexes/ keeps what this machine trusts")
        ->capture_default_str();
    command.add_option("--platform", arguments->platform, "Of an index, such as linux/arm64");
    AddRegistryOptions(command, arguments->registries);
    command.callback(
        [arguments, run, &chosen] { chosen = [arguments, run] { return run(*arguments); }; });
    return command;
  };
  add("create", "Read an image's plain gzip layers once and keep their indexes", Create)
      .footer(
          "Example: starling index create ghcr.io/me/app:1 && starling mount ghcr.io/me/app:1 "
          "/mnt/app");
  add("show", "Show what is kept of an image", Show);
  add("push", "Attach the kept indexes to the image in its registry", Push);
  add("pull", "Fetch the newest indexes of an image, and trust whoever attached them", Pull);
}

}  // namespace starling::cli

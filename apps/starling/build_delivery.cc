#include "apps/starling/build_delivery.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "apps/starling/image_checks.h"
#include "base/file_system.h"
#include "base/io.h"
#include "base/size_text.h"
#include "copy/copy.h"
#include "diff/upper_tar.h"
#include "dockerfile/files/copy.h"

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace plan = dockerfile::plan;

/// The layers below the own ones that other repositories of `registry` have.
std::vector<copy::MountsAhead::Blob> LayersOfBases(build::BaseImages& images,
                                                   const std::vector<PlatformBuild>& builds,
                                                   std::string_view registry) {
  std::vector<copy::MountsAhead::Blob> blobs;
  for (const PlatformBuild& one : builds) {
    const plan::NodeId bottom = BottomOf(one.plan.graph, one.plan.root);
    const auto* source = std::get_if<plan::ImageSource>(&one.plan.graph.nodes[bottom].operation);
    const auto image = source == nullptr ? nullptr : images.Find(*source).value_or(nullptr);
    if (image == nullptr || !image->reference || image->reference->domain() != registry) {
      continue;
    }
    for (const oci::Descriptor& layer : image->selected.manifest.layers) {
      blobs.push_back({.descriptor = layer,
                       .origins = {{.registry = std::string(registry),
                                    .repository = image->reference->repository()}}});
    }
  }
  return blobs;
}

}  // namespace

Status BuildDelivery::WriteTrees(build::Builder& builder, const PlatformBuild& one) const {
  for (const BuildOutput& output : request_.outputs) {
    if (output.type != BuildOutput::Type::kLocal && output.type != BuildOutput::Type::kTar) {
      continue;
    }
    RETURN_IF_ERROR(builder.Look(one.tree, [&](const std::filesystem::path& root) {
      return output.type == BuildOutput::Type::kLocal ? WriteDirectory(output, one, root)
                                                      : WriteTar(output, root);
    }));
  }
  return OkStatus();
}

Status BuildDelivery::WriteDirectory(const BuildOutput& output, const PlatformBuild& one,
                                     const std::filesystem::path& root) const {
  std::filesystem::path directory = output.destination;
  if (request_.platforms.size() > 1) {
    std::string name = one.plan.platform.ToString();
    std::replace(name.begin(), name.end(), '/', '_');
    directory /= name;
  }
  RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  dockerfile::files::CopyRequest request;
  request.sources.emplace_back().root = root;
  request.destination = "/";
  return dockerfile::files::CopyFiles(request, directory, stop_).status();
}

Status BuildDelivery::WriteTar(const BuildOutput& output, const std::filesystem::path& root) const {
  diff::UpperTarOptions options;
  options.latest_modified_seconds = request_.build.source_date_epoch;
  ASSIGN_OR_RETURN(const auto tar, diff::UpperTar::Open(root, std::move(options)));
  UniqueFd file;
  if (output.destination != kStandardStream) {
    ASSIGN_OR_RETURN(file,
                     RealFileSystem().Open(output.destination, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  }
  FdSink sink(file.valid() ? file.get() : STDOUT_FILENO);
  return CopyAll(*tar, sink).status();
}

Status BuildDelivery::Deliver(build::BaseImages& bases, const std::vector<PlatformBuild>& builds) {
  std::vector<build::BuiltImage> images;
  images.reserve(builds.size());
  for (const PlatformBuild& one : builds) {
    images.push_back(one.image);
  }
  std::optional<oci::RawManifest> index;
  if (images.size() > 1 || request_.provenance) {
    index = build::DescribeIndex(images, request_.annotations);
  }
  const std::unique_ptr<oci::ImageSource> source = build::OpenImage(client_, bases, images, index);
  const oci::Digest digest = index ? index->digest : images.front().manifest.digest;
  std::vector<std::string> names;
  for (const BuildOutput& output : request_.outputs) {
    if (output.type == BuildOutput::Type::kImage) {
      for (const std::string& name : output.names) {
        ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(name));
        // Neither waits for the other: one is containerd's disk, the other round trips.
        std::future<Status> stored = std::async(std::launch::async, [&] {
          return build::StoreImage(client_, arguments_.snapshotter, reference.ToString(), images,
                                   index);
        });
        const Status sent = output.push ? Send(*source, reference.ToString()) : OkStatus();
        RETURN_IF_ERROR(stored.get());
        RETURN_IF_ERROR(sent);
        names.push_back(reference.ToString());
      }
    } else if (output.type == BuildOutput::Type::kOci) {
      RETURN_IF_ERROR(Send(*source, LayoutName(output)));
    }
  }
  return Report(builds, digest, names);
}

std::string BuildDelivery::LayoutName(const BuildOutput& output) const {
  std::string name = (output.as_directory ? "oci:" : "oci-archive:") + output.destination;
  const std::vector<std::string>& names = output.names.empty() ? arguments_.tags : output.names;
  if (!names.empty()) {
    if (const auto reference = oci::Reference::Parse(names.front());
        reference.ok() && !reference->tag().empty()) {
      name += ":" + reference->tag();
    }
  }
  return name;
}

void BuildDelivery::MountBasesAhead(build::BaseImages& images,
                                    const std::vector<PlatformBuild>& builds) {
  for (const BuildOutput& output : request_.outputs) {
    if (output.type != BuildOutput::Type::kImage || !output.push || request_.force_compression) {
      continue;
    }
    for (const std::string& name : output.names) {
      const auto reference = oci::Reference::Parse(name);
      auto blobs = reference.ok() ? LayersOfBases(images, builds, reference->domain())
                                  : std::vector<copy::MountsAhead::Blob>();
      if (blobs.empty()) {
        continue;
      }
      if (auto destination = toolbox_.OpenDestination(reference->ToString()); destination.ok()) {
        mounts_ahead_[reference->ToString()] =
            std::make_unique<copy::MountsAhead>(*std::move(destination), std::move(blobs));
      }
    }
  }
}

Status BuildDelivery::Send(oci::ImageSource& source, const std::string& destination_name) {
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageDestination> destination,
                   toolbox_.OpenDestination(destination_name));
  copy::CopyOptions options;
  if (const auto ahead = mounts_ahead_.find(destination_name); ahead != mounts_ahead_.end()) {
    options.mounted = ahead->second->Finish();
  }
  NoProgress progress;
  ASSIGN_OR_RETURN(const copy::CopyReport report,
                   copy::CopyImage(source, *destination, options, progress));
  if (!arguments_.quiet) {
    std::fprintf(stderr, "%s: %zu blobs sent (%s), %zu mounted, %zu there already\n",
                 destination_name.c_str(), report.sent_blobs, SizeText(report.sent_bytes).c_str(),
                 report.mounted_blobs, report.present_blobs);
  }
  return OkStatus();
}

Status BuildDelivery::Report(const std::vector<PlatformBuild>& builds, const oci::Digest& digest,
                             const std::vector<std::string>& names) const {
  const oci::Digest& config = builds.front().image.parsed.config.digest;
  if (!arguments_.image_id_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), arguments_.image_id_file,
                                        AsBytes(digest.ToString()), 0644));
  }
  nlohmann::ordered_json metadata = {{"containerimage.digest", digest.ToString()},
                                     {"containerimage.config.digest", config.ToString()},
                                     {"image.name", fmt::format("{}", fmt::join(names, ","))}};
  for (const PlatformBuild& one : builds) {
    if (request_.provenance) {
      metadata[builds.size() == 1 ? "buildx.build.provenance"
                                  : "buildx.build.provenance/" + one.plan.platform.ToString()] =
          nlohmann::ordered_json::parse(one.provenance);
    }
  }
  if (!arguments_.metadata_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), arguments_.metadata_file,
                                        AsBytes(metadata.dump(2) + "\n"), 0644));
  }
  if (WritesToStandardOutput() || arguments_.run) {
    return OkStatus();
  }
  if (arguments_.json) {
    std::printf("%s\n", metadata.dump(2).c_str());
  } else {
    std::printf("%s\n", digest.ToString().c_str());
  }
  return OkStatus();
}

bool BuildDelivery::WritesToStandardOutput() const {
  return std::any_of(
      request_.outputs.begin(), request_.outputs.end(), [](const BuildOutput& output) {
        return output.type == BuildOutput::Type::kTar && output.destination == kStandardStream;
      });
}

}  // namespace starling::cli

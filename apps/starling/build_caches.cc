#include "apps/starling/build_caches.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "dockerfile/build/cache_mount_layers.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/build/result_cache.h"

namespace starling::cli {

namespace build = dockerfile::build;

std::vector<std::shared_ptr<build::CacheImport>> BuildCaches::Open(
    build::BaseImages& images) const {
  std::vector<std::shared_ptr<build::CacheImport>> caches;
  for (const BuildCache& cache : request_.cache_from) {
    const auto open = [&]() -> StatusOr<std::shared_ptr<build::CacheImport>> {
      ASSIGN_OR_RETURN(std::shared_ptr<oci::ImageSource> source, toolbox_.OpenSource(cache.image));
      std::optional<oci::Reference> reference;
      if (cache.type == BuildCache::Type::kRegistry) {
        ASSIGN_OR_RETURN(reference, oci::Reference::Parse(cache.image));
      }
      return build::CacheImport::Open(std::move(source), std::move(reference), images);
    };
    auto opened = open();
    if (opened.ok()) {
      caches.push_back(*std::move(opened));
    } else {
      std::fprintf(stderr, "starling build: --cache-from %s is not used: %s\n", cache.image.c_str(),
                   Describe(opened.status()).c_str());
    }
  }
  return caches;
}

Status BuildCaches::Export(build::BaseImages& bases, const std::vector<PlatformBuild>& builds,
                           const SendImage& send) const {
  size_t number = 0;
  for (const BuildCache& cache : request_.cache_to) {
    if (cache.type == BuildCache::Type::kInline) {
      continue;
    }
    const Status exported = ExportOne(cache, number++, bases, builds, send);
    if (!exported.ok() && !cache.may_fail) {
      return Annotate(exported, fmt::format("--cache-to {}", cache.image));
    }
    if (!exported.ok()) {
      std::fprintf(stderr, "starling build: --cache-to %s: %s\n", cache.image.c_str(),
                   Describe(exported).c_str());
    }
  }
  return OkStatus();
}

Status BuildCaches::ExportOne(const BuildCache& cache, size_t number, build::BaseImages& bases,
                              const std::vector<PlatformBuild>& builds,
                              const SendImage& send) const {
  std::vector<build::BuiltImage> images;
  for (const PlatformBuild& one : builds) {
    ASSIGN_OR_RETURN(std::vector<build::BuiltImage> of_platform,
                     build::DescribeCache(one.results[number], one.plan.platform));
    std::ranges::move(of_platform, std::back_inserter(images));
  }
  if (cache.mounts) {
    RETURN_IF_ERROR(AddCacheMounts(cache, builds, images));
  }
  if (images.empty()) {
    std::fprintf(stderr, "starling build: --cache-to %s: there are no steps to keep\n",
                 cache.image.c_str());
    return OkStatus();
  }
  const std::optional<oci::RawManifest> index = build::DescribeIndex(images, {});
  const std::unique_ptr<oci::ImageSource> source = build::OpenImage(client_, bases, images, index);
  return send(*source, cache.image);
}

Status BuildCaches::AddCacheMounts(const BuildCache& cache,
                                   const std::vector<PlatformBuild>& builds,
                                   std::vector<build::BuiltImage>& images) const {
  std::set<std::string> ids;
  for (const PlatformBuild& one : builds) {
    ids.merge(build::CacheMountsOf(one.plan.graph, one.plan.root));
  }
  const build::CacheMounts mounts(build::RunSteps::CacheMountsIn(arguments_.state_directory));
  ASSIGN_OR_RETURN(build::StoredCacheMounts stored,
                   build::StoreCacheMounts(client_, mounts, ids, request_.build.format.threads,
                                           builds.front().plan.platform));
  for (const std::string& id : stored.changing) {
    std::fprintf(stderr,
                 "starling build: --cache-to %s: cache mount %s is left out: another build is "
                 "writing to it\n",
                 cache.image.c_str(), id.c_str());
  }
  if (stored.image) {
    images.push_back(*std::move(stored.image));
  }
  return OkStatus();
}

}  // namespace starling::cli

#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/starling/build_request.h"
#include "apps/starling/build_run.h"
#include "apps/starling/platform_build.h"
#include "apps/starling/toolbox.h"
#include "containerd/client.h"
#include "dockerfile/build/cache_image.h"

namespace starling::cli {

/// --cache-from and --cache-to of one build. Threads: one.
class BuildCaches {
 public:
  /// Borrows all of them.
  BuildCaches(const BuildArguments& arguments, const BuildRequest& request, Toolbox& toolbox,
              containerd::Client& client)
      : arguments_(arguments), request_(request), toolbox_(toolbox), client_(client) {}

  /// Those that can be read. One that cannot is told on standard error, and is none: the first
  /// build on a branch has none.
  std::vector<std::shared_ptr<dockerfile::build::CacheImport>> Open(
      dockerfile::build::BaseImages& images) const;

  /// Sends an image to what a name stands for.
  using SendImage = std::function<Status(oci::ImageSource&, const std::string& destination_name)>;
  /// What `builds` have made, of all platforms, in one index for each cache. Errors: of those that
  /// must not fail.
  Status Export(dockerfile::build::BaseImages& bases, const std::vector<PlatformBuild>& builds,
                const SendImage& send) const;

 private:
  Status ExportOne(const BuildCache& cache, size_t number, dockerfile::build::BaseImages& bases,
                   const std::vector<PlatformBuild>& builds, const SendImage& send) const;
  Status AddCacheMounts(const BuildCache& cache, const std::vector<PlatformBuild>& builds,
                        std::vector<dockerfile::build::BuiltImage>& images) const;

  const BuildArguments& arguments_;
  const BuildRequest& request_;
  Toolbox& toolbox_;
  containerd::Client& client_;
};

}  // namespace starling::cli

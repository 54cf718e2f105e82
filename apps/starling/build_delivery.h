#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "apps/starling/build_request.h"
#include "apps/starling/build_run.h"
#include "apps/starling/platform_build.h"
#include "apps/starling/toolbox.h"
#include "containerd/client.h"
#include "copy/mounts_ahead.h"

namespace starling::cli {

/// Brings what a build has made to where --output, --push, --iidfile and --metadata-file want it.
/// Threads: one.
class BuildDelivery {
 public:
  /// Borrows all but the token, which ends what is written for long.
  BuildDelivery(const BuildArguments& arguments, const BuildRequest& request, Toolbox& toolbox,
                containerd::Client& client, std::stop_token stop)
      : arguments_(arguments),
        request_(request),
        toolbox_(toolbox),
        client_(client),
        stop_(std::move(stop)) {}

  /// Lets the registries of pushes take the layers of bases while steps run.
  void MountBasesAhead(dockerfile::build::BaseImages& images,
                       const std::vector<PlatformBuild>& builds);
  /// Outputs that are files rather than an image. `builder` has built `one`.
  Status WriteTrees(dockerfile::build::Builder& builder, const PlatformBuild& one) const;
  /// Images to containerd, registries and layouts; then their digest to files and standard output.
  Status Deliver(dockerfile::build::BaseImages& bases, const std::vector<PlatformBuild>& builds);
  /// One image to what `destination_name` stands for, with a line about it.
  Status Send(oci::ImageSource& source, const std::string& destination_name);

 private:
  Status WriteDirectory(const BuildOutput& output, const PlatformBuild& one,
                        const std::filesystem::path& root) const;
  Status WriteTar(const BuildOutput& output, const std::filesystem::path& root) const;
  std::string LayoutName(const BuildOutput& output) const;
  Status Report(const std::vector<PlatformBuild>& builds, const oci::Digest& digest,
                const std::vector<std::string>& names) const;
  bool WritesToStandardOutput() const;

  const BuildArguments& arguments_;
  const BuildRequest& request_;
  Toolbox& toolbox_;
  containerd::Client& client_;
  const std::stop_token stop_;
  /// By the name of what is pushed.
  std::map<std::string, std::unique_ptr<copy::MountsAhead>> mounts_ahead_;
};

}  // namespace starling::cli

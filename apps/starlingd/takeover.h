#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "config/settings.h"
#include "keeper/descriptors.h"
#include "mount/layer_host.h"

namespace starling {

/// What a server finds when it starts: nothing, a socket of the service manager, or all that an
/// earlier server left.
struct Takeover {
  UniqueFd listener;                    // of the service manager, or the earlier server's
  std::filesystem::path listener_path;  // that server's; empty for the service manager's
  UniqueFd images;                      // the listener of the CRI's image service, or none
  std::filesystem::path images_path;
  UniqueFd pulled_credentials;  // memory of what pulls brought, or none
  UniqueFd root_lock;           // with `handover`
  std::optional<mount::Handover> handover;
};

/// Reads what the keeper has. kDataLoss for what no server of this version left;
/// kFailedPrecondition when the settings of a restart in place cannot be those: another root, or
/// another address.
StatusOr<Takeover> TakeoverOf(std::vector<keeper::Kept> kept, const config::Settings& settings);

/// The same for the keeper. `listener` and `root_lock` are copied; of the service manager's
/// listener the path is empty.
StatusOr<std::vector<keeper::Kept>> KeptOf(mount::Handover handover, int listener,
                                           const std::filesystem::path& listener_path,
                                           int root_lock, const config::Settings& settings);

/// The CRI's image service, for the keeper. The descriptor is copied.
Status KeepImages(std::vector<keeper::Kept>& kept, int listener,
                  const std::filesystem::path& listener_path);
/// The memory of what pulls brought, for the keeper. The descriptor is copied.
Status KeepPulled(std::vector<keeper::Kept>& kept, int pulled_credentials);

}  // namespace starling

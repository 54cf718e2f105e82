#include "apps/starlingd/takeover.h"

#include <string>
#include <utility>

#include "base/copy_fd.h"
#include "keeper/keeper.h"

namespace starling {
namespace {

using keeper::Kept;

// Each name means what it means for keeper::kWireVersion.
constexpr std::string_view kRootLock = "root-lock";      // value: the root
constexpr std::string_view kStoreLock = "store-lock";    // value: how layers are shown
constexpr std::string_view kPlainDevice = "fuse-plain";  // value: the raw FUSE_INIT
constexpr std::string_view kXattrsDevice = "fuse-xattrs";

constexpr std::string_view kImages = "cri-images";             // value: the socket's path
constexpr std::string_view kPulledCredentials = "cri-pulled";  // a file in memory

constexpr std::string_view kTree = "tree";
constexpr std::string_view kErofs = "erofs";
constexpr std::string_view kErofsThatReplaces = "erofs, replacing";

std::string_view ShownAs(const mount::Handover& handover) {
  if (handover.plane == mount::DataPlane::kTree) {
    return kTree;
  }
  return handover.can_replace ? kErofsThatReplaces : kErofs;
}

StatusOr<Kept*> Require(std::vector<Kept>& kept, std::string_view name) {
  Kept* found = keeper::FindKept(kept, name);
  if (found == nullptr) {
    return MakeError(StatusCode::kDataLoss, fmt::format("kept state: no {}", name));
  }
  return found;
}

Status CheckSame(std::string_view what, std::string_view kept, std::string_view now) {
  if (kept != now) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("the {} is {} and cannot become {} while layers are mounted: stop "
                                 "starlingd and start it anew",
                                 what, kept, now));
  }
  return OkStatus();
}

}  // namespace

StatusOr<Takeover> TakeoverOf(std::vector<Kept> kept, const config::Settings& settings) {
  Takeover takeover;
  if (Kept* listener = keeper::FindKept(kept, keeper::kListenerName)) {
    takeover.listener = std::move(listener->fd);
    takeover.listener_path = AsText(listener->value);
  }
  if (Kept* images = keeper::FindKept(kept, kImages)) {
    takeover.images = std::move(images->fd);
    takeover.images_path = AsText(images->value);
  }
  if (Kept* pulled = keeper::FindKept(kept, kPulledCredentials)) {
    takeover.pulled_credentials = std::move(pulled->fd);
  }
  if (keeper::FindKept(kept, kRootLock) == nullptr) {
    return takeover;
  }
  ASSIGN_OR_RETURN(Kept* const root, Require(kept, kRootLock));
  ASSIGN_OR_RETURN(Kept* const store, Require(kept, kStoreLock));
  ASSIGN_OR_RETURN(Kept* const plain, Require(kept, kPlainDevice));
  ASSIGN_OR_RETURN(Kept* const xattrs, Require(kept, kXattrsDevice));
  RETURN_IF_ERROR(CheckSame("root", AsText(root->value), settings.root));
  if (!takeover.listener_path.empty()) {
    RETURN_IF_ERROR(CheckSame("address", takeover.listener_path.native(), settings.address));
  }
  const std::string_view shown_as = AsText(store->value);
  if (shown_as != kTree && shown_as != kErofs && shown_as != kErofsThatReplaces) {
    return MakeError(StatusCode::kDataLoss, "kept state: layers are shown in an unknown way");
  }
  takeover.root_lock = std::move(root->fd);
  takeover.handover = mount::Handover{
      .store_lock = std::move(store->fd),
      .plain = {.fd = std::move(plain->fd), .init_request = std::move(plain->value)},
      .with_xattrs = {.fd = std::move(xattrs->fd), .init_request = std::move(xattrs->value)},
      .plane = shown_as == kTree ? mount::DataPlane::kTree : mount::DataPlane::kErofs,
      .can_replace = shown_as == kErofsThatReplaces};
  return takeover;
}

StatusOr<std::vector<Kept>> KeptOf(mount::Handover handover, int listener,
                                   const std::filesystem::path& listener_path, int root_lock,
                                   const config::Settings& settings) {
  ASSIGN_OR_RETURN(UniqueFd listener_copy, CopyFd(listener));
  ASSIGN_OR_RETURN(UniqueFd lock_copy, CopyFd(root_lock));
  const Bytes shown_as = ToBytes(ShownAs(handover));
  std::vector<Kept> kept;
  kept.push_back({.name = std::string(keeper::kListenerName),
                  .value = ToBytes(listener_path.native()),
                  .fd = std::move(listener_copy)});
  kept.push_back({.name = std::string(kRootLock),
                  .value = ToBytes(settings.root),
                  .fd = std::move(lock_copy)});
  kept.push_back(
      {.name = std::string(kStoreLock), .value = shown_as, .fd = std::move(handover.store_lock)});
  kept.push_back({.name = std::string(kPlainDevice),
                  .value = std::move(handover.plain.init_request),
                  .fd = std::move(handover.plain.fd)});
  kept.push_back({.name = std::string(kXattrsDevice),
                  .value = std::move(handover.with_xattrs.init_request),
                  .fd = std::move(handover.with_xattrs.fd)});
  return kept;
}

Status KeepImages(std::vector<Kept>& kept, int listener,
                  const std::filesystem::path& listener_path) {
  ASSIGN_OR_RETURN(UniqueFd listener_copy, CopyFd(listener));
  kept.push_back({.name = std::string(kImages),
                  .value = ToBytes(listener_path.native()),
                  .fd = std::move(listener_copy)});
  return OkStatus();
}

Status KeepPulled(std::vector<Kept>& kept, int pulled_credentials) {
  ASSIGN_OR_RETURN(UniqueFd memory_copy, CopyFd(pulled_credentials));
  kept.push_back(
      {.name = std::string(kPulledCredentials), .value = {}, .fd = std::move(memory_copy)});
  return OkStatus();
}

}  // namespace starling

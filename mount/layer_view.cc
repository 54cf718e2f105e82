#include "mount/layer_view.h"

#include "base/file_system.h"

namespace starling::mount {

Status LayerView::Start(const Settings& settings) {
  RETURN_IF_ERROR(MakeDirectories(path_, 0755));
  ASSIGN_OR_RETURN(session_, fuse::Session::Mount(OptionsOf(settings), operations_));
  return OkStatus();
}

Status LayerView::Adopt(const Settings& settings, fuse::Session::Device device) {
  ASSIGN_OR_RETURN(session_,
                   fuse::Session::Adopt(OptionsOf(settings), operations_, std::move(device)));
  return OkStatus();
}

Status LayerView::Release() { return session_ ? session_->Release().status() : OkStatus(); }

}  // namespace starling::mount

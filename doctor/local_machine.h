#pragma once

#include <string>

#include "doctor/machine.h"

namespace starling::doctor {

/// This machine, as far as its kernel and its files tell. What is tried is gone again at once:
/// mounts that are attached nowhere, and directories that are removed.
class LocalMachine : public Machine {
 public:
  bool IsRoot() override;
  std::string KernelRelease() override;
  Status HasFileSystem(const std::string& name) override;
  Status OpenFuseDevice() override;
  StatusOr<Volume> VolumeAt(const std::string& path) override;
  Status OverlayAt(const std::string& path) override;
  bool SharesBlocksAt(const std::string& path) override;
  bool MapsIdsAt(const std::string& path) override;
  StatusOr<bool> ShareMounts(const std::string& socket, const std::string& other) override;
};

}  // namespace starling::doctor

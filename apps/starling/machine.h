/// The machine on which `starling doctor` and `starling setup` run, with the services that answer.
#pragma once

#include "doctor/local_machine.h"

namespace starling::cli {

class ThisMachine : public doctor::LocalMachine {
 public:
  StatusOr<doctor::RunningContainerd> AskContainerd(const std::string& socket) override;
  StatusOr<std::string> InstalledContainerd() override;
  Status AskStarlingd(const std::string& socket) override;
  Status ReadImage(const std::string& image, const config::Settings& settings) override;
};

}  // namespace starling::cli

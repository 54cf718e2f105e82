#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/temp_dir.h"

namespace starling::credentials {

/// A directory of files, first in PATH, for programs that pretend to be credential helpers.
class HelperPrograms : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const auto path = directory_->path() / name;
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  void WriteHelper(const std::string& name, const std::string& script) {
    Write("docker-credential-" + name, "#!/bin/sh\n" + script + "\n", 0700);
  }
  void SetUp() override {
    ASSERT_TRUE(directory_.ok());
    old_path_ = std::getenv("PATH");
    ::setenv("PATH", (directory_->path().string() + ":" + old_path_).c_str(), 1);
  }
  void TearDown() override { ::setenv("PATH", old_path_.c_str(), 1); }

  StatusOr<TempDir> directory_ = TempDir::Make("/tmp", "starling-docker-config-");
  std::string old_path_;
};

}  // namespace starling::credentials

#include "doctor/plan_setup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file_system.h"
#include "doctor/examine.h"
#include "setup/kept_file.h"
#include "tests/support/planted_machine.h"

namespace starling::doctor {
namespace {

using testing_support::PlantedMachine;

constexpr const char* kContainerd = "/etc/containerd/config.toml";

class PlanSetupTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root: owners of files are examined";
    }
  }
  std::vector<setup::FilePlan> Plan(Client client) {
    auto plans = PlanSetup(Host(machine_.root(), machine_, machine_.places), client);
    EXPECT_TRUE(plans.ok()) << plans.status();
    return plans.ok() ? *std::move(plans) : std::vector<setup::FilePlan>();
  }
  setup::KeptFile Kept(const std::string& path, Client client) {
    return {RealFileSystem(), machine_.On(path), std::string(NameOf(client))};
  }
  void Apply(Client client) {
    for (const setup::FilePlan& plan : Plan(client)) {
      const Status written =
          Kept(plan.path, client).Write(setup::Edited(plan.text, plan.plan.AllEdits()));
      ASSERT_TRUE(written.ok()) << written;
    }
  }
  void Undo(Client client) {
    for (const std::string& path :
         FilesOfSetup(Host(machine_.root(), machine_, machine_.places), client)) {
      const Status undone = Kept(path, client).Restore();
      ASSERT_TRUE(undone.ok() || undone.code() == StatusCode::kNotFound) << undone;
    }
  }

  PlantedMachine machine_;
};

TEST_F(PlanSetupTest, NothingIsPlannedWhereNothingIsMissing) {
  machine_.no_mapped_ids_at.insert("/var/lib/starling");
  machine_.Change(kContainerd, "exports]", "exports]\n      root = \"/var/lib/starling\"");
  for (const Client client : {Client::kContainerd, Client::kNerdctl, Client::kCri}) {
    EXPECT_TRUE(Plan(client).empty()) << NameOf(client);
  }
}

TEST_F(PlanSetupTest, WhatIsAppliedCuresAndIsUndoneByteForByte) {
  struct Case {
    const char* name;
    const char* containerd;  // version
    std::string text;
    Client client;
  };
  const Case cases[] = {
      {"containerd 2.3, nothing yet", "2.3.4", "", Client::kContainerd},
      {"containerd 2.3, an old file", "2.3.4", "version = 2\n# mine\n[debug]\n  level = \"info\"",
       Client::kContainerd},
      {"pods of 2.3", "2.3.4", "version = 3\r\n[debug]\r\n  level = \"info\"\r\n", Client::kCri},
      {"pods of 2.3 with its last version", "2.3.4", "version = 4\nimports = []\n", Client::kCri},
      {"pods of 1.7", "1.7.27",
       "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = "
       "\"pause\"\n    [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n      # the default\n   "
       " "
       "  snapshotter = \"overlayfs\"\n[proxy_plugins]\n",
       Client::kCri},
      {"containerd 1.6", "1.6.20~ds1", "version = 2\n", Client::kContainerd},
      {"nerdctl", "2.3.4", "", Client::kNerdctl},
      {"k3s", "2.1.5", "", Client::kK3s},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    PlantedMachine fresh;
    machine_ = std::move(fresh);
    machine_.containerd_program = c.containerd;
    machine_.places.clients = std::set{Client::kContainerd, c.client};
    if (c.client == Client::kK3s) {
      std::filesystem::create_directories(machine_.On("/etc/rancher/k3s"));
      machine_.places.clients = std::set{Client::kK3s};
    }
    if (c.client == Client::kNerdctl) {
      machine_.Put("/etc/nerdctl/nerdctl.toml", "");
    } else if (c.text.empty()) {
      std::filesystem::remove(machine_.On(kContainerd));
    } else {
      machine_.Put(kContainerd, c.text);
    }
    machine_.Start();
    const std::string before = machine_.Everything();
    EXPECT_FALSE(machine_.Examine().empty());
    Apply(c.client);
    machine_.Start();
    EXPECT_EQ(AsText(machine_.Examine(), true),
              std::to_string(Checks().size()) + " checks, nothing found\n");
    EXPECT_TRUE(Plan(c.client).empty());
    EXPECT_NE(machine_.Everything(), before);
    Undo(c.client);
    EXPECT_EQ(machine_.Everything(), before);
  }
}

TEST_F(PlanSetupTest, AnOldK3sIsRefused) {
  std::filesystem::create_directories(machine_.On("/etc/rancher/k3s"));
  machine_.containerd_program = "1.7.27-k3s1";
  machine_.Start();
  const auto plans = PlanSetup(Host(machine_.root(), machine_, machine_.places), Client::kK3s);
  EXPECT_EQ(plans.status().code(), StatusCode::kFailedPrecondition);
}

TEST(ClientNamed, KnowsFour) {
  for (const Client client : {Client::kContainerd, Client::kNerdctl, Client::kCri, Client::kK3s}) {
    EXPECT_EQ(ClientNamed(NameOf(client)), client);
  }
  EXPECT_EQ(ClientNamed("docker"), std::nullopt);
}

}  // namespace
}  // namespace starling::doctor

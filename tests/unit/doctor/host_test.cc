#include "doctor/host.h"

#include <gtest/gtest.h>

#include "tests/support/planted_machine.h"

namespace starling::doctor {
namespace {

using testing_support::PlantedMachine;

TEST(Host, KnowsTheKernel) {
  PlantedMachine machine;
  const struct {
    const char* release;
    std::pair<int, int> kernel;
    bool maps_ids;
  } cases[] = {{"6.18.44-fc", {6, 18}, true},
               {"6.12", {6, 12}, true},
               {"6.1.0-40-amd64", {6, 1}, false},
               {"7.0-rc1", {7, 0}, true},
               {"", {0, 0}, false}};
  for (const auto& c : cases) {
    machine.kernel = c.release;
    const Host host(machine.root(), machine, {});
    EXPECT_EQ(host.kernel(), c.kernel) << c.release;
    EXPECT_EQ(host.maps_ids(), c.maps_ids) << c.release;
  }
}

TEST(Host, FindsWhoPulls) {
  PlantedMachine machine;
  const Host all(machine.root(), machine, {});
  EXPECT_TRUE(all.Uses(Client::kContainerd));
  EXPECT_TRUE(all.Uses(Client::kNerdctl));
  EXPECT_TRUE(all.Uses(Client::kCri));
  EXPECT_FALSE(all.Uses(Client::kK3s));
  std::filesystem::create_directories(machine.On("/etc/rancher/k3s"));
  const Host k3s(machine.root(), machine, {});
  EXPECT_TRUE(k3s.Uses(Client::kK3s));
  EXPECT_FALSE(k3s.Uses(Client::kContainerd));
  EXPECT_EQ(k3s.containerd_socket(), "/run/k3s/containerd/containerd.sock");
}

TEST(Host, TakesContainerdsVersionFromWhoKnowsIt) {
  PlantedMachine machine;
  machine.containerd_program = "2.0.1";
  machine.Start();
  EXPECT_EQ(Host(machine.root(), machine, {}).containerd_version(),
            (setup::ContainerdVersion{2, 0}));
  machine.StopContainerd();
  machine.containerd_program = "1.7.2";
  EXPECT_EQ(Host(machine.root(), machine, {}).containerd_version(),
            (setup::ContainerdVersion{1, 7}));
  // Nobody knows: what its file is for.
  machine.containerd_program = "?";
  EXPECT_EQ(Host(machine.root(), machine, {}).containerd_version(),
            (setup::ContainerdVersion{2, 1}));
  machine.Put("/etc/containerd/config.toml", "version = 2\n");
  EXPECT_EQ(Host(machine.root(), machine, {}).containerd_version(),
            (setup::ContainerdVersion{1, 7}));
}

TEST(Host, FilesHaveALimit) {
  PlantedMachine machine;
  machine.Put("/etc/starling/config.toml", std::string((1 << 20) + 1, '\n'));
  const Host host(machine.root(), machine, {});
  EXPECT_EQ(host.settings_status().code(), StatusCode::kResourceExhausted);
  machine.Put("/etc/containerd/config.toml", std::string((1 << 20) + 1, '\n'));
  EXPECT_EQ(Host(machine.root(), machine, {}).containerd_config(), nullptr);
}

TEST(LineOf, ReadsThePlaceOfAnError) {
  const Status status = MakeError(StatusCode::kInvalidArgument, "/a/b.toml:12:3: what");
  EXPECT_EQ(LineOf(status, "/a/b.toml"), 12U);
  EXPECT_EQ(LineOf(status, "/a/c.toml"), 0U);
  EXPECT_EQ(LineOf(OkStatus(), "/a/b.toml"), 0U);
}

}  // namespace
}  // namespace starling::doctor

#include "fuse/container_of.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace starling::fuse {
namespace {

TEST(ContainerInTest, KnowsHowEnginesCallTheirCgroups) {
  const std::string id(64, 'a');
  const struct {
    const char* name;
    std::string cgroup;
    std::string want;
  } cases[] = {
      {"containerd", "0::/default/c1\n", "c1"},
      {"containerd, version 1", "9:name=systemd:/default/c1\n8:pids:/default/c1\n0::/\n", "c1"},
      {"CRI with systemd",
       "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n", id},
      {"CRI without", "0::/kubepods/burstable/pod1/" + id + "\n", id},
      {"seen from another cgroup", "0::/../../kubepods/pod1/cri-containerd-" + id + ".scope\n", id},
      {"nerdctl", "0::/system.slice/nerdctl-" + id + ".scope\n", id},
      {"Docker", "0::/system.slice/docker-" + id + ".scope\n", id},
      {"CRI-O", "0::/kubepods.slice/crio-" + id + ".scope\n", id},
      {"podman", "0::/machine.slice/libpod-" + id + ".scope\n", id},
      {"a service", "0::/system.slice/ssh.service\n", ""},
      {"below a service", "0::/system.slice/x.service/sub\n", ""},
      {"a login", "0::/user.slice/user-0.slice/session-1.scope\n", ""},
      {"init", "0::/init.scope\n", ""},
      {"no group", "0::/\n", ""},
      {"another controller", "4:memory:/x/y\n8:pids:/\n0::/\n", ""},
      {"nonsense", "x\n::\n0:\n\n", ""},
      {"a long name", "0::/default/" + std::string(4000, 'x'), ""},
      {"nothing", "", ""},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ContainerIn(c.cgroup), c.want) << c.name;
  }
}

TEST(ContainerOfTest, IsEmptyForWhoIsGone) { EXPECT_EQ(ContainerOf(0), ""); }

}  // namespace
}  // namespace starling::fuse

#include "runc/container_spec.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace starling::runc {
namespace {

using Json = nlohmann::json;

/// All but CAP_SYS_BOOT, and one that there is no name for.
constexpr uint64_t kAvailable = ((uint64_t{1} << 42) - 1) & ~(uint64_t{1} << 22);

Json ConfigOf(const ContainerSpec& spec) {
  const auto config = MakeConfig(spec, kAvailable);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? Json::parse(*config) : Json();
}

const Json* MountAt(const Json& config, const std::string& destination) {
  const Json* found = nullptr;
  for (const Json& mount : config["mounts"]) {
    if (mount["destination"] == destination) {
      found = &mount;
    }
  }
  return found;
}

TEST(MakeConfig, SaysWhatRuns) {
  const Json config = ConfigOf({.root = "/roots/7",
                                .arguments = {"/bin/sh", "-c", "echo \"$A\""},
                                .environment = {"A=\xc3\xa9", "PATH=/bin"},
                                .working_directory = "/src",
                                .user = {.uid = 5, .gid = 6, .additional_gids = {7, 8}},
                                .hostname = "builder",
                                .limits = {{.type = "RLIMIT_NOFILE", .soft = 10, .hard = 20}}});
  EXPECT_EQ(config["root"], Json::parse(R"({"path": "/roots/7", "readonly": false})"));
  EXPECT_EQ(config["hostname"], "builder");
  const Json& process = config["process"];
  EXPECT_EQ(process["args"], Json::parse(R"(["/bin/sh", "-c", "echo \"$A\""])"));
  EXPECT_EQ(process["env"], Json::parse(R"(["A=é", "PATH=/bin"])"));
  EXPECT_EQ(process["cwd"], "/src");
  EXPECT_EQ(process["user"],
            Json::parse(R"({"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7, 8]})"));
  EXPECT_EQ(process["rlimits"],
            Json::parse(R"([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}])"));
  EXPECT_FALSE(process["terminal"]);
}

TEST(MakeConfig, ASandboxHasWhatDockerGives) {
  const Json config = ConfigOf({.arguments = {"true"}});
  const Json& capabilities = config["process"]["capabilities"];
  EXPECT_EQ(capabilities["bounding"].size(), 14U);
  EXPECT_EQ(capabilities["effective"], capabilities["bounding"]);
  EXPECT_FALSE(capabilities.contains("inheritable"));
  EXPECT_FALSE(capabilities.contains("ambient"));
  EXPECT_FALSE(config["linux"]["resources"]["devices"][0]["allow"]);
  EXPECT_FALSE(config["linux"]["maskedPaths"].empty());
  EXPECT_FALSE(config["linux"]["readonlyPaths"].empty());
  EXPECT_EQ((*MountAt(config, "/sys"))["options"].back(), "ro");
  EXPECT_EQ((*MountAt(config, "/dev/shm"))["options"].back(), "size=67108864");
}

TEST(MakeConfig, DeniesCallsThatChangeTheMachineOrMakeNamespaces) {
  const Json seccomp = ConfigOf({.arguments = {"true"}})["linux"]["seccomp"];
  EXPECT_EQ(seccomp["defaultAction"], "SCMP_ACT_ALLOW");
  std::map<std::string, std::vector<Json>> rules;
  for (const Json& rule : seccomp["syscalls"]) {
    EXPECT_EQ(rule["action"], "SCMP_ACT_ERRNO");
    for (const Json& name : rule["names"]) {
      rules[name].push_back(rule);
    }
  }
  for (const char* call : {"mount", "unshare", "setns", "bpf", "keyctl", "kexec_load", "reboot",
                           "open_by_handle_at", "io_uring_setup", "userfaultfd", "init_module"}) {
    ASSERT_EQ(rules[call].size(), 1U) << call;
    EXPECT_EQ(rules[call][0]["errnoRet"], EPERM) << call;
    EXPECT_FALSE(rules[call][0].contains("args")) << call;
  }
  EXPECT_EQ(rules["clone3"][0]["errnoRet"], ENOSYS);
  uint64_t flags = 0;
  for (const Json& rule : rules["clone"]) {
    ASSERT_EQ(rule["args"].size(), 1U);
    EXPECT_EQ(rule["args"][0]["op"], "SCMP_CMP_MASKED_EQ");
    EXPECT_EQ(rule["args"][0]["value"], rule["args"][0]["valueTwo"]);
    flags |= rule["args"][0]["value"].get<uint64_t>();
  }
  EXPECT_EQ(flags, 0x7E020000U) << "as docker's profile has it";
}

TEST(MakeConfig, InsecureHidesNothing) {
  const Json config = ConfigOf({.arguments = {"true"}, .security = Security::kInsecure});
  EXPECT_EQ(config["process"]["capabilities"]["bounding"].size(), 40U);
  EXPECT_TRUE(config["linux"]["resources"]["devices"][0]["allow"]);
  for (const char* key : {"seccomp", "maskedPaths", "readonlyPaths"}) {
    EXPECT_FALSE(config["linux"].contains(key)) << key;
  }
  EXPECT_EQ((*MountAt(config, "/sys"))["options"].back(), "rw");
}

TEST(MakeConfig, OnlyWithoutANetworkHasItItsOwn) {
  const auto has_network = [](Network network) {
    const Json config = ConfigOf({.arguments = {"true"}, .network = network});
    const Json& namespaces = config["linux"]["namespaces"];
    return std::ranges::any_of(namespaces,
                               [](const Json& each) { return each["type"] == "network"; });
  };
  EXPECT_FALSE(has_network(Network::kHost));
  EXPECT_TRUE(has_network(Network::kNone));
}

TEST(MakeConfig, MountsComeOverTheUsualOnes) {
  const Json config = ConfigOf({.arguments = {"true"},
                                .mounts = {{.destination = "/root/.cache",
                                            .type = "bind",
                                            .source = "/caches/1",
                                            .options = {"rbind", "rw"}}}});
  EXPECT_EQ(config["mounts"].back(),
            Json::parse(R"({"destination": "/root/.cache", "type": "bind", "source": "/caches/1",
                            "options": ["rbind", "rw"]})"));
  EXPECT_EQ(config["mounts"].size(), 8U);
}

TEST(MakeConfig, GivesDevicesAndRunsHooks) {
  const Json none = ConfigOf({.arguments = {"true"}});
  EXPECT_FALSE(none["linux"].contains("devices"));
  EXPECT_FALSE(none.contains("hooks"));
  const Json config = ConfigOf({.arguments = {"true"},
                                .devices = {{.path = "/dev/gpu0",
                                             .type = 'c',
                                             .major = 195,
                                             .minor = 3,
                                             .mode = 0660,
                                             .uid = 7,
                                             .gid = 8,
                                             .access = "rw"},
                                            {.path = "/dev/queue", .type = 'p'}},
                                .hooks = {{.point = "createContainer",
                                           .path = "/usr/bin/setup",
                                           .arguments = {"setup", "--fast"},
                                           .environment = {"A=b"},
                                           .timeout_seconds = 5},
                                          {.point = "createContainer", .path = "/usr/bin/next"}}});
  EXPECT_EQ(config["linux"]["devices"],
            Json::parse(R"([{"path": "/dev/gpu0", "type": "c", "major": 195, "minor": 3,
                             "fileMode": 432, "uid": 7, "gid": 8},
                            {"path": "/dev/queue", "type": "p"}])"));
  EXPECT_EQ(config["linux"]["resources"]["devices"],
            Json::parse(R"([{"allow": false, "access": "rwm"},
                            {"allow": true, "type": "c", "major": 195, "minor": 3,
                             "access": "rw"}])"));
  EXPECT_EQ(config["hooks"], Json::parse(R"({"createContainer": [
                             {"path": "/usr/bin/setup", "args": ["setup", "--fast"],
                              "env": ["A=b"], "timeout": 5},
                             {"path": "/usr/bin/next", "args": [], "env": []}]})"));
}

TEST(MakeConfig, LimitsWhatIsLimited) {
  const Json free = ConfigOf({.arguments = {"true"}})["linux"];
  EXPECT_EQ(free["resources"].size(), 1U) << "devices";
  EXPECT_FALSE(free.contains("cgroupsPath"));
  const Json limited =
      ConfigOf({.arguments = {"true"},
                .resources = {.memory_bytes = 1 << 20, .cpus = 1.5, .processes = 10},
                .cgroups_path = "/builds/1"})["linux"];
  EXPECT_EQ(limited["resources"]["memory"], Json::parse(R"({"limit": 1048576, "swap": 1048576})"));
  EXPECT_EQ(limited["resources"]["cpu"], Json::parse(R"({"quota": 150000, "period": 100000})"));
  EXPECT_EQ(limited["resources"]["pids"], Json::parse(R"({"limit": 10})"));
  EXPECT_EQ(limited["cgroupsPath"], "/builds/1");
}

TEST(MakeConfig, RefusesWhatIsNotText) {
  EXPECT_EQ(MakeConfig({.arguments = {"\xff"}}, kAvailable).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace starling::runc

#include "cdi/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::cdi {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kJson = R"({
  "cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "annotations": {"a": "b"},
  "containerEdits": {"env": ["ALL=1"]},
  "devices": [{"name": "0", "annotations": {"c": "d"}, "containerEdits": {
    "env": ["GPU=0"],
    "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/dri/0", "type": "c", "major": 195,
                     "minor": 3, "fileMode": 432, "permissions": "rw", "uid": 1, "gid": 2},
                    {"path": "/dev/ctl"}],
    "mounts": [{"hostPath": "/usr/lib/gpu", "containerPath": "/usr/lib/gpu",
                "options": ["ro", "bind"]}],
    "hooks": [{"hookName": "createContainer", "path": "/bin/hook", "args": ["hook", "x"],
               "env": ["A=b"], "timeout": 3}],
    "additionalGids": [44]}}]})";

constexpr std::string_view kYaml = R"(---
cdiVersion: "0.6.0"
kind: vendor.com/gpu
annotations: {a: b}
containerEdits:
  env: [ALL=1]
devices:
- name: "0"
  annotations: {c: d}
  containerEdits:
    env:
    - GPU=0
    deviceNodes:
    - path: /dev/gpu0
      hostPath: /dev/dri/0
      type: c
      major: 195
      minor: 3
      fileMode: 0660
      permissions: rw
      uid: 1
      gid: 2
    - path: /dev/ctl
    mounts:
    - hostPath: /usr/lib/gpu
      containerPath: /usr/lib/gpu
      options: [ro, bind]
    hooks:
    - hookName: createContainer
      path: /bin/hook
      args: [hook, x]
      env: [A=b]
      timeout: 3
    additionalGids: [44]
)";

TEST(ParseSpec, ReadsBothForms) {
  for (const std::string_view text : {kJson, kYaml}) {
    const auto spec = ParseSpec(text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->kind, "vendor.com/gpu");
    EXPECT_EQ(spec->annotations, (Annotations{{"a", "b"}}));
    EXPECT_THAT(spec->edits.environment, ElementsAre("ALL=1"));
    ASSERT_EQ(spec->devices.size(), 1U);
    const Device& device = spec->devices[0];
    EXPECT_EQ(device.name, "0");
    EXPECT_EQ(device.annotations, (Annotations{{"c", "d"}}));
    Edits wanted;
    wanted.environment = {"GPU=0"};
    wanted.nodes = {{.path = "/dev/gpu0",
                     .host_path = "/dev/dri/0",
                     .type = "c",
                     .major = 195,
                     .minor = 3,
                     .mode = 0660,
                     .uid = 1,
                     .gid = 2,
                     .access = "rw"},
                    {.path = "/dev/ctl"}};
    wanted.mounts = {{.host_path = "/usr/lib/gpu",
                      .container_path = "/usr/lib/gpu",
                      .type = "",
                      .options = {"ro", "bind"}}};
    wanted.hooks = {{.name = "createContainer",
                     .path = "/bin/hook",
                     .arguments = {"hook", "x"},
                     .environment = {"A=b"},
                     .timeout_seconds = 3}};
    wanted.additional_gids = {44};
    EXPECT_EQ(device.edits, wanted);
  }
}

TEST(ParseSpec, NamesThePlaceOfWhatItRefuses) {
  const auto with_edits = [](const std::string& edits) {
    return R"({"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": [{"name": "d", "containerEdits": )" +
           edits + "}]}";
  };
  const std::pair<std::string, const char*> cases[] = {
      {"", "0 documents"},
      {"[]", "devices"},
      {R"({"kind": "v.com/c"})", "cdiVersion: '' is not"},
      {R"({"cdiVersion": "2.0.0", "kind": "v.com/c"})", "cdiVersion: '2.0.0' is not"},
      {R"({"cdiVersion": "1.0.0", "kind": "c"})", "kind: is not VENDOR/CLASS"},
      {R"({"cdiVersion": "1.0.0", "kind": "v.com/c"})", "devices: there are none"},
      {R"({"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": {}})", "devices: is no list"},
      {R"({"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": [{}]})", "devices[0].name: is no"},
      {R"({"cdiVersion": "1.0.0", "kind": "v.com/c", "device": []})", "device: is not known"},
      {R"({"cdiVersion": "1.0.0", "kind": "v.com/c", "annotations": {"a": 1}})",
       "annotations: has"},
      {with_edits("[]"), "devices[0].containerEdits: is no object"},
      {with_edits(R"({"env": ["A"]})"), "containerEdits.env: has something else"},
      {with_edits(R"({"env": [1]})"), "containerEdits.env: has something else"},
      {with_edits(R"({"deviceNodes": [{}]})"), "deviceNodes[0].path: is missing"},
      {with_edits(R"({"deviceNodes": [{"path": "dev/a"}]})"), "path: is no absolute path"},
      {with_edits(R"({"deviceNodes": [{"path": "/a", "type": "x"}]})"), "type: is not one of"},
      {with_edits(R"({"deviceNodes": [{"path": "/a", "type": "cb"}]})"), "type: is not one of"},
      {with_edits(R"({"deviceNodes": [{"path": "/a", "permissions": "x"}]})"), "permissions: has"},
      {with_edits(R"({"deviceNodes": [{"path": "/a", "uid": -1}]})"), "uid: is no number"},
      {with_edits(R"({"deviceNodes": [{"path": "/a", "uid": 4294967296}]})"), "uid: is no number"},
      {with_edits(R"({"deviceNodes": [{"path": "/a", "major": 18446744073709551615}]})"),
       "major: is no number"},
      {with_edits(R"({"mounts": [{"hostPath": "/a"}]})"), "mounts[0].containerPath: is missing"},
      {with_edits(R"({"hooks": [{"hookName": "x", "path": "/a"}]})"),
       "hookName: is the name of no"},
      {with_edits(R"({"hooks": [{"path": "/a"}]})"), "hooks[0].hookName: is missing"},
      {with_edits(R"({"additionalGids": [-1]})"), "additionalGids: has something else"},
      {with_edits(R"({"intelRdt": {}})"), "intelRdt: cannot be given"},
      {with_edits(R"({"netDevices": []})"), "netDevices: cannot be given"},
  };
  for (const auto& [text, message] : cases) {
    const auto spec = ParseSpec(text);
    EXPECT_FALSE(spec.ok()) << text;
    EXPECT_THAT(std::string(MessageOf(spec.status())), HasSubstr(message)) << text;
  }
}

TEST(IsKind, IsAVendorAndAClass) {
  for (const char* kind : {"vendor.com/class", "v/c", "a-b.c/d_e.f", "v/0"}) {
    EXPECT_TRUE(IsKind(kind)) << kind;
  }
  for (const char* kind : {"", "/", "v/", "/c", "v", "0v/c", "v./c", "v/c/d", "v/c=d", "v /c"}) {
    EXPECT_FALSE(IsKind(kind)) << kind;
  }
}

}  // namespace
}  // namespace starling::cdi

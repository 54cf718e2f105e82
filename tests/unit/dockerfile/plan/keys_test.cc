#include "dockerfile/plan/keys.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace starling::dockerfile::plan {
namespace {

oci::Digest KeyOfOperation(const Operation& operation) { return KeyOf(KeyPartsOf(operation)); }

plan::Run SomeRun() {
  plan::Run run;
  run.arguments = {"/bin/sh", "-c", "make"};
  run.environment = {"PATH=/bin"};
  run.working_directory = "/";
  RunMount mount;
  mount.target = "/m";
  run.mounts = {mount};
  return run;
}

TEST(KeyPartsOf, ARunDiffersInAllThatItIs) {
  const std::pair<const char*, std::function<void(plan::Run&)>> cases[] = {
      {"command", [](plan::Run& run) { run.arguments[2] = "make all"; }},
      {"split command", [](plan::Run& run) { run.arguments = {"/bin/sh", "-cmake"}; }},
      {"environment", [](plan::Run& run) { run.environment.push_back("A=b"); }},
      {"directory", [](plan::Run& run) { run.working_directory = "/app"; }},
      {"user", [](plan::Run& run) { run.user = "me"; }},
      {"network", [](plan::Run& run) { run.network = syntax::Network::kNone; }},
      {"security", [](plan::Run& run) { run.security = syntax::Security::kInsecure; }},
      {"a mount less", [](plan::Run& run) { run.mounts.clear(); }},
      {"mount type", [](plan::Run& run) { run.mounts[0].type = syntax::MountType::kTmpfs; }},
      {"mount target", [](plan::Run& run) { run.mounts[0].target = "/n"; }},
      {"mount mode", [](plan::Run& run) { run.mounts[0].mode = 0700; }},
      {"read only", [](plan::Run& run) { run.mounts[0].read_only = true; }},
      {"device", [](plan::Run& run) { run.devices.push_back({.name = "v/c=d"}); }},
      {"script", [](plan::Run& run) { run.script = {"EOF", "#!/bin/sh\n"}; }},
      {"other script", [](plan::Run& run) { run.script = {"EOF", "#!/bin/sh\nls\n"}; }},
  };
  std::set<oci::Digest> keys = {KeyOfOperation(SomeRun())};
  for (const auto& [name, change] : cases) {
    plan::Run run = SomeRun();
    change(run);
    EXPECT_TRUE(keys.insert(KeyOfOperation(run)).second) << name;
  }
}

TEST(KeyPartsOf, ARunIsTheSameWhereverItsInputsAre) {
  const oci::Digest key = KeyOfOperation(SomeRun());
  plan::Run run = SomeRun();
  run.base = 7;
  run.mounts[0].input = 3;
  run.proxies = {"http_proxy=http://proxy"};
  EXPECT_EQ(KeyOfOperation(run), key);
  run.mounts[0].type = syntax::MountType::kCache;
  const oci::Digest cached = KeyOfOperation(run);
  run.mounts[0].id = "another cache";
  EXPECT_EQ(KeyOfOperation(run), cached);
}

TEST(KeyPartsOf, ASecretCountsByItsName) {
  plan::Run run = SomeRun();
  run.mounts[0].type = syntax::MountType::kSecret;
  run.mounts[0].id = "a";
  const oci::Digest key = KeyOfOperation(run);
  run.mounts[0].id = "b";
  EXPECT_NE(KeyOfOperation(run), key);
}

TEST(KeyPartsOf, ACopyDiffersInAllThatItIs) {
  const auto some = [] {
    Copy copy;
    copy.sources = {CopySource{.path = "a"}};
    copy.destination = "/d";
    return copy;
  };
  const std::pair<const char*, std::function<void(Copy&)>> cases[] = {
      {"source", [](Copy& copy) { copy.sources[0].path = "b"; }},
      {"pattern", [](Copy& copy) { copy.sources[0].is_pattern = true; }},
      {"unpack", [](Copy& copy) { copy.sources[0].unpack = true; }},
      {"destination", [](Copy& copy) { copy.destination = "/d/"; }},
      {"owner", [](Copy& copy) { copy.chown = "1"; }},
      {"mode", [](Copy& copy) { copy.chmod = syntax::ModeChange{.octal = 0644}; }},
      {"other mode", [](Copy& copy) { copy.chmod = *syntax::ParseModeChange("u+x"); }},
      {"exclude", [](Copy& copy) { copy.exclude = {"*.o"}; }},
      {"parents", [](Copy& copy) { copy.parents = true; }},
      {"link", [](Copy& copy) { copy.link = true; }}};
  std::set<oci::Digest> keys = {KeyOfOperation(some())};
  for (const auto& [name, change] : cases) {
    Copy copy = some();
    change(copy);
    EXPECT_TRUE(keys.insert(KeyOfOperation(copy)).second) << name;
  }
  Copy elsewhere = some();
  elsewhere.base = 3;
  elsewhere.sources[0].input = 2;
  EXPECT_EQ(KeyOfOperation(elsewhere), KeyOfOperation(some()));
}

TEST(KeyPartsOf, SourcesDifferInWhatTheyAre) {
  const Operation operations[] = {
      Scratch{},
      ImageSource{.manifest = oci::Digest::Of(AsBytes("a"))},
      ImageSource{.manifest = oci::Digest::Of(AsBytes("b"))},
      InlineSource{.files = {{"EOF", "one"}}},
      InlineSource{.files = {{"EOF", "two"}}},
      InlineSource{.files = {{"EOFt", "wo"}}},
      HttpSource{.url = "https://a/b"},
      GitSource{.reference = {.remote = "https://a/b.git"}},
      MakeDirectory{.path = "/a"},
      MakeDirectory{.path = "/a", .user = "me"},
  };
  std::set<oci::Digest> keys;
  for (const Operation& operation : operations) {
    EXPECT_TRUE(keys.insert(KeyOfOperation(operation)).second) << operation.index();
  }
  // The same image by another name.
  ImageSource renamed{.reference = "other", .manifest = oci::Digest::Of(AsBytes("a"))};
  EXPECT_EQ(KeyOfOperation(renamed), KeyOfOperation(operations[1]));
}

TEST(KeyOf, IsTheSameOnEveryMachine) {
  const std::vector<KeyPart> parts = {{"a", "b"}, {"c", ""}};
  EXPECT_EQ(KeyOf(parts), oci::Digest::Of(AsBytes("1:a1:b1:c0:")));
}

}  // namespace
}  // namespace starling::dockerfile::plan

#include "dockerfile/plan/image_draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace starling::dockerfile::plan {
namespace {

using nlohmann::json;

const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};

TEST(ImageDraft, OfScratchHasAPathAndADirectory) {
  const json config = json::parse(ConfigJson(ImageDraft::Scratch(kPlatform), {}, {}));
  EXPECT_EQ(config["config"]["WorkingDir"], "/");
  EXPECT_EQ(config["config"]["Env"].size(), 1u);
  EXPECT_EQ(config["architecture"], "amd64");
  EXPECT_EQ(config["rootfs"]["diff_ids"], json::array());
  EXPECT_FALSE(config.contains("created"));
}

TEST(ImageDraft, KeepsWhatABaseSaysAndIsNotKnownHere) {
  const auto draft = ImageDraft::FromBase(
      R"({"os":"linux","architecture":"arm","variant":"v7","mystery":{"a":1},"id":"old",)"
      R"("config":{"Env":["A=1","PATH=/x"],"Cmd":["sh"],"Labels":{"l":"v"},"Unknown":true,)"
      R"("ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"]}},)"
      R"("history":[{"created_by":"base"}]})");
  ASSERT_TRUE(draft.ok()) << draft.status();
  EXPECT_EQ(draft->platform.variant, "v7");
  ImageDraft changed = *draft;
  changed.labels["m"] = "w";
  changed.SetVariable("A", "2");
  changed.history.push_back({.created_by = "RUN x", .is_empty_layer = false});
  const std::vector<oci::Digest> diff_ids = {oci::Digest::Of(AsBytes("a"))};
  const json config =
      json::parse(ConfigJson(changed, diff_ids, std::chrono::sys_seconds(std::chrono::seconds(0))));
  EXPECT_EQ(config["mystery"]["a"], 1);
  EXPECT_FALSE(config.contains("id"));
  EXPECT_EQ(config["config"]["Unknown"], true);
  EXPECT_EQ(config["config"]["Healthcheck"]["Test"][0], "NONE");
  EXPECT_EQ(config["config"]["Env"], json::parse(R"(["A=2","PATH=/x"])"));
  EXPECT_EQ(config["config"]["Labels"], json::parse(R"({"l":"v","m":"w"})"));
  EXPECT_EQ(config["history"].size(), 2u);
  EXPECT_EQ(config["history"][1]["created"], "1970-01-01T00:00:00Z");
  EXPECT_EQ(config["created"], "1970-01-01T00:00:00Z");
}

TEST(ImageDraft, GivesABaseAPath) {
  const auto draft = ImageDraft::FromBase(R"({"os":"linux","architecture":"amd64"})");
  ASSERT_TRUE(draft.ok()) << draft.status();
  ASSERT_EQ(draft->environment.size(), 1u);
  EXPECT_EQ(draft->environment[0].name, "PATH");
}

TEST(ImageDraft, RefusesWhatIsNoConfiguration) {
  for (const char* text : {"", "[]", "{", R"({"config":[]})", R"({"config":{"Env":[1]}})",
                           R"({"config":{"Labels":{"a":1}}})",
                           R"({"config":{"ExposedPorts":["80"]}})", R"({"os":1})"}) {
    EXPECT_EQ(ImageDraft::FromBase(text).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace starling::dockerfile::plan

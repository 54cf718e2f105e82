#include "inspect/status_json.h"

#include <gtest/gtest.h>

#include "tests/support/fake_status.h"

namespace starling::inspect {
namespace {

using Json = nlohmann::ordered_json;
using testing_support::SomeFallback;
using testing_support::SomeLayer;
using testing_support::SomeRead;
using testing_support::SomeStart;

TEST(StatusJsonTest, TellsOfTimes) {
  using std::chrono::milliseconds;
  EXPECT_EQ(FormatTimestamp(std::chrono::system_clock::time_point(milliseconds(1767225600005))),
            "2026-01-01T00:00:00.005Z");
  EXPECT_EQ(Seconds(milliseconds(1500)), 1.5);
}

TEST(StatusJsonTest, TellsOfImagesAndTheirLayers) {
  const Json json = ToJson(layer::ByImage({SomeLayer(3, {"a:1"}), SomeLayer(4, {"a:1"})}));
  ASSERT_EQ(json["images"].size(), 1U);
  const Json& image = json["images"][0];
  EXPECT_EQ(image["name"], "a:1");
  EXPECT_EQ(image["layerCount"], 2);
  EXPECT_EQ(image["heldSize"], 400);
  EXPECT_EQ(image["credentials"], "a file");
  EXPECT_EQ(image["waitingReads"], 6);
  EXPECT_EQ(image["longestWaits"][0]["file"], "/etc/waits");
  const Json& layer = image["layers"][0];
  EXPECT_EQ(layer["heldSize"], 200);
  EXPECT_EQ(layer["mode"], "lazy+eager");
  EXPECT_EQ(layer["parts"], Json::parse(R"({"size": [150, 150], "heldSize": [120, 80],
                                            "neededSize": [100, 50]})"));
  EXPECT_EQ(layer["places"][1]["secondsSinceFailure"], 12);
  EXPECT_TRUE(layer["places"][0]["secondsSinceFailure"].is_null());
}

TEST(StatusJsonTest, TellsOfSlowReads) {
  const Json json =
      ToJson(layer::TracedReads{.reads = {SomeRead("/a", 1)},
                                .forgotten = 17,
                                .containers = {{.container = "c1", .reads = 3, .failed = 1}},
                                .fallbacks = {SomeFallback("a:1")}});
  EXPECT_EQ(json["fallbacks"][0], Json({{"time", "2023-11-14T22:13:20.000Z"},
                                        {"image", "a:1"},
                                        {"layer", oci::Digest::Of(AsBytes("layer")).ToString()},
                                        {"reason", "not found: the registry has no such blob"}}));
  EXPECT_EQ(json["containers"][0]["container"], "c1");
  EXPECT_EQ(json["containers"][0]["reads"], 3);
  EXPECT_EQ(json["containers"][0]["totalSeconds"], 0);
  EXPECT_EQ(json["forgotten"], 17);
  EXPECT_EQ(json["reads"][0]["file"], "/a");
  EXPECT_EQ(json["reads"][0]["cause"], "network");
  EXPECT_EQ(json["reads"][0]["networkSeconds"], 0.012);
  EXPECT_EQ(json["reads"][0]["failed"], true);
  EXPECT_EQ(json["reads"][0]["container"], "c1");
}

TEST(StatusJsonTest, TellsOfWhatHappensNow) {
  const Json json =
      ToJson(std::vector<layer::ImageActivity>{{.name = "a:1", .layers = 5, .fetched_bytes = 7}});
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["name"], "a:1");
  EXPECT_EQ(json[0]["layerCount"], 5);
  EXPECT_EQ(json[0]["fetchedSize"], 7);
}

TEST(StatusJsonTest, TellsOfStartsBySecondsSinceTheirFirstRead) {
  const Json json = ToJson(std::vector{SomeStart("a:1")});
  ASSERT_EQ(json["starts"].size(), 1U);
  const Json& start = json["starts"][0];
  EXPECT_EQ(start["image"], "a:1");
  EXPECT_EQ(start["begun"], "2023-11-14T22:13:20.500Z");
  EXPECT_EQ(start["goesOn"], true);
  EXPECT_EQ(start["cut"], true);
  EXPECT_EQ(start["neededFiles"], 11);
  EXPECT_EQ(start["neededSize"], 12);
  EXPECT_EQ(start["requests"], 13);
  EXPECT_EQ(start["fetchedSize"], 14);
  EXPECT_EQ(start["slowReads"], 15);
  EXPECT_EQ(start["needs"][0]["seconds"], 0.25);
  EXPECT_EQ(start["needs"][0]["file"], "/usr/bin/x");
  const Json& fetch = start["fetches"][0];
  EXPECT_EQ(fetch["sentSeconds"], -0.5);
  EXPECT_EQ(fetch["endedSeconds"], 1.5);
  EXPECT_EQ(fetch["purpose"], "prefetch");
  EXPECT_EQ(fetch["requests"], 2);
  EXPECT_EQ(fetch["size"], 77);
  EXPECT_EQ(fetch["moreFiles"], 3);
  EXPECT_EQ(fetch["failed"], true);
  EXPECT_EQ(start["reads"][0]["endedSeconds"], 6.5);
}

}  // namespace
}  // namespace starling::inspect

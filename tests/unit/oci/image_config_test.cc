#include "oci/image_config.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

const Digest kFirst = Digest::Of(AsBytes("1"));
const Digest kSecond = Digest::Of(AsBytes("2"));

std::string Document(const Digest& diff_id) {
  return R"({"zeta":{"b":1,"a":[1,2]},"architecture":"aarch64","os":"linux",)"
         R"("config":{"Env":["A=1","B=2"],"Entrypoint":["/bin/x"],"Cmd":["-y"],"WorkingDir":"/w"},)"
         R"("rootfs":{"type":"layers","diff_ids":[")" +
         diff_id.ToString() +
         R"("]},"history":[{"created_by":"x","empty_layer":true}],"alpha":"é"})";
}

TEST(ImageConfig, ReadsWhatRunningNeeds) {
  const auto config = ImageConfig::Parse(AsBytes(Document(kFirst)));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->diff_ids(), std::vector<Digest>{kFirst});
  EXPECT_EQ(config->platform().ToString(), "linux/arm64");
  EXPECT_EQ(config->environment(), (std::vector<std::string>{"A=1", "B=2"}));
  EXPECT_EQ(config->command(), (std::vector<std::string>{"/bin/x", "-y"}));
  EXPECT_EQ(config->working_directory(), "/w");
}

TEST(ImageConfig, ChangesDiffIdsAndNothingElse) {
  const auto config = ImageConfig::Parse(AsBytes(Document(kFirst)));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->WithDiffIds({kSecond}), Document(kSecond));
}

TEST(ImageConfig, AcceptsWhatIsNotSaid) {
  const auto config =
      ImageConfig::Parse(AsBytes(R"({"rootfs":{"type":"layers","diff_ids":null}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->diff_ids().empty());
  EXPECT_TRUE(config->command().empty());
  EXPECT_EQ(config->platform(), Platform());
}

TEST(ImageConfig, RefusesMalformedOnes) {
  for (const std::string_view text :
       {"{}", "[]", R"({"rootfs":[]})", R"({"rootfs":{"diff_ids":{}}})",
        R"({"rootfs":{"diff_ids":["sha256:zz"]}})", R"({"rootfs":{"diff_ids":[1]}})",
        R"({"rootfs":{},"config":{"Env":[1]}})", R"({"rootfs":{},"os":1})"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(ImageConfig::Parse(AsBytes(text)).status().code(), StatusCode::kDataLoss);
  }
}

TEST(ChainIds, HashesTheStack) {
  EXPECT_TRUE(ChainIds({}).empty());
  const auto chain = ChainIds({kFirst, kSecond, kFirst});
  ASSERT_EQ(chain.size(), 3U);
  EXPECT_EQ(chain[0], kFirst);
  EXPECT_EQ(chain[1], Digest::Of(AsBytes(kFirst.ToString() + " " + kSecond.ToString())));
  EXPECT_EQ(chain[2], Digest::Of(AsBytes(chain[1].ToString() + " " + kFirst.ToString())));
}

}  // namespace
}  // namespace starling::oci

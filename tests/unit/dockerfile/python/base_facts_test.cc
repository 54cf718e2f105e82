#include "dockerfile/python/base_facts.h"

#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

class BaseFactsTest : public TreeFixture {
 protected:
  BaseFacts facts_{Path("bases")};
  oci::Digest manifest_ = oci::Digest::Of(AsBytes("manifest"));
};

TEST_F(BaseFactsTest, RemembersWhatWasSeen) {
  EXPECT_EQ(facts_.Find(manifest_), std::nullopt);
  for (const BaseLibc& base :
       {BaseLibc{Libc::kGnu, 36}, BaseLibc{Libc::kGnu, {}}, BaseLibc{Libc::kMusl, {}}}) {
    ASSERT_TRUE(facts_.Remember(manifest_, base).ok());
    EXPECT_EQ(BaseFacts(Path("bases")).Find(manifest_), base);
  }
  EXPECT_EQ(facts_.Find(oci::Digest::Of({})), std::nullopt);
}

TEST_F(BaseFactsTest, RemembersPrograms) {
  EXPECT_EQ(facts_.FindPrograms(manifest_), std::nullopt);
  for (const BasePrograms& programs : {BasePrograms{false, false}, BasePrograms{false, true},
                                       BasePrograms{true, false}, BasePrograms{true, true}}) {
    ASSERT_TRUE(facts_.RememberPrograms(manifest_, programs).ok());
    EXPECT_EQ(BaseFacts(Path("bases")).FindPrograms(manifest_), programs);
  }
  EXPECT_EQ(facts_.Find(manifest_), std::nullopt);
  for (const char* text : {"", "python pip", "python pi\n", "pip python\n"}) {
    Write("bases/" + manifest_.Hex() + ".programs", text);
    EXPECT_EQ(facts_.FindPrograms(manifest_), std::nullopt) << text;
  }
}

TEST_F(BaseFactsTest, ARecordThatIsNoneCountsAsUnseen) {
  for (const char* text : {"", "gnu", "gnu 2.\n", "gnu 2.36", "gnu 2.36 \n", "gnu 3.1\n", "musl"}) {
    Write("bases/" + manifest_.Hex(), text);
    EXPECT_EQ(facts_.Find(manifest_), std::nullopt) << text;
  }
  Write("bases/" + manifest_.Hex(), std::string(100, 'x'));
  EXPECT_EQ(facts_.Find(manifest_), std::nullopt);
}

}  // namespace
}  // namespace starling::dockerfile::python

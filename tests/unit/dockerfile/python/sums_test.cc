#include "dockerfile/python/sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::python {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ReadSums, GivesEachLine) {
  const std::string a(64, 'a');
  const std::string b(64, 'b');
  std::vector<std::string> seen;
  const Status read = ReadSums("# of a release\n\n" + a + "  one\r\n" + b + " *b/two\n" + a + " x",
                               [&](const oci::Digest& digest, std::string_view file) {
                                 seen.push_back(fmt::format("{} {}", digest.Hex()[0], file));
                                 return OkStatus();
                               });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_THAT(seen, ElementsAre("a one", "b b/two", "a x"));
}

TEST(ReadSums, AnErrorHasItsLine) {
  const std::string line = std::string(64, 'a') + "  file\n";
  const auto refuse = [](const oci::Digest&, std::string_view) {
    return MakeError(StatusCode::kNotFound, "not this");
  };
  const Status refused = ReadSums("\n" + line, refuse);
  EXPECT_EQ(refused.code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("line 2: not this"));
  const auto take = [](const oci::Digest&, std::string_view) { return OkStatus(); };
  for (const std::string& wrong : {std::string("x"), std::string(64, 'a'), "<html>" + line}) {
    const Status read = ReadSums(line + wrong, take);
    EXPECT_EQ(read.code(), StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(std::string(MessageOf(read)), HasSubstr("line 2: this must be")) << wrong;
  }
  EXPECT_EQ(ReadSums(std::string(kMaxSumsBytes + 1, '\n'), take).code(),
            StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::python

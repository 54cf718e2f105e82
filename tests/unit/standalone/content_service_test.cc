#include "standalone/content_service.h"

#include <gmock/gmock.h>

#include "tests/unit/standalone/standalone_fixture.h"

namespace starling::standalone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class ContentServiceTest : public StandaloneFixture {};

TEST_F(ContentServiceTest, TakesBlobsInPiecesAndGivesThemBack) {
  // More than a message, so that both ways take several.
  std::string large(5'000'000, 'x');
  large[4'999'999] = 'y';
  const oci::Descriptor blob = DescriptorOf(large);
  ASSERT_TRUE(client_.PutContent(blob, AsBytes(large), {{"a", "1"}}).ok());
  EXPECT_EQ(AsText(*client_.ReadContent(blob)), large);
  BytesSink tail;
  ASSERT_TRUE(client_.StreamContent(blob.digest, 4'999'998, tail).ok());
  EXPECT_EQ(AsText(tail.bytes()), "xy");
  EXPECT_EQ(client_.StreamContent(blob.digest, 5'000'001, tail).code(), StatusCode::kOutOfRange);

  EXPECT_EQ(client_.WriteContent(blob).status().code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(client_.PutContent(blob, AsBytes(large), {{"b", "2"}}).ok());
  EXPECT_THAT(*client_.ContentLabels(blob.digest), ElementsAre(Pair("a", "1"), Pair("b", "2")));
}

TEST_F(ContentServiceTest, TakesBlobsWhoseDigestIsKnownLast) {
  const auto writer = client_.WriteNewContent();
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Write(AsBytes(std::string_view("one "))).ok());
  ASSERT_TRUE((*writer)->Write(AsBytes(std::string_view("two"))).ok());
  const oci::Descriptor blob = DescriptorOf("one two");
  ASSERT_TRUE((*writer)->Commit(blob.digest, {{"a", "1"}}).ok());
  EXPECT_EQ(AsText(*client_.ReadContent(blob)), "one two");
}

TEST_F(ContentServiceTest, SaysWhatIsWrong) {
  const oci::Descriptor none = DescriptorOf("none");
  EXPECT_EQ(client_.ReadContent(none).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(client_.ContentLabels(none.digest).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(client_.LabelContent(none.digest, {{"a", "1"}}).code(), StatusCode::kNotFound);
  EXPECT_EQ(client_.DeleteContent(none.digest).code(), StatusCode::kNotFound);

  const auto writer = client_.WriteContent(none);
  ASSERT_TRUE((*writer)->Write(AsBytes(std::string_view("some"))).ok());
  const Status other = (*writer)->Commit({});
  EXPECT_EQ(other.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Describe(other), HasSubstr("the blob's digest is"));
  EXPECT_EQ(client_.ReadContent(none).status().code(), StatusCode::kNotFound);
}

TEST_F(ContentServiceTest, TwoMayBringOneBlobAtOnce) {
  const oci::Descriptor blob = DescriptorOf("both");
  const auto first = client_.WriteContent(blob);
  const auto second = client_.WriteContent(blob);
  for (const auto* writer : {&first, &second}) {
    ASSERT_TRUE(writer->ok()) << writer->status();
    ASSERT_TRUE((**writer)->Write(AsBytes(std::string_view("both"))).ok());
    EXPECT_TRUE((**writer)->Commit({}).ok());
  }
  EXPECT_EQ(AsText(*client_.ReadContent(blob)), "both");
}

TEST_F(ContentServiceTest, ListsWhatAFilterMatches) {
  for (int i = 0; i < 250; ++i) {
    const std::string content = std::to_string(i);
    ASSERT_TRUE(client_
                    .PutContent(DescriptorOf(content), AsBytes(content),
                                {{"dev.parity", i % 2 == 0 ? "even" : "odd"}})
                    .ok());
  }
  EXPECT_EQ(client_.FindContent("labels.\"dev.parity\"==even")->size(), 125);
  EXPECT_EQ(client_.FindContent("labels.\"dev.parity\"")->size(), 250);
  EXPECT_EQ(client_.FindContent("labels.\"dev.parity").status().code(),
            StatusCode::kInvalidArgument);
  const auto found = client_.FindContent("labels.\"dev.parity\"==odd");
  EXPECT_THAT(found->front().labels, ElementsAre(Pair("dev.parity", "odd")));
}

TEST_F(ContentServiceTest, WhatABuildHasSeenStaysUntilItsEnd) {
  const std::string text = "seen";
  ASSERT_TRUE(client_.PutContent(DescriptorOf(text), AsBytes(text), {}).ok());
  {
    auto lease = containerd::ScopedLease::Take(client_, "build");
    ASSERT_TRUE(lease.ok()) << lease.status();
    EXPECT_EQ(client_.WriteContent(DescriptorOf(text)).status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(server_->Collect()->contents, 0);
    EXPECT_EQ(AsText(*client_.ReadContent(DescriptorOf(text))), text);
  }
  EXPECT_EQ(server_->Collect()->contents, 1);
  EXPECT_EQ(client_.ReadContent(DescriptorOf(text)).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::standalone

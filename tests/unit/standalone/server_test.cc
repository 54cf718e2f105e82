#include "standalone/server.h"

#include <gmock/gmock.h>

#include "tests/unit/standalone/standalone_fixture.h"

namespace starling::standalone {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class ServerTest : public StandaloneFixture {};

TEST_F(ServerTest, NeedsAStarlingdThatAnswers) {
  const auto server = Server::Start({.directory = directory_.path() / "other",
                                     .starlingd = directory_.path() / "none.sock",
                                     .work_directory = directory_.path() / "work"},
                                    clock_);
  EXPECT_EQ(server.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Describe(server.status()), HasSubstr("none.sock"));
  EXPECT_THAT(Describe(server.status()), HasSubstr("systemctl start starling"));
}

TEST_F(ServerTest, WhatADeadBuildHeldIsRemovedByWhoDeletesItsLease) {
  {
    auto lease = containerd::ScopedLease::Take(client_, "build");
    ASSERT_TRUE(lease.ok());
    ASSERT_TRUE(client_.PrepareSnapshot(kSnapshotter, "k", "", {}).ok());
    const std::string text = "begun";
    ASSERT_TRUE(client_.PutContent(DescriptorOf(text), AsBytes(text), {}).ok());

    const std::unique_ptr<Server> survivor = Start();
    containerd::Client client = ClientOf(*survivor);
    ASSERT_TRUE(client.DeleteLease("build").ok());
    const auto collected = survivor->Collect();
    ASSERT_TRUE(collected.ok()) << collected.status();
    EXPECT_EQ(collected->contents, 1);
    EXPECT_EQ(collected->snapshots, 1);
  }
  EXPECT_THAT(Snapshots(), IsEmpty());
}

TEST_F(ServerTest, StoresDoNotSeeEachOther) {
  ASSERT_TRUE(Commit(client_, "base", "").ok());
  const auto other = Server::Start({.directory = directory_.path() / "other",
                                    .starlingd = socket(),
                                    .work_directory = directory_.path() / "work"},
                                   clock_);
  ASSERT_TRUE(other.ok()) << other.status();
  containerd::Client client = ClientOf(**other);
  EXPECT_EQ(client.StatSnapshot(kSnapshotter, "base").status().code(), StatusCode::kNotFound);
  EXPECT_EQ((*other)->Collect()->snapshots, 0);
  EXPECT_EQ(Snapshots().size(), 1);
}

TEST_F(ServerTest, UnpacksOnlyWhatIsThere) {
  EXPECT_EQ(client_.Apply(DescriptorOf("none"), {}).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::standalone

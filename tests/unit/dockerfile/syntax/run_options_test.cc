#include "dockerfile/syntax/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::HasSubstr;

TEST(ParseMount, ReadsEveryType) {
  const auto bind = ParseMount({"target=/x,from=base,source=a", {}});
  ASSERT_TRUE(bind.ok());
  EXPECT_EQ(bind->type, MountType::kBind);
  EXPECT_EQ(bind->from, "base");
  EXPECT_TRUE(bind->read_only) << "by default";
  EXPECT_FALSE(ParseMount({"type=bind,target=/x,rw", {}})->read_only);

  const auto cache =
      ParseMount({"type=cache,dst=/c,id=pip,sharing=locked,mode=0700,uid=1,gid=2,ro", {}});
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ(cache->sharing, CacheSharing::kLocked);
  EXPECT_EQ(cache->mode, 0700U);
  EXPECT_EQ(cache->uid, 1U);
  EXPECT_EQ(cache->gid, 2U);
  EXPECT_TRUE(cache->read_only);
  EXPECT_FALSE(ParseMount({"type=cache,target=/c", {}})->read_only);

  EXPECT_EQ(ParseMount({"type=tmpfs,target=/t,size=64m", {}})->size_bytes, 64U << 20U);
  const auto secret = ParseMount({"type=secret,id=key,env=KEY,required", {}});
  EXPECT_EQ(secret->variable, "KEY");
  EXPECT_TRUE(secret->required);
  EXPECT_EQ(ParseMount({"type=ssh", {}})->type, MountType::kSsh);
  EXPECT_EQ(ParseMount({"\"target=/a,b\",source=\"\"\"\"", {}}).ok(), false) << "half a quote";
  EXPECT_EQ(ParseMount({"\"target=/a,\"\"b\",source=c", {}})->target, "/a,\"b");
}

TEST(ParseMount, RefusesWhatItDoesNotUnderstand) {
  const struct {
    std::string_view text, want;
  } cases[] = {
      {"typ=tmpfs", "did you mean type?"},
      {"type=tmp,target=/x", "did you mean tmpfs?"},
      {"type=cache,target=/x,sharing=share", "did you mean shared?"},
      {"target=/x,size=1m", "a mount of type bind has no 'size'"},
      {"type=tmpfs,target=/x,ro", "a mount of type tmpfs has no 'ro'"},
      {"type=ssh,env=X", "a mount of type ssh has no 'env'"},
      {"type=secret,id=x,from=y", "a mount of type secret has no 'from'"},
      {"type=bind", "target"},
      {"type=cache,target=/a/..", "cannot be /"},
      {"type=secret", "which secret?"},
      {"target", "needs a value"},
      {"target=/x,uid=1", "has no 'uid'"},
      {"type=cache,target=/x,uid=-1", "uid: '-1' is no number"},
      {"type=cache,target=/x,mode=9", "mode: '9' is no octal number"},
      {"target=/x,ro=maybe", "ro: 'maybe'"},
      {"target=\"/x\"", "quotes"},
      {"\"target=/x", "not closed"},
      {"", "unexpected key"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto mount = ParseMount({std::string(c.text), {{3, 5}, {3, 9}}});
    ASSERT_FALSE(mount.ok());
    EXPECT_THAT(mount.status().message, HasSubstr(std::string(c.want)));
    EXPECT_EQ(mount.status().range.begin, (Position{3, 5}));
  }
}

TEST(ParseMount, WaitsForTheValuesOfVariables) {
  const Text written = {"type=cache,target=$T,uid=$U", {}};
  const auto early = ParseMount(written);
  ASSERT_TRUE(early.ok());
  EXPECT_EQ(early->target, "$T");
  EXPECT_EQ(early->uid, std::nullopt);
  const auto late = ParseMount(written, [](std::string_view text) -> StatusOr<std::string> {
    return text == "$T" ? "/cache" : text == "$U" ? "7" : std::string(text);
  });
  ASSERT_TRUE(late.ok());
  EXPECT_EQ(late->target, "/cache");
  EXPECT_EQ(late->uid, 7U);
  EXPECT_TRUE(ParseMount({"type=$T,sharing=locked", {}}).ok()) << "which keys it has is not known";
}

TEST(ParseDevice, ReadsNameAndRequired) {
  EXPECT_EQ(ParseDevice({"vendor/class=a,required", {}})->name, "vendor/class=a");
  EXPECT_TRUE(ParseDevice({"vendor/class=a,required", {}})->required);
  EXPECT_EQ(ParseDevice({"name=v/c", {}})->name, "v/c");
  for (const std::string_view bad : {"", "required", "a,b", "a,required=x"}) {
    EXPECT_FALSE(ParseDevice({std::string(bad), {}}).ok()) << bad;
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax

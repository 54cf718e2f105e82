#include "fuse/errno_map.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace starling::fuse {
namespace {

TEST(ErrnoOf, MapsEveryCode) {
  const struct {
    StatusCode code;
    int want;
  } cases[] = {
      {StatusCode::kOk, 0},
      {StatusCode::kDataLoss, EIO},
      {StatusCode::kUnavailable, EIO},
      {StatusCode::kDeadlineExceeded, EIO},
      {StatusCode::kCancelled, EIO},
      {StatusCode::kUnauthenticated, EIO},
      {StatusCode::kPermissionDenied, EIO},
      {StatusCode::kResourceExhausted, EIO},
      {StatusCode::kInternal, EIO},
      {StatusCode::kNotFound, ENOENT},
      {StatusCode::kInvalidArgument, EINVAL},
      {StatusCode::kUnimplemented, ENOSYS},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ErrnoOf(c.code), c.want) << static_cast<int>(c.code);
  }
}

}  // namespace
}  // namespace starling::fuse

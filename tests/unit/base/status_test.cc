#include "base/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace starling {
namespace {

StatusOr<int> Half(int value) {
  if (value % 2 != 0) {
    return MakeError(StatusCode::kInvalidArgument, "odd");
  }
  return value / 2;
}

StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  return Half(half);
}

TEST(Status, MacrosPassValuesAndErrors) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Quarter(7).status().code(), StatusCode::kInvalidArgument);
}

TEST(Status, AnnotateKeepsTheCodeAndPrefixesTheMessage) {
  const Status status = Annotate(MakeError(StatusCode::kDataLoss, "digest differs"), "layer 3");
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(Describe(status), "corrupt data: layer 3: digest differs");
  EXPECT_TRUE(Annotate(OkStatus(), "nothing").ok());
}

TEST(Status, ErrnoBecomesACode) {
  const struct {
    int error_number;
    StatusCode want;
  } cases[] = {
      {ENOENT, StatusCode::kNotFound},          {EEXIST, StatusCode::kAlreadyExists},
      {ENOSPC, StatusCode::kResourceExhausted}, {EROFS, StatusCode::kPermissionDenied},
      {EBUSY, StatusCode::kFailedPrecondition}, {EIO, StatusCode::kInternal},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ErrnoError(c.error_number, "open").code(), c.want) << c.error_number;
  }
}

}  // namespace
}  // namespace starling

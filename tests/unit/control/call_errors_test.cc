#include "control/call_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::control {
namespace {

using testing::HasSubstr;

TEST(ResultOfCallTest, SaysWhatPeopleCanDo) {
  EXPECT_TRUE(ResultOfCall(grpc::Status::OK, "/s").ok());
  const Status other = ResultOfCall({grpc::StatusCode::NOT_FOUND, "there is no such layer"}, "/s");
  EXPECT_EQ(other, MakeError(StatusCode::kNotFound, "there is no such layer"));
  const Status away = ResultOfCall({grpc::StatusCode::UNAVAILABLE, "x"}, "/s");
  EXPECT_EQ(away.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(away)), HasSubstr("nobody answers at /s"));
  const Status old = ResultOfCall({grpc::StatusCode::UNIMPLEMENTED, "x"}, "/s");
  EXPECT_EQ(old.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(MessageOf(old)), HasSubstr("/s is served by an older starling"));
}

}  // namespace
}  // namespace starling::control

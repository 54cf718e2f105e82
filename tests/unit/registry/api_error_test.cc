#include "registry/api_error.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(ErrorOfResponse, QuotesTheRegistryWithinLimits) {
  const struct {
    const char* name;
    int status;
    std::string body;
    StatusCode code;
    std::string want;
  } cases[] = {
      {"errors", 404, R"({"errors":[{"code":"A","message":"b"}]})", StatusCode::kNotFound,
       "x: answered 404 Not Found (A: b)"},
      {"details", 401, R"({"details":"d"})", StatusCode::kUnauthenticated,
       "x: answered 401 Unauthorized (d)"},
      {"no JSON", 502, "<html>", StatusCode::kUnavailable, "x: answered 502 Bad Gateway"},
      {"other types", 416, R"({"errors":{"code":1}})", StatusCode::kOutOfRange,
       "x: answered 416 Range Not Satisfiable"},
      {"list of numbers", 418, R"({"errors":[1]})", StatusCode::kFailedPrecondition,
       "x: answered 418"},
      {"long", 429, R"({"message":")" + std::string(1000, 'm') + "\"}",
       StatusCode::kResourceExhausted,
       "x: answered 429 Too Many Requests (" + std::string(300, 'm') + "...)"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = ErrorOfResponse({.status = c.status, .body = ToBytes(c.body)}, "x");
    EXPECT_EQ(status.code(), c.code);
    EXPECT_EQ(MessageOf(status), c.want);
  }
}

TEST(NamesError, LooksAtAllErrors) {
  const struct {
    const char* name;
    std::string body;
    bool want;
  } cases[] = {
      {"the second", R"({"errors":[{"code":"B"},{"code":"A"}]})", true},
      {"none of them", R"({"errors":[{"code":"B"},7,{"code":1},{}]})", false},
      {"no list", R"({"errors":{"code":"A"}})", false},
      {"no errors", R"({"code":"A"})", false},
      {"a list", R"([{"code":"A"}])", false},
      {"no JSON", "A", false},
      {"nothing", "", false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(NamesError({.status = 400, .body = ToBytes(c.body)}, "A"), c.want);
  }
}

}  // namespace
}  // namespace starling::registry

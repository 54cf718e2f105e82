#include "fuse/id_mapping.h"

#include <gtest/gtest.h>

#include <cstring>

#include "fuse/kernel_abi.h"

namespace starling::fuse {
namespace {

using kernel_abi::InHeader;
using kernel_abi::InitIn;
using kernel_abi::InitOut;
using kernel_abi::kAllowIdMapping;
using kernel_abi::kInitExtended;
using kernel_abi::OutHeader;

template <typename Header, typename Body>
Bytes Message(const Header& header, const Body& body) {
  Bytes bytes(sizeof header + sizeof body + 28);  // with some of what later versions added
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
  return bytes;
}

InitOut BodyOf(const Bytes& answer) {
  InitOut body;
  std::memcpy(&body, answer.data() + sizeof(OutHeader), sizeof body);
  return body;
}

Bytes Request(uint32_t flags, uint32_t more_flags) {
  return Message(InHeader{.opcode = kernel_abi::kOpInit},
                 InitIn{.major = 7, .minor = 41, .flags = flags, .more_flags = more_flags});
}

TEST(AllowIdMapping, AnswersWhatIsOffered) {
  Bytes answer =
      Message(OutHeader{.unique = 2},
              InitOut{.major = 7, .minor = 38, .flags = 5, .map_alignment = 9, .more_flags = 2});
  AllowIdMapping(Request(kInitExtended, kAllowIdMapping | 1), answer);
  const InitOut body = BodyOf(answer);
  EXPECT_EQ(body.flags, kInitExtended | 5U);
  EXPECT_EQ(body.more_flags, kAllowIdMapping | 2U);
  EXPECT_EQ(body.map_alignment, 9);
  EXPECT_EQ(body.minor, 38U);
}

TEST(AllowIdMapping, LeavesOtherAnswersAlone) {
  const Bytes fine = Message(OutHeader{.unique = 2}, InitOut{.major = 7, .minor = 38, .flags = 5});
  const struct {
    std::string_view name;
    Bytes request;
    Bytes answer;
  } cases[] = {
      {"a kernel before 5.17", Request(0, kAllowIdMapping), fine},
      {"a kernel before 6.12", Request(kInitExtended, 0xff), fine},
      {"an error", Request(kInitExtended, kAllowIdMapping),
       Message(OutHeader{.error = -71, .unique = 2}, InitOut{})},
      {"a short answer", Request(kInitExtended, kAllowIdMapping),
       Bytes(fine.begin(), fine.begin() + sizeof(OutHeader) + sizeof(InitOut) - 1)},
      {"a short request", Bytes(sizeof(InHeader) + sizeof(InitIn) - 1, std::byte{0xff}), fine},
      {"nothing", {}, {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes answer = c.answer;
    AllowIdMapping(c.request, answer);
    EXPECT_EQ(answer, c.answer);
  }
}

}  // namespace
}  // namespace starling::fuse

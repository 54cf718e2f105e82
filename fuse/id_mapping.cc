#include "fuse/id_mapping.h"

#include <cstring>

#include "fuse/kernel_abi.h"

namespace starling::fuse {

void AllowIdMapping(ByteSpan request, std::span<std::byte> answer) {
  kernel_abi::InitIn in;
  kernel_abi::OutHeader header;
  kernel_abi::InitOut out;
  if (request.size() < sizeof(kernel_abi::InHeader) + sizeof in ||
      answer.size() < sizeof header + sizeof out) {
    return;
  }
  std::memcpy(&in, request.data() + sizeof(kernel_abi::InHeader), sizeof in);
  std::memcpy(&header, answer.data(), sizeof header);
  const bool is_offered = (in.flags & kernel_abi::kInitExtended) != 0 &&
                          (in.more_flags & kernel_abi::kAllowIdMapping) != 0;
  if (header.error != 0 || !is_offered) {
    return;
  }
  const std::span<std::byte> body = answer.subspan(sizeof header, sizeof out);
  std::memcpy(&out, body.data(), sizeof out);
  out.flags |= kernel_abi::kInitExtended;
  out.more_flags |= kernel_abi::kAllowIdMapping;
  std::memcpy(body.data(), &out, sizeof out);
}

}  // namespace starling::fuse

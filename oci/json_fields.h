/// Reading JSON that came from outside. For .cc files only: no header of another module names it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "oci/digest.h"

namespace starling::oci {

/// Keeps the order of keys, so that a document can be written again as it came.
using Json = nlohmann::ordered_json;

/// Deeper documents are refused: no manifest or configuration nests more than a few levels.
inline constexpr size_t kMaxJsonDepth = 64;

/// Parses an object of at most `limit_bytes`. `what` starts every message.
/// Errors: kResourceExhausted when it is too large, kDataLoss when it is no such object.
StatusOr<Json> ParseJsonObject(ByteSpan text, uint64_t limit_bytes, std::string_view what);

/// The same for what people write by hand, where a mistake must not go unnoticed: kInvalidArgument,
/// in words that name no file, also for a member that is there twice in one object, and for more
/// than `max_depth` levels.
StatusOr<Json> ParseStrictJsonObject(ByteSpan text, int max_depth);

/// The member `key`; null when it is absent or null. Borrowed from `object`.
const Json* FindField(const Json& object, const char* key);
/// A text; empty when absent.
StatusOr<std::string> TextField(const Json& object, const char* key);
/// A list of texts; empty when absent. A single text counts as a list of one, as in Docker.
StatusOr<std::vector<std::string>> TextListField(const Json& object, const char* key);
/// A required integer, 0 <= n < 2^63.
StatusOr<uint64_t> SizeField(const Json& object, const char* key);
/// A required digest.
StatusOr<Digest> DigestField(const Json& object, const char* key);

/// Compact text. Never fails: bytes that are not UTF-8 become U+FFFD.
std::string WriteJson(const Json& document);

}  // namespace starling::oci

#include "dockerfile/build/key_part_json.h"

namespace starling::dockerfile::build {

oci::Json KeyPartsJson(const std::vector<plan::KeyPart>& parts) {
  oci::Json json = oci::Json::array();
  for (const plan::KeyPart& part : parts) {
    json.push_back({{"name", part.name}, {"value", part.value}});
  }
  return json;
}

StatusOr<std::vector<plan::KeyPart>> KeyPartsIn(const oci::Json* json) {
  if (json == nullptr || !json->is_array()) {
    return MakeError(StatusCode::kDataLoss, "a record without parts");
  }
  std::vector<plan::KeyPart> parts;
  for (const oci::Json& entry : *json) {
    const oci::Json* name = entry.is_object() ? oci::FindField(entry, "name") : nullptr;
    const oci::Json* value = entry.is_object() ? oci::FindField(entry, "value") : nullptr;
    if (name == nullptr || !name->is_string() || value == nullptr || !value->is_string()) {
      return MakeError(StatusCode::kDataLoss, "a record with odd parts");
    }
    parts.push_back({.name = name->get<std::string>(), .value = value->get<std::string>()});
  }
  return parts;
}

}  // namespace starling::dockerfile::build

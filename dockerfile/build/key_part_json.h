/// Parts of keys in documents. For .cc files only, as oci/json_fields.h.
#pragma once

#include <vector>

#include "base/status.h"
#include "dockerfile/plan/keys.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::build {

oci::Json KeyPartsJson(const std::vector<plan::KeyPart>& parts);
/// kDataLoss for anything that KeyPartsJson does not write; `json` may be null.
StatusOr<std::vector<plan::KeyPart>> KeyPartsIn(const oci::Json* json);

}  // namespace starling::dockerfile::build

#pragma once

#include "api/starling/control/v1/status.pb.h"
#include "layer/status.h"

namespace starling::control {

v1::SlowRead ToProto(const layer::NamedRead& named);
v1::LayerStatus ToProto(const layer::LayerStatus& status);

/// kInvalidArgument for what no server sends.
StatusOr<layer::NamedRead> FromProto(const v1::SlowRead& from);
StatusOr<layer::LayerStatus> FromProto(const v1::LayerStatus& from);

}  // namespace starling::control

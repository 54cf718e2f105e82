#pragma once

#include "api/starling/control/v1/status.pb.h"
#include "layer/status.h"

namespace starling::control {

v1::SlowRead ToProto(const layer::NamedRead& named);
v1::LayerStatus ToProto(const layer::LayerStatus& status);
v1::ContainerStalls ToProto(const layer::ContainerStalls& stalls);
v1::Fallback ToProto(const layer::Fallback& fallback);
std::vector<v1::StartsPart> ToProto(const layer::ImageStart& start);

/// kInvalidArgument for what no server sends.
StatusOr<layer::NamedRead> FromProto(const v1::SlowRead& from);
StatusOr<layer::LayerStatus> FromProto(const v1::LayerStatus& from);
layer::ContainerStalls FromProto(const v1::ContainerStalls& from);
StatusOr<layer::Fallback> FromProto(const v1::Fallback& from);
/// Adds a start, or an entry to the last of them.
Status AddPart(const v1::StartsPart& part, std::vector<layer::ImageStart>& starts);

}  // namespace starling::control

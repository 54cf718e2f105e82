#include "layer/counters.h"

namespace starling::layer {

std::string_view NameOf(Purpose purpose) {
  switch (purpose) {
    case Purpose::kDemand:
      return "demand";
    case Purpose::kReadahead:
      return "readahead";
    case Purpose::kPrefetch:
      return "prefetch";
    case Purpose::kBackground:
      return "background";
    case Purpose::kIndex:
      return "index";
    case Purpose::kWhole:
      break;
  }
  return "whole";
}

Purpose PurposeOf(oci::FetchClass fetch_class) {
  switch (fetch_class) {
    case oci::FetchClass::kDemand:
      return Purpose::kDemand;
    case oci::FetchClass::kReadahead:
      return Purpose::kReadahead;
    case oci::FetchClass::kPrefetch:
      return Purpose::kPrefetch;
    case oci::FetchClass::kBackground:
    case oci::FetchClass::kRest:
      break;
  }
  return Purpose::kBackground;
}

}  // namespace starling::layer

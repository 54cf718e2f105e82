#include "registry/http_transport.h"

#include <strings.h>

namespace starling::registry {
namespace {

bool SameName(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

bool MayReach(Reach reach, AddressKind kind) {
  switch (kind) {
    case AddressKind::kLocal:
      return reach == Reach::kAnywhere;
    case AddressKind::kLoopback:
      return reach != Reach::kOrdinary;
    case AddressKind::kOrdinary:
      break;
  }
  return true;
}

std::string_view HttpResponse::HeaderValue(std::string_view name) const {
  for (const Header& header : headers) {
    if (SameName(header.name, name)) {
      return header.value;
    }
  }
  return {};
}

std::vector<std::string_view> HttpResponse::HeaderValues(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Header& header : headers) {
    if (SameName(header.name, name)) {
      values.push_back(header.value);
    }
  }
  return values;
}

}  // namespace starling::registry

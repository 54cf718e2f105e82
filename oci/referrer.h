#pragma once

#include <optional>

#include "oci/image_store.h"

namespace starling::oci {

/// A manifest that names another as its subject, as it is listed among that one's referrers.
struct Referrer {
  Digest subject;
  Descriptor entry;
};

/// What `raw` is a referrer of; nothing when it names no subject. Errors: of its parsing.
/// Source: OCI distribution specification 1.1, "Listing Referrers", for the entry's fields.
StatusOr<std::optional<Referrer>> ReferrerOf(const RawManifest& raw);

/// The tag under which referrers are listed where there is no other way.
/// Source: OCI distribution specification 1.1, "Referrers Tag Schema".
std::string ReferrersTagOf(const Digest& subject);

}  // namespace starling::oci

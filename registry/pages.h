#pragma once

#include <functional>
#include <string>

#include "registry/repository_api.h"

namespace starling::registry {

/// A list that a registry gives in pages, each of which names the next (Link, relation "next").
/// Source: OCI distribution specification 1.1, "Listing Tags", "Listing Referrers".
struct PagedList {
  std::string url;     // of the first page
  std::string accept;  // media type
  int max_pages = 0;
  std::function<RetryPolicy()> retry;  // of a request that starts now
  /// Takes an answer, of whatever status; `page` counts from 0. An error ends the list with that.
  std::function<Status(int page, const HttpResponse&)> take;
};

/// Blocks. kResourceExhausted beyond the pages allowed; kPermissionDenied when a page is not at the
/// registry itself, which could ask anybody in our name.
Status ReadPages(RepositoryApi& api, const PagedList& list);

}  // namespace starling::registry

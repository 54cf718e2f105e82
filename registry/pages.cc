#include "registry/pages.h"

#include "oci/manifest.h"
#include "registry/link_header.h"

namespace starling::registry {

Status ReadPages(RepositoryApi& api, const PagedList& list) {
  std::string url = list.url;
  for (int page = 0; page < list.max_pages; ++page) {
    ASSIGN_OR_RETURN(const ApiResponse response,
                     api.CallAndWait({.url = url,
                                      .headers = {{.name = "Accept", .value = list.accept}},
                                      .max_body_bytes = oci::kMaxManifestBytes,
                                      .retry = list.retry()}));
    RETURN_IF_ERROR(list.take(page, response.http));
    const std::string next = NextLink(response.http.HeaderValues("Link"));
    if (next.empty()) {
      return OkStatus();
    }
    ASSIGN_OR_RETURN(const Url here, Url::Parse(response.url));
    ASSIGN_OR_RETURN(const Url next_url, here.Resolve(next));
    if (!next_url.SameOrigin(api.base())) {
      return MakeError(StatusCode::kPermissionDenied,
                       fmt::format("the next page is elsewhere: {}", next_url.ForMessages()));
    }
    url = next_url.text();
  }
  return MakeError(StatusCode::kResourceExhausted,
                   fmt::format("more than {} pages", list.max_pages));
}

}  // namespace starling::registry

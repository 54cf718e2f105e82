#include "registry/manifest_removal.h"

#include "oci/digest.h"

namespace starling::registry {

Status RemoveManifest(const std::shared_ptr<RepositoryApi>& api, const std::string& object,
                      RetryPolicy retry) {
  const std::string what = fmt::format("manifest {}: delete", object);
  const auto response = api->CallAndWait(
      {.method = "DELETE", .url = api->UrlOf("manifests/" + object), .retry = retry});
  if (!response.ok()) {
    return api->Explain(response.status(), what);
  }
  const int status = response->http.status;
  if (status == 200 || status == 202 || status == 204) {
    return OkStatus();
  }
  const bool is_tag = !oci::Digest::Parse(object).ok();
  // docker-registry says 400 of a tag: it takes it for a wrong digest.
  if (status == 405 || status == 501 || (status == 400 && is_tag)) {
    return MakeError(
        StatusCode::kUnimplemented,
        fmt::format("{}; {}", MessageOf(api->ErrorOf(response->http, what)),
                    is_tag
                        ? "the registry deletes nothing by its tag; name the manifest by its "
                          "digest, which removes all of its tags"
                        : "the registry does not allow it; whoever runs it may (docker-registry: "
                          "storage.delete.enabled)"));
  }
  return api->ErrorOf(response->http, what);
}

}  // namespace starling::registry

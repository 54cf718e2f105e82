#include "registry/manifest_upload.h"

namespace starling::registry {

StatusOr<HttpResponse> UploadManifest(const std::shared_ptr<RepositoryApi>& api,
                                      const oci::RawManifest& manifest, const std::string& object,
                                      RetryPolicy retry) {
  const std::string what = fmt::format("manifest {}", object);
  auto response =
      api->CallAndWait({.method = "PUT",
                        .url = api->UrlOf("manifests/" + object),
                        .headers = {{.name = "Content-Type", .value = manifest.media_type}},
                        .body = manifest.bytes,
                        .retry = retry});
  if (!response.ok()) {
    return api->Explain(response.status(), what);
  }
  if (response->http.status != 201 && response->http.status != 202) {
    return api->ErrorOf(response->http, what);
  }
  const std::string_view stored = response->http.HeaderValue("Docker-Content-Digest");
  if (stored.starts_with("sha256:") && stored != manifest.digest.ToString()) {
    return api->Explain(MakeError(StatusCode::kDataLoss,
                                  fmt::format("the registry stored {}", Printable(stored, 100))),
                        what);
  }
  return std::move(response->http);
}

}  // namespace starling::registry

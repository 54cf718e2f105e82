#include "registry/manifest_upload.h"

#include "registry/api_error.h"

namespace starling::registry {
namespace {

StatusOr<ApiResponse> Put(RepositoryApi& api, const oci::RawManifest& manifest,
                          const std::string& object, RetryPolicy retry) {
  return api.CallAndWait({.method = "PUT",
                          .url = api.UrlOf("manifests/" + object),
                          .headers = {{.name = "Content-Type", .value = manifest.media_type}},
                          .body = manifest.bytes,
                          .retry = retry});
}

}  // namespace

StatusOr<HttpResponse> UploadManifest(const std::shared_ptr<RepositoryApi>& api,
                                      const oci::RawManifest& manifest, const std::string& object,
                                      RetryPolicy retry) {
  const std::string what = fmt::format("manifest {}", object);
  auto response = Put(*api, manifest, object, retry);
  for (int retries = 0; retries < kMaxBlobUnknownRetries && response.ok() &&
                        NamesError(response->http, "MANIFEST_BLOB_UNKNOWN");
       ++retries) {
    api->Wait(RetryDelay(retries));
    response = Put(*api, manifest, object, retry);
  }
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

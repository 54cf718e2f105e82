// Property: whatever a Secret, a kubelet configuration, a plugin's answer or a pull seems to say,
// YAML does not grow, names of programs stay in their directory, times can be added to a clock; and
// editing a JSON text gives one with that change.
#include <cstdlib>
#include <string>

#include "base/bytes.h"
#include "credentials/image_pattern.h"
#include "credentials/json_edit.h"
#include "credentials/kubelet_plugins.h"
#include "credentials/pull_secrets.h"
#include "cri/pull_auth.h"
#include "oci/json_fields.h"
#include "yaml/to_json.h"

namespace {

using namespace starling;               // NOLINT(google-build-using-namespace)
using namespace starling::credentials;  // NOLINT(google-build-using-namespace)

void Check(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void CheckYaml(std::string_view text) {
  const auto documents = yaml::ToJson(text);
  if (!documents.ok()) {
    return;
  }
  size_t size_bytes = 0;
  for (const std::string& document : *documents) {
    Check(oci::Json::accept(document));
    size_bytes += document.size();
  }
  // A NUL byte is six characters of JSON, and an empty document "null".
  Check(size_bytes <= 6 * text.size() + 4);
}

void CheckEdit(std::string_view text) {
  const std::vector<std::string> path = {"auths", "a"};
  const auto set = SetJsonMember(text, path, "7");
  if (!set.ok()) {
    return;
  }
  Check(oci::Json::parse(*set)["auths"]["a"] == 7);
  const auto erased = EraseJsonMember(*set, path);
  Check(erased.ok() && !oci::Json::parse(*erased)["auths"].contains("a"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  const std::string_view text = AsText(bytes);
  CheckYaml(text);
  CheckEdit(text);
  (void)ReadPullSecret(bytes);
  if (const auto plugins = ReadKubeletPlugins(bytes); plugins.ok()) {
    for (const KubeletPlugin& plugin : *plugins) {
      Check(!plugin.name.empty() && plugin.name != ".." &&
            plugin.name.find('/') == std::string::npos);
      Check(plugin.default_cache_duration >= std::chrono::milliseconds(0) &&
            plugin.default_cache_duration <= std::chrono::hours(24 * 366));
    }
  }
  (void)ReadKubeletAnswer(text, "credentialprovider.kubelet.k8s.io/v1");
  (void)MatchesImage(text, {.registry = "a.dkr.ecr.eu-west-1.amazonaws.com", .repository = "app"});
  if (const auto auth = cri::ReadPullAuth(text); auth.ok() && *auth) {
    Check(!(*auth)->credentials.anonymous() && !(*auth)->whose.repository.empty());
  }
  return 0;
}

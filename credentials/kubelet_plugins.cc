#include "credentials/kubelet_plugins.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "credentials/program.h"
#include "oci/json_fields.h"
#include "registry/url.h"
#include "yaml/to_json.h"

namespace starling::credentials {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestDuration = std::chrono::hours(24 * 366);
constexpr size_t kMaxRefusedOfRepository = 100;
constexpr size_t kMaxShared = 1000;
constexpr std::array<std::string_view, 3> kApiVersions = {
    "credentialprovider.kubelet.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1"};

Status Wrong(std::string_view what) { return MakeError(StatusCode::kInvalidArgument, what); }

Status CheckName(const std::string& name) {
  const bool is_clean = !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
                        std::ranges::none_of(name, [](char c) {
                          return c == '/' || static_cast<unsigned char>(c) <= 0x20;
                        });
  return is_clean ? OkStatus()
                  : Wrong(fmt::format("\"{}\" is not the name of a program",
                                      registry::Printable(name, 100)));
}

StatusOr<std::vector<std::pair<std::string, std::string>>> VariablesOf(const oci::Json& plugin) {
  std::vector<std::pair<std::string, std::string>> variables;
  const oci::Json* env = oci::FindField(plugin, "env");
  if (env == nullptr) {
    return variables;
  }
  if (!env->is_array()) {
    return Wrong("env is not a list");
  }
  for (const oci::Json& item : *env) {
    if (!item.is_object()) {
      return Wrong("env holds something else than name and value");
    }
    ASSIGN_OR_RETURN(std::string name, oci::TextField(item, "name"));
    ASSIGN_OR_RETURN(std::string value, oci::TextField(item, "value"));
    if (name.empty() || name.find('=') != std::string::npos) {
      return Wrong("env holds a name that is none");
    }
    variables.emplace_back(std::move(name), std::move(value));
  }
  return variables;
}

StatusOr<KubeletPlugin> PluginOf(const oci::Json& json) {
  KubeletPlugin plugin;
  ASSIGN_OR_RETURN(plugin.name, oci::TextField(json, "name"));
  RETURN_IF_ERROR(CheckName(plugin.name));
  const auto read = [&]() -> Status {
    ASSIGN_OR_RETURN(plugin.api_version, oci::TextField(json, "apiVersion"));
    if (std::ranges::find(kApiVersions, plugin.api_version) == kApiVersions.end()) {
      return Wrong(fmt::format("its apiVersion must be {}", kApiVersions.front()));
    }
    ASSIGN_OR_RETURN(plugin.match_images, oci::TextListField(json, "matchImages"));
    if (plugin.match_images.empty()) {
      return Wrong("it has no matchImages");
    }
    ASSIGN_OR_RETURN(const std::string duration, oci::TextField(json, "defaultCacheDuration"));
    if (duration.empty()) {
      return Wrong("it has no defaultCacheDuration");
    }
    ASSIGN_OR_RETURN(plugin.default_cache_duration, ParseGoDuration(duration));
    ASSIGN_OR_RETURN(plugin.arguments, oci::TextListField(json, "args"));
    ASSIGN_OR_RETURN(plugin.variables, VariablesOf(json));
    return OkStatus();
  };
  RETURN_IF_ERROR(Annotate(read(), plugin.name));
  if (oci::FindField(json, "tokenAttributes") != nullptr) {
    plugin.unusable =
        "it wants the service account token of a pod (tokenAttributes), which only "
        "kubelet has";
  }
  return plugin;
}

std::string ImageOf(const registry::CredentialRequest& request) {
  return request.repository.empty() ? request.registry
                                    : fmt::format("{}/{}", request.registry, request.repository);
}

/// Keys of what a plugin has said: for one image, for a registry, for all.
std::string KeyFor(const KubeletPlugin& plugin, std::string_view what) {
  return fmt::format("{}\n{}", plugin.name, what);
}

}  // namespace

StatusOr<milliseconds> ParseGoDuration(std::string_view text) {
  using Nanoseconds = std::chrono::duration<double, std::nano>;
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1},   {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3},
      {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9}};
  const Status wrong = Wrong(
      fmt::format("\"{}\" is not a duration such as 12h or 1m30s", registry::Printable(text, 50)));
  if (text == "0") {
    return milliseconds(0);
  }
  double sum = 0;
  do {
    double number = 0;
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
    if (digits == 0 || error != std::errc() || end != text.data() + digits) {
      return wrong;
    }
    text.remove_prefix(digits);
    const size_t unit_size = std::min(text.find_first_of("0123456789."), text.size());
    const auto* const unit = std::ranges::find(kUnits, text.substr(0, unit_size),
                                               &std::pair<std::string_view, double>::first);
    if (unit == std::end(kUnits)) {
      return wrong;
    }
    sum += number * unit->second;
    text.remove_prefix(unit_size);
  } while (!text.empty());
  if (Nanoseconds(sum) > kLongestDuration) {
    return wrong;
  }
  return std::chrono::duration_cast<milliseconds>(Nanoseconds(sum));
}

StatusOr<std::vector<KubeletPlugin>> ReadKubeletPlugins(ByteSpan text) {
  ASSIGN_OR_RETURN(const std::vector<std::string> documents, yaml::ToJson(AsText(text)));
  if (documents.size() != 1) {
    return Wrong("it is not one document");
  }
  const auto config = oci::ParseJsonObject(AsBytes(documents.front()), yaml::kMaxBytes * 6, "text");
  if (!config.ok() || oci::TextField(*config, "kind").value_or("") != "CredentialProviderConfig" ||
      !oci::TextField(*config, "apiVersion").value_or("").starts_with("kubelet.config.k8s.io/v1")) {
    return Wrong("it is no CredentialProviderConfig of kubelet.config.k8s.io/v1");
  }
  const oci::Json* providers = oci::FindField(*config, "providers");
  if (providers == nullptr || !providers->is_array()) {
    return Wrong("it has no providers");
  }
  std::vector<KubeletPlugin> plugins;
  for (const oci::Json& provider : *providers) {
    if (!provider.is_object()) {
      return Wrong("one of its providers is no object");
    }
    auto plugin = PluginOf(provider);
    if (!plugin.ok()) {
      return Wrong(MessageOf(plugin.status()));
    }
    if (std::ranges::find(plugins, plugin->name, &KubeletPlugin::name) != plugins.end()) {
      return Wrong(fmt::format("{} is there twice", plugin->name));
    }
    plugins.push_back(*std::move(plugin));
  }
  return plugins;
}

StatusOr<KubeletAnswer> ReadKubeletAnswer(std::string_view json, const std::string& api_version) {
  const auto answer = oci::ParseJsonObject(AsBytes(json), kMaxAnswerBytes, "answer");
  if (!answer.ok() ||
      oci::TextField(*answer, "kind").value_or("") != "CredentialProviderResponse" ||
      oci::TextField(*answer, "apiVersion").value_or("") != api_version) {
    return Wrong(fmt::format("its answer is no CredentialProviderResponse of {}", api_version));
  }
  KubeletAnswer read;
  const std::string scope = oci::TextField(*answer, "cacheKeyType").value_or("");
  if (scope == "Registry") {
    read.scope = KubeletAnswer::Scope::kRegistry;
  } else if (scope == "Global") {
    read.scope = KubeletAnswer::Scope::kGlobal;
  } else if (scope != "Image") {
    return Wrong("its answer's cacheKeyType is none of Image, Registry and Global");
  }
  if (oci::FindField(*answer, "cacheDuration") != nullptr) {
    const auto duration = ParseGoDuration(oci::TextField(*answer, "cacheDuration").value_or(""));
    if (!duration.ok()) {
      return Wrong("its answer's cacheDuration is none");
    }
    read.cache_duration = *duration;
  }
  const oci::Json* auth = oci::FindField(*answer, "auth");
  if (auth == nullptr) {
    return read;
  }
  if (!auth->is_object()) {
    return Wrong("its answer's auth is no object");
  }
  for (const auto& [pattern, login] : auth->items()) {
    if (!login.is_object()) {
      return Wrong("its answer's auth holds something else than logins");
    }
    read.logins.push_back(
        {.pattern = pattern,
         .credentials = {.username = oci::TextField(login, "username").value_or(""),
                         .password = oci::TextField(login, "password").value_or("")}});
  }
  return read;
}

KubeletPlugins::KubeletPlugins(FileSystem& files, const Clock& clock, Options options)
    : files_(files),
      clock_(clock),
      options_(std::move(options)),
      cache_(clock),
      refused_(kMaxRefusedOfRepository) {}

StatusOr<registry::Credentials> KubeletPlugins::Find(const registry::CredentialRequest& request) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(files_, options_.config_file, yaml::kMaxBytes));
  const auto plugins = ReadKubeletPlugins(text);
  if (!plugins.ok()) {
    return Annotate(plugins.status(), options_.config_file.string());
  }
  Logins logins;
  std::string asked;
  std::string problems;
  for (const KubeletPlugin& plugin : *plugins) {
    if (std::ranges::none_of(plugin.match_images, [&request](const std::string& pattern) {
          return MatchesImage(pattern, request);
        })) {
      continue;
    }
    asked += (asked.empty() ? "" : ", ") + plugin.name;
    auto said = Ask(plugin, request);
    if (said.ok()) {
      std::ranges::move(LoginsFor(request, *std::move(said)), std::back_inserter(logins));
    } else {
      problems += fmt::format("{}{}: {}", problems.empty() ? "" : ", ", plugin.name,
                              MessageOf(said.status()));
    }
  }
  std::erase_if(logins, [](const PatternLogin& login) { return login.credentials.anonymous(); });
  for (const PatternLogin& login : logins) {
    if (!refused_.Contains(request, login.credentials)) {
      return login.credentials;
    }
  }
  if (!logins.empty()) {  // all were refused, perhaps in an outage
    refused_.Forget(request);
    return logins.front().credentials;
  }
  if (!problems.empty()) {
    return MakeError(StatusCode::kUnauthenticated, problems);
  }
  return MakeError(StatusCode::kNotFound,
                   asked.empty() ? fmt::format("none of them is for {}", ImageOf(request))
                                 : fmt::format("{} gave none", asked));
}

void KubeletPlugins::Refused(const registry::CredentialRequest& request,
                             const registry::Credentials& refused) {
  refused_.Add(request, refused);
  const auto text = ReadFile(files_, options_.config_file, yaml::kMaxBytes);
  const auto plugins =
      text.ok() ? ReadKubeletPlugins(*text) : StatusOr<std::vector<KubeletPlugin>>(text.status());
  if (!plugins.ok()) {
    return;
  }
  for (const KubeletPlugin& plugin : *plugins) {
    cache_.Forget(KeyFor(plugin, ImageOf(request)));
    MutexLock lock(mutex_);
    shared_.erase(KeyFor(plugin, request.registry + "/"));
    shared_.erase(KeyFor(plugin, ""));
  }
}

StatusOr<KubeletPlugins::Logins> KubeletPlugins::Ask(const KubeletPlugin& plugin,
                                                     const registry::CredentialRequest& request) {
  if (!plugin.unusable.empty()) {
    return MakeError(StatusCode::kUnimplemented, plugin.unusable);
  }
  return cache_.Get(KeyFor(plugin, ImageOf(request)), [&]() -> StatusOr<Cache::Fetched> {
    if (auto shared = Shared(plugin, request)) {
      return *std::move(shared);
    }
    return Run(plugin, request);
  });
}

StatusOr<KubeletPlugins::Cache::Fetched> KubeletPlugins::Run(
    const KubeletPlugin& plugin, const registry::CredentialRequest& request) {
  const std::string question = oci::WriteJson({{"kind", "CredentialProviderRequest"},
                                               {"apiVersion", plugin.api_version},
                                               {"image", ImageOf(request)}});
  ASSIGN_OR_RETURN(const ProgramAnswer said,
                   RunProgram({.program = (options_.bin_dir / plugin.name).string(),
                               .arguments = plugin.arguments,
                               .variables = plugin.variables,
                               .input = question,
                               .timeout = options_.timeout}));
  if (said.exit_status != 0) {
    return MakeError(StatusCode::kUnauthenticated,
                     said.exit_status < 0
                         ? "it was killed"
                         : fmt::format("it ended with exit code {}", said.exit_status));
  }
  ASSIGN_OR_RETURN(KubeletAnswer answer, ReadKubeletAnswer(said.output, plugin.api_version));
  const milliseconds duration = answer.cache_duration.value_or(plugin.default_cache_duration);
  const auto renew_at = clock_.Now() + duration;
  for (PatternLogin& login : answer.logins) {
    // What is not to be kept is asked for anew only when it is refused.
    if (duration.count() > 0) {
      login.credentials.renew_at = renew_at;
    }
  }
  Cache::Fetched fetched{.value = std::move(answer.logins), .renew_at = renew_at};
  if (answer.scope != KubeletAnswer::Scope::kImage && duration.count() > 0) {
    MutexLock lock(mutex_);
    if (shared_.size() >= kMaxShared) {
      shared_.clear();
    }
    const bool is_global = answer.scope == KubeletAnswer::Scope::kGlobal;
    shared_.insert_or_assign(KeyFor(plugin, is_global ? "" : request.registry + "/"), fetched);
  }
  return fetched;
}

std::optional<KubeletPlugins::Cache::Fetched> KubeletPlugins::Shared(
    const KubeletPlugin& plugin, const registry::CredentialRequest& request) {
  MutexLock lock(mutex_);
  for (const std::string& what : {request.registry + "/", std::string()}) {
    const auto found = shared_.find(KeyFor(plugin, what));
    if (found != shared_.end() && clock_.Now() < found->second.renew_at) {
      return found->second;
    }
  }
  return std::nullopt;
}

}  // namespace starling::credentials

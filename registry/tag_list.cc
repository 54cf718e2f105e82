#include "registry/tag_list.h"

#include <nlohmann/json.hpp>

#include "oci/reference.h"
#include "registry/pages.h"

namespace starling::registry {
namespace {

constexpr int kMaxPages = 2000;
constexpr int kTagsPerPage = 1000;
constexpr std::string_view kWhat = "tags";

Status AddTags(const HttpResponse& response, std::vector<std::string>& tags) {
  const auto json = nlohmann::json::parse(AsText(response.body), nullptr, false);
  const auto list = json.is_object() ? json.find("tags") : json.end();
  if (!json.is_object() || list == json.end() || (!list->is_array() && !list->is_null())) {
    return MakeError(StatusCode::kDataLoss, "the answer is no list of tags");
  }
  for (const auto& tag : *list) {  // null, of a repository without tags, has none
    if (!tag.is_string() || !oci::Reference::Parse("a.example/a:" + tag.get<std::string>()).ok()) {
      return MakeError(StatusCode::kDataLoss, "the registry lists something that is no tag");
    }
    if (tags.size() == kMaxTags) {
      return MakeError(StatusCode::kResourceExhausted, fmt::format("more than {} tags", kMaxTags));
    }
    tags.push_back(tag.get<std::string>());
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<std::string>> ListTags(const std::shared_ptr<RepositoryApi>& api,
                                            const std::function<RetryPolicy()>& retry) {
  ASSIGN_OR_RETURN(const Url all, Url::Parse(api->UrlOf("tags/list")));
  ASSIGN_OR_RETURN(const Url first, all.WithQuery("n", std::to_string(kTagsPerPage)));
  std::vector<std::string> tags;
  bool is_explained = false;
  const Status read = ReadPages(*api, {.url = first.text(),
                                       .accept = "application/json",
                                       .max_pages = kMaxPages,
                                       .retry = retry,
                                       .take = [&](int, const HttpResponse& response) {
                                         if (response.status != 200) {
                                           is_explained = true;
                                           return api->ErrorOf(response, kWhat);
                                         }
                                         return AddTags(response, tags);
                                       }});
  if (!read.ok()) {
    return is_explained ? read : api->Explain(read, kWhat);
  }
  return tags;
}

}  // namespace starling::registry

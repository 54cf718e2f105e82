// BuildKit's tables for the configuration and the history of images.
#include <gtest/gtest.h>

#include "dockerfile/plan/plan.h"
#include "tests/support/acceptance.h"

namespace starling::dockerfile::plan {
namespace {

using nlohmann::json;
using testing::AcceptanceDirectory;
using testing::AcceptanceTable;
using testing::ReadJson;

constexpr const char* kEpoch = "SOURCE_DATE_EPOCH is given on the command line, not by a stage";

/// Every image is the table's: a shell, one line of history.
class TableImages : public ImageResolver {
 public:
  StatusOr<BaseImage> ResolveImage(const std::string& reference,
                                   const oci::Platform& platform) override {
    return BaseImage{
        .reference = reference,
        .platform = platform,
        .manifest = oci::Digest::Of(AsBytes(reference)),
        .config = R"({"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/local/sbin:)"
                  R"(/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"]},)"
                  R"("rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"base"}]})"};
  }
};

std::string Differ(const json& got, const json& want) {
  return got == want ? "" : fmt::format("got  {}\nwant {}", got.dump(), want.dump());
}

TEST(ConfigAcceptance, UpstreamDockerfiles) {
  STARLING_NEED_ACCEPTANCE("dockerfile/upstream_dockerfiles_config.json")
  const std::string lint = "lint's findings are --check's";
  AcceptanceTable table("upstream_dockerfiles_config.json",
                        {{"testMountFromError#0", "variables in from= are expanded here"},
                         {"testDeviceRunEnv#0", "--device needs no frontend of its own"},
                         {"testRuleCheckOption#5", lint},
                         {"testRuleCheckOption#6", lint},
                         {"testSourceDateEpochDockerfileDefaultInvalid#0", kEpoch},
                         {"testSourceDateEpochStageInvalid#0", kEpoch},
                         {"testSourceDateEpochNamedContextHTTPLastModified#0", kEpoch},
                         {"testSourceDateEpochNamedContextHTTPArchive#0", kEpoch}});
  for (const json& row :
       ReadJson(AcceptanceDirectory() / "dockerfile/upstream_dockerfiles_config.json")) {
    const std::string name = row["name"];
    const syntax::Dockerfile dockerfile =
        syntax::ParseDockerfile(row["dockerfile"].get<std::string>());
    PlanSettings settings;
    settings.build.build_platform = {.os = "linux", .architecture = "amd64"};
    settings.build.target_platform = settings.build.build_platform;
    TableImages images;
    const auto plan = MakePlan(dockerfile, settings, images);
    if (row.contains("error")) {
      table.Row(name, !plan.ok() ? "" : "accepted");
      continue;
    }
    if (!plan.ok()) {
      table.Row(name,
                fmt::format("line {}: {}", plan.status().range.begin.line, plan.status().message));
      continue;
    }
    const json config = json::parse(ConfigJson(plan->image, {}, {}));
    json image = config;
    image.erase("rootfs");
    image.erase("history");
    const std::string differs = Differ(image, row["image"]);
    json history = row["history"].is_array() ? row["history"] : json::array();
    table.Row(name, !differs.empty() ? differs : Differ(config["history"], history));
  }
}

}  // namespace
}  // namespace starling::dockerfile::plan

#include "dockerfile/build/provenance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "dockerfile/plan/plan.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};

class AnyImage : public plan::ImageResolver {
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override {
    return plan::BaseImage{.reference = reference,
                           .platform = platform,
                           .manifest = oci::Digest::Of(AsBytes(reference)),
                           .config = R"({"config": {"Env": ["PATH=/bin"]}})"};
  }
};

class ProvenanceTest : public ::testing::Test {
 protected:
  void Plan(const std::string& text, const syntax::BuildArguments& arguments = {}) {
    AnyImage images;
    plan::PlanSettings settings;
    settings.build.arguments = arguments;
    settings.build.target_platform = kPlatform;
    auto plan = plan::MakePlan(syntax::ParseDockerfile(text), settings, images);
    ASSERT_TRUE(plan.ok()) << plan.status().message;
    plan_ = *std::move(plan);
    story_.dockerfile = text;
    story_.file_name = "Dockerfile";
    story_.platform = kPlatform;
    story_.build_arguments = {arguments.begin(), arguments.end()};
  }
  std::string Text() const { return ProvenanceOf(story_, plan_.graph, plan_.root); }
  Json Predicate() const { return Json::parse(Text()); }

  plan::Plan plan_;
  BuildStory story_;
};

TEST_F(ProvenanceTest, MinSaysWhereAllCameFrom) {
  Plan("FROM ghcr.io/me/base:1\nARG WHO\nRUN echo $WHO\nCOPY . /\n", {{"WHO", "the value"}});
  story_.materials = MaterialsOf(plan_.graph, plan_.root, {});
  story_.invocation_id = "build-7";
  story_.time = {std::chrono::sys_seconds(std::chrono::seconds(86400)),
                 std::chrono::sys_seconds(std::chrono::seconds(86405))};
  const Json predicate = Predicate();
  const Json& definition = predicate["buildDefinition"];
  EXPECT_EQ(definition["buildType"], kBuildType);
  EXPECT_EQ(definition["externalParameters"],
            Json::parse(R"({"configSource": {"path": "Dockerfile"},
                            "request": {"frontend": "dockerfile", "platform": "linux/amd64",
                                        "locals": ["context"]}})"));
  const oci::Digest base = oci::Digest::Of(AsBytes("ghcr.io/me/base:1"));
  EXPECT_EQ(definition["resolvedDependencies"],
            Json::array({{{"uri", "pkg:docker/ghcr.io/me/base@1?digest=" + base.ToString() +
                                      "&platform=linux%2Famd64"},
                          {"digest", {{"sha256", base.Hex()}}}}}));
  EXPECT_EQ(predicate["runDetails"]["metadata"],
            Json::parse(R"({"invocationId": "build-7", "startedOn": "1970-01-02T00:00:00Z",
                            "finishedOn": "1970-01-02T00:00:05Z", "starling_hermetic": false,
                            "starling_completeness": {"request": false,
                                                      "resolvedDependencies": false}})"));
  EXPECT_THAT(Text(), Not(HasSubstr("the value")));
  EXPECT_THAT(Text(), Not(HasSubstr("echo")));
}

TEST_F(ProvenanceTest, MaxSaysWhatWasAskedAndDone) {
  Plan(
      "FROM base\nARG WHO\n"
      "RUN --mount=type=secret,id=token --mount=type=ssh echo $WHO\n",
      {{"WHO", "the value"}, {"HTTPS_PROXY", "http://me:pass@proxy"}});
  story_.mode = ProvenanceMode::kMax;
  story_.labels = {{"a", "b"}};
  const Json predicate = Predicate();
  const Json& definition = predicate["buildDefinition"];
  EXPECT_EQ(definition["externalParameters"]["request"],
            Json::parse(R"({"frontend": "dockerfile", "platform": "linux/amd64", "locals": [],
                            "args": {"build-arg:WHO": "the value", "label:a": "b"},
                            "secrets": ["token"], "ssh": ["default"]})"));
  const Json& config = definition["internalParameters"]["buildConfig"];
  EXPECT_EQ(config["dockerfile"], story_.dockerfile);
  EXPECT_EQ(config["graph"]["nodes"].size(), plan_.graph.nodes.size());
  EXPECT_TRUE(predicate["runDetails"]["metadata"]["starling_completeness"]["request"]);
}

TEST_F(ProvenanceTest, AStepWithoutANetworkOnKnownFilesIsHermeticAndComplete) {
  Plan("FROM base\nRUN --network=none make\nCOPY . /\n");
  story_.context = MaterialOfCommit("https://host/app.git#main", std::string(40, 'a'));
  const Json predicate = Predicate();
  const Json& metadata = predicate["runDetails"]["metadata"];
  EXPECT_TRUE(metadata["starling_hermetic"]);
  EXPECT_TRUE(metadata["starling_completeness"]["resolvedDependencies"]);
  const Json& definition = predicate["buildDefinition"];
  EXPECT_EQ(definition["externalParameters"]["configSource"],
            Json::parse(R"({"uri": "https://host/app.git#main", "path": "Dockerfile",
                            "digest": {"sha1": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}})"));
  EXPECT_EQ(definition["resolvedDependencies"][0]["uri"], "https://host/app.git#main");
  EXPECT_FALSE(metadata.contains("startedOn"));
  EXPECT_FALSE(metadata.contains("invocationId"));
}

TEST_F(ProvenanceTest, HasNoCredentials) {
  Plan("FROM base\nARG URL\nRUN git clone https://me:s3cret@host/x $URL\n",
       {{"URL", "ftp://u:s3cret@y"}, {"http_proxy", "http://p:s3cret@proxy"}});
  story_.mode = ProvenanceMode::kMax;
  story_.context =
      MaterialOfDownload("https://me:s3cret@host/c.tar?key=s3cret", oci::Digest::Of(AsBytes("c")));
  EXPECT_THAT(Text(), Not(HasSubstr("s3cret")));
  EXPECT_THAT(Text(), HasSubstr("git clone https://xxxxx@host/x"));
  EXPECT_THAT(Text(), HasSubstr(R"("uri":"https://xxxxx@host/c.tar")"));
}

TEST(WithoutCredentials, LeavesAllElse) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"https://host/a@b", "https://host/a@b"},
      {"https://u@host", "https://xxxxx@host"},
      {"x https://u:p@q@host/ y ssh://git@h", "x https://xxxxx@host/ y ssh://xxxxx@h"},
      {"git@github.com:me/x", "git@github.com:me/x"},
      {"http://a b@c", "http://a b@c"},
      {"://", "://"},
      {"", ""},
      {"a://b://c:d@e", "a://b://xxxxx@e"},
  };
  for (const auto& [text, wanted] : cases) {
    EXPECT_EQ(WithoutCredentials(text), wanted);
  }
}

TEST(MaterialsOf, NamesEachOnce) {
  plan::Graph graph;
  const oci::Digest manifest = oci::Digest::Of(AsBytes("m"));
  const auto image = [&](const std::string& reference) {
    graph.nodes.push_back({.operation = plan::ImageSource{reference, kPlatform, manifest}});
  };
  image("docker.io/library/alpine:3");
  image("docker.io/library/alpine:3");
  image("oci:/home/me/layout:latest");
  graph.nodes.push_back({.operation = plan::HttpSource{}});
  graph.nodes.push_back({.operation = plan::InlineSource{}});
  plan::Copy copy{.base = 0};
  for (plan::NodeId input = 1; input < 5; ++input) {
    copy.sources.push_back({.input = input});
  }
  graph.nodes.push_back({.operation = copy});
  image("docker.io/library/unused:1");
  const Material download = MaterialOfDownload("https://host/file", manifest);
  const std::string rest = "?digest=" + manifest.ToString() + "&platform=linux%2Famd64";
  EXPECT_THAT(MaterialsOf(graph, 5, {{3, download}}),
              ElementsAre(Material{"pkg:docker/alpine@3" + rest, "sha256", manifest.Hex()},
                          Material{"pkg:oci/layout" + rest, "sha256", manifest.Hex()}, download));
}

TEST(Attest, IsAManifestBesideTheImage) {
  const auto image = DescribeImage(plan::ImageDraft::Scratch(kPlatform), {}, {});
  ASSERT_TRUE(image.ok()) << image.status();
  const Attestation attestation = Attest(*image, {"r.test/app:1"}, R"({"a": 1})");
  const Json statement = Json::parse(attestation.statement);
  const std::string digest = image->manifest.digest.Hex();
  EXPECT_EQ(statement["predicateType"], kProvenanceType);
  EXPECT_EQ(statement["predicate"], Json::parse(R"({"a": 1})"));
  EXPECT_EQ(statement["subject"],
            Json::array({{{"name", "pkg:docker/r.test/app@1?platform=linux%2Famd64"},
                          {"digest", {{"sha256", digest}}}}}));
  const auto manifest =
      oci::Manifest::Parse(attestation.manifest.bytes, attestation.manifest.media_type);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(*manifest, attestation.parsed);
  const oci::Descriptor& layer = manifest->layers.at(0);
  EXPECT_EQ(layer.media_type, "application/vnd.in-toto+json");
  EXPECT_EQ(layer.digest, oci::Digest::Of(AsBytes(attestation.statement)));
  EXPECT_EQ(layer.annotations.at("in-toto.io/predicate-type"), kProvenanceType);
  EXPECT_EQ(manifest->config.digest, oci::Digest::Of(AsBytes(attestation.config)));

  BuiltImage attested = *image;
  attested.attestation = attestation;
  const oci::RawManifest index = DescribeIndex({attested}, {});
  const auto parsed = oci::Index::Parse(index.bytes, index.media_type);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->manifests.size(), 2U);
  EXPECT_EQ(parsed->Select(kPlatform)->digest, image->manifest.digest);
  const oci::Descriptor& beside = parsed->manifests[1];
  EXPECT_EQ(beside.digest, attestation.manifest.digest);
  EXPECT_EQ(beside.platform->ToString(), "unknown/unknown");
  EXPECT_EQ(beside.annotations.at("vnd.docker.reference.type"), "attestation-manifest");
  EXPECT_EQ(beside.annotations.at("vnd.docker.reference.digest"),
            image->manifest.digest.ToString());
  EXPECT_EQ(Json::parse(Attest(*image, {}, "{}").statement)["subject"][0]["name"], "_");
}

}  // namespace
}  // namespace starling::dockerfile::build

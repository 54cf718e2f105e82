#include "registry/referrers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/text.h"
#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;

constexpr std::string_view kType = "application/vnd.test.v1+json";
const std::string kIndexType(oci::media_type::kOciIndex);

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }
const oci::Descriptor kSubject{.media_type = std::string(oci::media_type::kOciManifest),
                               .digest = DigestOf("image"),
                               .size_bytes = 5};

enum class Api { kNone, kServed };

/// The repository a.example/b: holds every blob, keeps manifests, and lists referrers or not.
class FakeRepository {
 public:
  explicit FakeRepository(Api api) : api_(api) {}

  HttpResponse operator()(const HttpRequest& request) {
    const std::string prefix = "https://a.example/v2/b/";
    const std::string rest = request.url.substr(prefix.size());
    const std::string object = rest.substr(rest.find('/') + 1);
    if (rest.starts_with("blobs/")) {
      return request.method == "HEAD" ? Answer(200) : Answer(200, blobs[object]);
    }
    if (rest.starts_with("referrers/")) {
      return api_ == Api::kServed ? Listing() : Answer(404, "404 page not found\n");
    }
    return request.method == "PUT" ? Put(object, request) : Get(object);
  }

  std::map<std::string, std::string> blobs;
  std::map<std::string, std::string> manifests;  // by tag or digest
  std::map<std::string, std::string> types;

 private:
  HttpResponse Put(const std::string& object, const HttpRequest& request) {
    manifests[object] = AsText(request.body);
    types[object] = FakeTransport::HeaderOf(request, "Content-Type");
    std::vector<Header> headers;
    const auto manifest = oci::Manifest::Parse(request.body, "");
    if (manifest.ok() && manifest->subject && api_ == Api::kServed) {
      headers.push_back({"OCI-Subject", manifest->subject->digest.ToString()});
    }
    return Answer(201, "", std::move(headers));
  }
  HttpResponse Get(const std::string& object) {
    return manifests.contains(object)
               ? Answer(200, manifests[object], {{"Content-Type", types[object]}})
               : Answer(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN"}]})");
  }
  HttpResponse Listing() {
    oci::Index index{.media_type = kIndexType};
    for (const auto& [object, json] : manifests) {
      const auto manifest = oci::Manifest::Parse(AsBytes(json), "");
      if (manifest.ok() && manifest->subject) {
        index.manifests.push_back({.media_type = manifest->media_type,
                                   .digest = DigestOf(json),
                                   .size_bytes = json.size(),
                                   .annotations = manifest->annotations,
                                   .artifact_type = manifest->artifact_type});
      }
    }
    return Answer(200, index.ToJson(), {{"Content-Type", kIndexType}});
  }

  const Api api_;
};

std::shared_ptr<Referrers> ReferrersIn(Harness& harness) {
  return harness.client.ReferrersIn(*oci::Reference::Parse("a.example/b:1"));
}

Artifact ArtifactOf(std::string_view content, std::string_view created = "") {
  Artifact artifact{.type = std::string(kType), .parts = {{.content = ToBytes(content)}}};
  if (!created.empty()) {
    artifact.annotations[std::string(kCreatedAnnotation)] = created;
  }
  return artifact;
}

oci::Descriptor Entry(std::string_view name, std::string_view type = kType) {
  return {.media_type = std::string(oci::media_type::kOciManifest),
          .digest = DigestOf(name),
          .size_bytes = 1,
          .artifact_type = std::string(type)};
}

HttpResponse IndexOf(std::vector<oci::Descriptor> entries, std::vector<Header> headers = {}) {
  headers.push_back({"Content-Type", kIndexType});
  return Answer(200, oci::Index{.media_type = kIndexType, .manifests = std::move(entries)}.ToJson(),
                std::move(headers));
}

TEST(Referrers, AttachesAndReadsWithAndWithoutTheApi) {
  for (const Api api : {Api::kServed, Api::kNone}) {
    SCOPED_TRACE(api == Api::kServed ? "served" : "none");
    FakeRepository repository(api);
    for (const std::string content : {"old", "new", "middle"}) {
      repository.blobs[DigestOf(content).ToString()] = content;
    }
    Harness harness(std::ref(repository));
    const auto referrers = ReferrersIn(harness);
    EXPECT_TRUE(referrers->List(kSubject.digest, kType)->empty());
    EXPECT_EQ(referrers->ReadNewest(kSubject.digest, kType, 100).status().code(),
              StatusCode::kNotFound);
    for (const auto& artifact :
         {ArtifactOf("old", "2026-01-01T00:00:00Z"), ArtifactOf("new", "2026-03-01T00:00:00Z"),
          ArtifactOf("middle", "2026-02-01T00:00:00Z")}) {
      const auto entry = referrers->Attach(kSubject, artifact);
      ASSERT_TRUE(entry.ok()) << Describe(entry.status());
      EXPECT_TRUE(repository.manifests.contains(entry->digest.ToString()));
      const auto manifest =
          oci::Manifest::Parse(AsBytes(repository.manifests[entry->digest.ToString()]), "");
      ASSERT_TRUE(manifest.ok()) << Describe(manifest.status());
      EXPECT_EQ(manifest->subject, kSubject);
      EXPECT_EQ(manifest->artifact_type, kType);
      EXPECT_EQ(manifest->config.media_type, "application/vnd.oci.empty.v1+json");
      EXPECT_EQ(manifest->config.digest, DigestOf("{}"));
      EXPECT_EQ(manifest->layers.at(0).digest, oci::Digest::Of(artifact.parts.front().content));
    }
    EXPECT_EQ(referrers->List(kSubject.digest, kType)->size(), 3U);
    EXPECT_TRUE(referrers->List(kSubject.digest, "another/type")->empty());
    EXPECT_EQ(repository.manifests.contains("sha256-" + kSubject.digest.Hex()), api == Api::kNone);
    const auto newest = referrers->ReadNewest(kSubject.digest, kType, 100);
    ASSERT_TRUE(newest.ok()) << Describe(newest.status());
    EXPECT_EQ(AsText(newest->parts.at(0).content), "new");
    EXPECT_EQ(newest->annotations.at(std::string(kCreatedAnnotation)), "2026-03-01T00:00:00Z");
    EXPECT_EQ(referrers->ReadNewest(kSubject.digest, kType, 2).status().code(),
              StatusCode::kResourceExhausted);
  }
}

TEST(Referrers, KeepsPartsWithTheirAnnotations) {
  FakeRepository repository(Api::kServed);
  for (const std::string content : {"first", "second"}) {
    repository.blobs[DigestOf(content).ToString()] = content;
  }
  Harness harness(std::ref(repository));
  const auto referrers = ReferrersIn(harness);
  const Artifact artifact{.type = std::string(kType),
                          .parts = {{.content = ToBytes("first"), .annotations = {{"of", "a"}}},
                                    {.content = ToBytes("second"), .annotations = {{"of", "b"}}}}};
  ASSERT_TRUE(referrers->Attach(kSubject, artifact).ok());
  const auto read = referrers->ReadNewest(kSubject.digest, kType, 11);
  ASSERT_TRUE(read.ok()) << Describe(read.status());
  ASSERT_EQ(read->parts.size(), 2U);
  EXPECT_EQ(AsText(read->parts[1].content), "second");
  EXPECT_EQ(read->parts[1].annotations.at("of"), "b");
  EXPECT_EQ(referrers->ReadNewest(kSubject.digest, kType, 10).status().code(),
            StatusCode::kResourceExhausted)
      << "the limit is on all of them together";
}

TEST(Referrers, TheSameArtifactTwiceChangesNothing) {
  FakeRepository repository(Api::kNone);
  Harness harness(std::ref(repository));
  const auto referrers = ReferrersIn(harness);
  ASSERT_TRUE(referrers->Attach(kSubject, ArtifactOf("x")).ok());
  const auto before = repository.manifests;
  const size_t requests = harness.transport.requests().size();
  ASSERT_TRUE(referrers->Attach(kSubject, ArtifactOf("x")).ok());
  EXPECT_EQ(repository.manifests, before);
  EXPECT_EQ(harness.transport.requests().size() - requests, 4U)
      << "two blobs, the manifest, and the tag's index, which is not written again";
}

TEST(Referrers, KeepsWhatOthersPutIntoTheTagsIndex) {
  FakeRepository repository(Api::kNone);
  const std::string tag = "sha256-" + kSubject.digest.Hex();
  repository.manifests[tag] =
      oci::Index{.media_type = kIndexType, .manifests = {Entry("signature", "other/type")}}
          .ToJson();
  repository.types[tag] = kIndexType;
  Harness harness(std::ref(repository));
  const auto entry = ReferrersIn(harness)->Attach(kSubject, ArtifactOf("x"));
  ASSERT_TRUE(entry.ok()) << Describe(entry.status());
  const auto index = oci::Index::Parse(AsBytes(repository.manifests[tag]), "");
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(index->manifests, (std::vector{Entry("signature", "other/type"), *entry}));
}

TEST(Referrers, OfEquallyOldOnesTheLastIsNewest) {
  FakeRepository repository(Api::kNone);
  for (const std::string content : {"a", "b"}) {
    repository.blobs[DigestOf(content).ToString()] = content;
  }
  Harness harness(std::ref(repository));
  const auto referrers = ReferrersIn(harness);
  for (const std::string_view content : {"b", "a"}) {
    ASSERT_TRUE(referrers->Attach(kSubject, ArtifactOf(content)).ok());
  }
  EXPECT_EQ(AsText(referrers->ReadNewest(kSubject.digest, kType, 100)->parts.at(0).content), "a");
}

TEST(Referrers, FollowsPages) {
  const std::string first = fmt::format("https://a.example/v2/b/referrers/{}?artifactType={}",
                                        kSubject.digest.ToString(), PercentEncode(kType));
  Harness harness([&](const HttpRequest& request) {
    if (request.url == first) {
      return IndexOf({Entry("1"), Entry("2", "other/type")},
                     {{"Link", R"(</v2/b/page2>; rel="next")"}});
    }
    return request.url == "https://a.example/v2/b/page2"
               ? IndexOf({Entry("3")}, {{"Link", R"(<page3>; rel="next")"}})
               : IndexOf({Entry("4")});
  });
  const auto found = ReferrersIn(harness)->List(kSubject.digest, kType);
  ASSERT_TRUE(found.ok()) << Describe(found.status());
  EXPECT_EQ(*found, (std::vector{Entry("1"), Entry("3"), Entry("4")}));
  ASSERT_EQ(harness.transport.requests().size(), 3u);
  EXPECT_EQ(harness.transport.requests()[2].url, "https://a.example/v2/b/page3");
}

TEST(Referrers, RefusesWhatMisleads) {
  const std::vector<oci::Descriptor> many(Referrers::kMaxReferrers / 2, Entry("1"));
  const struct {
    std::string_view name;
    HttpResponse answer;
    StatusCode want;
    size_t requests;
  } cases[] = {
      {"endless pages", IndexOf({}, {{"Link", R"(<again>; rel="next")"}}),
       StatusCode::kResourceExhausted, size_t{Referrers::kMaxPages}},
      {"too many entries", IndexOf(many, {{"Link", R"(<again>; rel="next")"}}),
       StatusCode::kResourceExhausted, 3},
      {"a page elsewhere", IndexOf({}, {{"Link", R"(<https://b.example/x>; rel="next")"}}),
       StatusCode::kPermissionDenied, 1},
      {"not an index", Answer(200, "[]", {{"Content-Type", kIndexType}}), StatusCode::kDataLoss, 1},
      {"forbidden", Answer(403), StatusCode::kPermissionDenied, 1},
      {"no API, and a tag that is no index", Answer(200, "<html>", {{"Content-Type", "text/html"}}),
       StatusCode::kDataLoss, 2},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Harness harness([&](const HttpRequest&) { return c.answer; });
    const Status status = ReferrersIn(harness)->List(kSubject.digest, kType).status();
    EXPECT_EQ(status.code(), c.want) << status;
    EXPECT_THAT(Describe(status),
                testing::AllOf(HasSubstr("a.example/b"), HasSubstr(kSubject.digest.ToString())));
    EXPECT_EQ(harness.transport.requests().size(), c.requests);
  }
}

TEST(Referrers, ChecksWhatAnEntryStandsFor) {
  const struct {
    std::string_view name;
    std::function<void(oci::Manifest&)> change;
  } cases[] = {
      {"of another image",
       [](oci::Manifest& manifest) { manifest.subject->digest = DigestOf("other"); }},
      {"without subject", [](oci::Manifest& manifest) { manifest.subject.reset(); }},
      {"of another type", [](oci::Manifest& manifest) { manifest.artifact_type = "x/y"; }},
      {"no blob", [](oci::Manifest& manifest) { manifest.layers.clear(); }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    oci::Manifest manifest{.media_type = std::string(oci::media_type::kOciManifest),
                           .config = Entry("{}"),
                           .layers = {Entry("content")},
                           .subject = kSubject,
                           .artifact_type = std::string(kType)};
    c.change(manifest);
    const std::string json = manifest.ToJson();
    oci::Descriptor entry = Entry(json);
    entry.size_bytes = json.size();
    Harness harness([&](const HttpRequest& request) {
      return request.url.find("/referrers/") != std::string::npos
                 ? IndexOf({entry})
                 : Answer(200, json, {{"Content-Type", manifest.media_type}});
    });
    EXPECT_EQ(ReferrersIn(harness)->ReadNewest(kSubject.digest, kType, 100).status().code(),
              StatusCode::kDataLoss);
  }
}

TEST(Referrers, APushedManifestIsListedByWhoeverCan) {
  // As a copy writes them: no artifact of ours, but a signature and an index of attestations.
  const oci::Manifest signature{
      .media_type = std::string(oci::media_type::kOciManifest),
      .config = {.media_type = "application/vnd.signature", .digest = DigestOf("config")},
      .annotations = {{"made", "today"}},
      .subject = kSubject};
  const oci::Index attestations{
      .media_type = kIndexType, .subject = kSubject, .artifact_type = "application/vnd.attest"};
  const oci::Manifest image{.media_type = std::string(oci::media_type::kOciManifest),
                            .config = {.media_type = std::string(oci::media_type::kOciConfig),
                                       .digest = DigestOf("config")}};
  const auto raw = [](const std::string& media_type, const std::string& json) {
    return oci::RawManifest{
        .media_type = media_type, .digest = DigestOf(json), .bytes = ToBytes(json)};
  };
  for (const Api api : {Api::kServed, Api::kNone}) {
    SCOPED_TRACE(api == Api::kServed ? "served" : "none");
    FakeRepository repository(api);
    Harness harness([&](const HttpRequest& request) { return repository(request); });
    const auto destination = harness.client.Destination(*oci::Reference::Parse("a.example/b:1"));
    ASSERT_TRUE(destination->WriteManifest(raw(signature.media_type, signature.ToJson())).ok());
    ASSERT_TRUE(destination->WriteTopManifest(raw(image.media_type, image.ToJson())).ok());
    EXPECT_EQ(repository.manifests.contains("sha256-" + kSubject.digest.Hex()), api == Api::kNone);
    if (api == Api::kNone) {
      ASSERT_TRUE(
          destination->WriteManifest(raw(attestations.media_type, attestations.ToJson())).ok());
      const auto found = harness.Source("a.example/b:1")->ReadReferrers(kSubject.digest);
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(found->size(), 2u);
      EXPECT_EQ((*found)[0].artifact_type, "application/vnd.signature");
      EXPECT_EQ((*found)[0].annotations, signature.annotations);
      EXPECT_EQ((*found)[1].artifact_type, "application/vnd.attest");
      EXPECT_EQ((*found)[1].media_type, kIndexType);
    }
  }
}

}  // namespace
}  // namespace starling::registry

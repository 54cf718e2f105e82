// What registries do otherwise than the specification says, each by its name in docs/registries.md,
// over real connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/registry/world.h"
#include "tests/support/test_server.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestServer;

const std::string kBlob = Pattern(100'000);

/// As the specification says: ranges of kBlob, and an image of it.
class GoodRegistry {
 public:
  ServedResponse operator()(const ServedRequest& request) const {
    if (request.target.find("/manifests/") != std::string::npos) {
      return {.headers = {{"Content-Type", std::string(oci::media_type::kOciManifest)},
                          {"Docker-Content-Digest", manifest_.digest.ToString()}},
              .body = std::string(AsText(manifest_.bytes))};
    }
    const std::string range = request.Header("range");
    if (range.empty()) {
      return {.body = kBlob};
    }
    const size_t dash = range.find('-');
    const bool is_suffix = dash == 6;
    const size_t first =
        is_suffix ? kBlob.size() - std::stoul(range.substr(7)) : std::stoul(range.substr(6));
    const size_t last = is_suffix || dash + 1 == range.size() ? kBlob.size() - 1
                                                              : std::stoul(range.substr(dash + 1));
    return {
        .status = 206,
        .headers = {{"Content-Range", fmt::format("bytes {}-{}/{}", first, last, kBlob.size())}},
        .body = kBlob.substr(first, last - first + 1)};
  }
  const oci::RawManifest& manifest() const { return manifest_; }

 private:
  const oci::RawManifest manifest_ = ManifestOf(BlobOf("{}"), BlobOf(kBlob));
};

/// What a client gets from a registry.
struct Got {
  Status manifest;
  Status whole;
  Status ranges;        // of a blob whose size is known
  Status unknown_size;  // and of one whose size is not
};

Got ReadEverything(TestServer& server) {
  World world({}, {.max_retries = 1});
  const auto source = world.client.Source(Name(server.address(), "a:b"));
  Got got;
  const auto top = source->ReadTopManifest();
  got.manifest = top.status();
  if (top.ok()) {
    EXPECT_EQ(top->digest, GoodRegistry().manifest().digest);
    EXPECT_TRUE(oci::Manifest::Parse(top->bytes, top->media_type).ok());
  }
  BytesSink sink;
  got.whole = source->ReadBlob(BlobOf(kBlob), sink);
  EXPECT_TRUE(!got.whole.ok() || AsText(sink.bytes()) == kBlob);
  oci::Descriptor unknown = BlobOf(kBlob);
  unknown.size_bytes = 0;
  for (const auto& [blob, status] :
       {std::pair{BlobOf(kBlob), &got.ranges}, std::pair{unknown, &got.unknown_size}}) {
    const auto opened = source->OpenBlob(blob, 100);
    *status = opened.status();
    if (!opened.ok()) {
      continue;
    }
    EXPECT_EQ(AsText(opened->tail), std::string_view(kBlob).substr(kBlob.size() - 100));
    const auto middle =
        opened->reader->ReadAndWait({.blob_offset = 500, .size_bytes = 50}, {.max_retries = 1});
    *status = middle.status();
    EXPECT_TRUE(!middle.ok() || AsText(*middle) == std::string_view(kBlob).substr(500, 50));
  }
  return got;
}

using Quirk = std::function<ServedResponse(const ServedRequest&)>;

void ExpectReadable(const Quirk& quirk) {
  TestServer server(quirk);
  const Got got = ReadEverything(server);
  EXPECT_TRUE(got.manifest.ok()) << got.manifest;
  EXPECT_TRUE(got.whole.ok()) << got.whole;
  EXPECT_TRUE(got.ranges.ok()) << got.ranges;
  EXPECT_TRUE(got.unknown_size.ok()) << got.unknown_size;
}

TEST(RegistryQuirk, None) { ExpectReadable(GoodRegistry()); }

TEST(RegistryQuirk, NoHead) {
  for (const int status : {404, 405}) {
    const GoodRegistry good;
    ExpectReadable([&](const ServedRequest& request) {
      return request.method == "HEAD" ? ServedResponse{.status = status} : good(request);
    });
  }
}

TEST(RegistryQuirk, WholeInsteadOfRange) {
  const GoodRegistry good;
  ExpectReadable([&](ServedRequest request) {
    request.headers.erase("range");
    return good(request);
  });
}

TEST(RegistryQuirk, NoSuffixRanges) {
  const GoodRegistry good;
  for (const int status : {400, 416, 501}) {
    ExpectReadable([&](const ServedRequest& request) {
      return request.Header("range").starts_with("bytes=-") ? ServedResponse{.status = status}
                                                            : good(request);
    });
  }
}

TEST(RegistryQuirk, LowerCaseHeaders) {
  const GoodRegistry good;
  ExpectReadable([&](const ServedRequest& request) {
    ServedResponse response = good(request);
    for (auto& [name, value] : response.headers) {
      std::ranges::transform(name, name.begin(),
                             [](char c) { return static_cast<char>(tolower(c)); });
    }
    return response;
  });
}

TEST(RegistryQuirk, ChunkedWithoutLength) {
  const GoodRegistry good;
  ExpectReadable([&](const ServedRequest& request) {
    ServedResponse response = good(request);
    response.chunked = true;
    return response;
  });
}

TEST(RegistryQuirk, RedirectsHead) {
  const GoodRegistry good;
  TestServer storage(good);
  ExpectReadable([&](const ServedRequest& request) {
    const bool is_blob = request.target.find("/blobs/") != std::string::npos;
    if (is_blob && (request.method == "HEAD" || request.Header("range").starts_with("bytes=-"))) {
      return request.method == "HEAD"
                 ? ServedResponse{.status = 307, .headers = {{"Location", storage.url() + "/blob"}}}
                 : ServedResponse{.status = 416};
    }
    return good(request);
  });
  EXPECT_EQ(storage.requests().front().method, "HEAD");
}

TEST(RegistryQuirk, NoDockerContentDigest) {
  const GoodRegistry good;
  ExpectReadable([&](const ServedRequest& request) {
    ServedResponse response = good(request);
    std::erase_if(response.headers,
                  [](const auto& header) { return header.first == "Docker-Content-Digest"; });
    return response;
  });
}

TEST(RegistryQuirk, NoContentType) {
  const GoodRegistry good;
  ExpectReadable([&](const ServedRequest& request) {
    ServedResponse response = good(request);
    std::erase_if(response.headers,
                  [](const auto& header) { return header.first == "Content-Type"; });
    return response;
  });
}

TEST(RegistryQuirk, EncodesAsGzip) {
  const GoodRegistry good;
  TestServer server([&](const ServedRequest& request) {
    ServedResponse response = good(request);
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = "no gzip, and not what was asked for";
    return response;
  });
  const Got got = ReadEverything(server);
  EXPECT_EQ(got.manifest.code(), StatusCode::kDataLoss);
  EXPECT_FALSE(got.whole.ok());
  EXPECT_EQ(got.ranges.code(), StatusCode::kDataLoss);
  EXPECT_THAT(Describe(got.ranges), HasSubstr("gzip"));
  EXPECT_EQ(got.unknown_size.code(), StatusCode::kDataLoss);
  for (const ServedRequest& request : server.requests()) {
    EXPECT_EQ(request.Header("accept-encoding"), "") << "nobody asks for it";
  }
}

TEST(RegistryQuirk, RangeBeyondTheEnd) {
  const GoodRegistry good;
  TestServer server([&](const ServedRequest& request) {
    return request.Header("range").empty() ? good(request) : ServedResponse{.status = 416};
  });
  const Got got = ReadEverything(server);
  EXPECT_TRUE(got.whole.ok()) << got.whole;
  EXPECT_EQ(got.ranges.code(), StatusCode::kDataLoss);
  EXPECT_THAT(Describe(got.ranges), HasSubstr("not 100000 bytes long"));
}

TEST(RegistryQuirk, UploadWithoutHead) {
  TestServer server([&](const ServedRequest& request) {
    if (request.method == "HEAD") return ServedResponse{.status = 405};
    if (request.method == "POST") {
      return ServedResponse{.status = 202, .headers = {{"Location", "/v2/a/uploads/1?_state=x"}}};
    }
    return ServedResponse{.status = request.body == kBlob ? 201 : 400};
  });
  World world;
  const Status stored = world.client.Destination(Name(server.address(), "a:b"))
                            ->WriteBlob(BlobOf(kBlob), StreamOf(kBlob));
  EXPECT_TRUE(stored.ok()) << stored;
  EXPECT_THAT(server.requests().back().target,
              testing::StartsWith("/v2/a/uploads/1?_state=x&digest=sha256"));
}

}  // namespace
}  // namespace starling::registry

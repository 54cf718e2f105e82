#include "registry/blob_upload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// What is odd about a registry's uploads.
struct Oddities {
  int refused_patch_status = 0;     // of every PATCH
  int break_request = -1;           // the PATCH or PUT of this number breaks off
  size_t kept_of_broken_bytes = 0;  // of its body
  bool forgets_broken_session = false;
  int odd_answer_request = -1;  // the PATCH or PUT of this number is answered so
  HttpResponse odd_answer;
  std::string least_chunk;
  bool mounts = false;
  bool answers_head = true;
};

/// The upload sessions of one repository.
class FakeUploads {
 public:
  explicit FakeUploads(Oddities odd) : odd_(std::move(odd)) {}

  HttpResponse Open() {
    session_.clear();
    std::vector<Header> headers = {Location()};
    if (!odd_.least_chunk.empty()) {
      headers.push_back({"OCI-Chunk-Min-Length", odd_.least_chunk});
    }
    return Answer(202, "", headers);
  }

  StatusOr<HttpResponse> operator()(const HttpRequest& request) {
    if (request.method == "HEAD") {
      return Answer(!odd_.answers_head ? 405 : stored.empty() ? 404 : 200);
    }
    if (request.method == "POST") {
      const bool may_mount = request.url.find("mount=") != std::string::npos;
      return may_mount && odd_.mounts ? Answer(201) : Open();
    }
    if (request.method == "DELETE") {
      return Answer(204);
    }
    if (request.url.find(Location().value) == std::string::npos) {
      return Answer(404);
    }
    if (request.method == "GET") {
      return Answer(204, "", {Location(), {"Range", Range()}});
    }
    const int number = sent_requests_++;
    if (number == odd_.odd_answer_request) {
      return odd_.odd_answer;
    }
    std::string body = BodyOf(request, number);
    if (number == odd_.break_request) {
      session_ += body.substr(0, odd_.kept_of_broken_bytes);
      if (odd_.forgets_broken_session) {
        ++state_;
      }
      return MakeError(StatusCode::kUnavailable, "reset");
    }
    if (request.method == "PATCH") {
      if (odd_.refused_patch_status != 0) {
        return Answer(odd_.refused_patch_status);
      }
      session_ += body;
      ++state_;
      return Answer(202, "", {Location(), {"Range", Range()}});
    }
    stored = session_ + body;
    return Answer(201);
  }

  std::string stored;

 private:
  Header Location() const { return {"Location", fmt::format("/upload?_state={}", state_)}; }
  std::string Range() const {
    return fmt::format("0-{}", session_.empty() ? 0 : session_.size() - 1);
  }
  std::string BodyOf(const HttpRequest& request, int number) const {
    if (!request.upload) {
      return {};
    }
    std::string body;
    Bytes buffer(5);
    const size_t wanted =
        number == odd_.break_request ? odd_.kept_of_broken_bytes : request.upload_bytes;
    while (body.size() < wanted) {
      const auto count = request.upload->Read(buffer);
      if (!count.ok() || *count == 0) break;
      body += AsText(ByteSpan(buffer).first(*count));
    }
    return body;
  }

  const Oddities odd_;
  std::string session_;
  int state_ = 1;
  int sent_requests_ = 0;
};

/// "PATCH ?_state=1 0-9" for each request but the first HEAD.
std::vector<std::string> Said(FakeTransport& transport) {
  std::vector<std::string> lines;
  for (const HttpRequest& request : transport.requests()) {
    std::string url = request.url;
    for (const std::string& digest :
         {std::string("&digest=") + PercentEncode(BlobOf(kContent).digest.ToString())}) {
      if (const size_t at = url.find(digest); at != std::string::npos) {
        url = url.substr(0, at) + "&digest";
      }
    }
    const size_t query = url.find('?');
    const std::string range = FakeTransport::HeaderOf(request, "Content-Range");
    lines.push_back(request.method + (query == std::string::npos ? "" : " " + url.substr(query)) +
                    (range.empty() ? "" : " " + range));
  }
  return lines;
}

struct UploadWorld {
  explicit UploadWorld(Oddities odd = {}, UploadSizes sizes = {.whole_bytes = 4, .chunk_bytes = 10})
      : uploads(std::move(odd)),
        harness([this](const HttpRequest& request) { return uploads(request); }, {},
                {.uploads = sizes}) {}

  StatusOr<oci::BlobArrival> Put(std::vector<oci::BlobOrigin> origins = {}) {
    return harness.client.Destination(*oci::Reference::Parse("a.example/b"))
        ->PutBlob(
            BlobOf(kContent),
            [this](uint64_t blob_offset) {
              opened_at.push_back(blob_offset);
              return oci::StreamOf(AsBytes(content))(blob_offset);
            },
            origins);
  }

  std::string content = kContent;
  std::vector<uint64_t> opened_at;
  FakeUploads uploads;
  Harness harness;
};

TEST(UploadBlob, SendsInOneRequestOrInChunks) {
  const struct {
    const char* name;
    Oddities odd;
    UploadSizes sizes;
    std::vector<std::string> said;
    std::vector<uint64_t> opened_at;
  } cases[] = {
      {"a small one at once", {}, {}, {"HEAD", "POST", "PUT ?_state=1&digest"}, {0}},
      {"a large one in chunks",
       {},
       {.whole_bytes = 4, .chunk_bytes = 10},
       {"HEAD", "POST", "PATCH ?_state=1 0-9", "PATCH ?_state=2 10-19", "PATCH ?_state=3 20-29",
        "PATCH ?_state=4 30-35", "PUT ?_state=5&digest"},
       {0}},
      {"in chunks as large as the registry wants",
       {.least_chunk = "20"},
       {.whole_bytes = 4, .chunk_bytes = 10},
       {"HEAD", "POST", "PATCH ?_state=1 0-19", "PATCH ?_state=2 20-35", "PUT ?_state=3&digest"},
       {0}},
      {"a minimum that is no number",
       {.least_chunk = "many"},
       {.whole_bytes = 4, .chunk_bytes = 30},
       {"HEAD", "POST", "PATCH ?_state=1 0-29", "PATCH ?_state=2 30-35", "PUT ?_state=3&digest"},
       {0}},
      {"at once where there are no chunks",
       {.refused_patch_status = 405},
       {.whole_bytes = 4, .chunk_bytes = 10},
       {"HEAD", "POST", "PATCH ?_state=1 0-9", "POST", "PUT ?_state=1&digest"},
       {0, 0}},
      {"without HEAD", {.answers_head = false}, {}, {"HEAD", "POST", "PUT ?_state=1&digest"}, {0}},
      {"goes on in the middle of a broken chunk",
       {.break_request = 1, .kept_of_broken_bytes = 7},
       {.whole_bytes = 4, .chunk_bytes = 10},
       {"HEAD", "POST", "PATCH ?_state=1 0-9", "PATCH ?_state=2 10-19", "GET ?_state=2",
        "PATCH ?_state=2 17-26", "PATCH ?_state=3 27-35", "PUT ?_state=4&digest"},
       {0, 17}},
      {"from the start when the session is lost",
       {.break_request = 1, .kept_of_broken_bytes = 7, .forgets_broken_session = true},
       {.whole_bytes = 4, .chunk_bytes = 18},
       {"HEAD", "POST", "PATCH ?_state=1 0-17", "PATCH ?_state=2 18-35", "GET ?_state=2", "POST",
        "PATCH ?_state=3 0-17", "PATCH ?_state=4 18-35", "PUT ?_state=5&digest"},
       {0, 0}},
      {"a chunk that does not follow",
       {.odd_answer_request = 1, .odd_answer = Answer(416)},
       {.whole_bytes = 4, .chunk_bytes = 18},
       {"HEAD", "POST", "PATCH ?_state=1 0-17", "PATCH ?_state=2 18-35", "GET ?_state=2",
        "PATCH ?_state=2 18-35", "PUT ?_state=3&digest"},
       {0, 18}},
      {"a registry in trouble",
       {.odd_answer_request = 0, .odd_answer = Answer(503)},
       {.whole_bytes = 4, .chunk_bytes = 36},
       {"HEAD", "POST", "PATCH ?_state=1 0-35", "GET ?_state=1", "PATCH ?_state=1 0-35",
        "PUT ?_state=2&digest"},
       {0, 0}},
      {"a token that ends on the way",
       {.odd_answer_request = 0, .odd_answer = Answer(401)},
       {.whole_bytes = 4, .chunk_bytes = 36},
       {"HEAD", "POST", "PATCH ?_state=1 0-35", "GET ?_state=1", "PATCH ?_state=1 0-35",
        "PUT ?_state=2&digest"},
       {0, 0}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    UploadWorld world(c.odd, c.sizes);
    const auto arrival = world.Put();
    ASSERT_TRUE(arrival.ok()) << arrival.status();
    EXPECT_EQ(*arrival, oci::BlobArrival::kSent);
    EXPECT_EQ(world.uploads.stored, kContent);
    EXPECT_EQ(Said(world.harness.transport), c.said);
    EXPECT_EQ(world.opened_at, c.opened_at);
  }
}

TEST(UploadBlob, WaitsAsLongAsTheRegistryAsks) {
  UploadWorld world(
      {.odd_answer_request = 0, .odd_answer = Answer(429, "", {{"Retry-After", "7"}})},
      {.whole_bytes = 4, .chunk_bytes = 36});
  const auto begin = world.harness.clock.Now();
  ASSERT_TRUE(world.Put().ok());
  EXPECT_GE(world.harness.clock.Now() - begin, std::chrono::seconds(7));
  EXPECT_EQ(world.uploads.stored, kContent);
}

TEST(UploadBlob, ALostAnswerIsNoLostUpload) {
  bool stored = false;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (request.method == "HEAD") return Answer(stored ? 200 : 404);
    if (request.method == "POST") return Answer(202, "", {{"Location", "/upload"}});
    stored = true;
    return MakeError(StatusCode::kUnavailable, "reset");
  });
  const auto arrival = harness.client.Destination(*oci::Reference::Parse("a.example/b"))
                           ->PutBlob(BlobOf(kContent), oci::StreamOf(AsBytes(kContent)), {});
  ASSERT_TRUE(arrival.ok()) << arrival.status();
  EXPECT_EQ(harness.transport.requests().size(), 4u) << "HEAD, POST, PUT, HEAD";
}

TEST(UploadBlob, MovesNothingThatIsThereOrCanBeMounted) {
  const oci::BlobOrigin here{.registry = "a.example", .repository = "other/one"};
  const std::string mount =
      "POST ?mount=" + PercentEncode(BlobOf(kContent).digest.ToString()) + "&from=other%2Fone";
  const struct {
    const char* name;
    bool is_stored;
    bool mounts;
    std::vector<oci::BlobOrigin> origins;
    oci::BlobArrival arrival;
    std::vector<std::string> said;
  } cases[] = {
      {"there already", true, true, {here}, oci::BlobArrival::kPresent, {"HEAD"}},
      {"mounted", false, true, {here}, oci::BlobArrival::kMounted, {"HEAD", mount}},
      {"not mounted: the session that was opened is used",
       false,
       false,
       {here},
       oci::BlobArrival::kSent,
       {"HEAD", mount, "PUT ?_state=1&digest"}},
      {"another registry's, and our own repository",
       false,
       true,
       {{.registry = "c.example", .repository = "other/one"},
        {.registry = "a.example", .repository = "b"}},
       oci::BlobArrival::kSent,
       {"HEAD", "POST", "PUT ?_state=1&digest"}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    UploadWorld world({.mounts = c.mounts}, {});
    world.uploads.stored = c.is_stored ? kContent : "";
    const auto arrival = world.Put(c.origins);
    ASSERT_TRUE(arrival.ok()) << arrival.status();
    EXPECT_EQ(*arrival, c.arrival);
    EXPECT_EQ(Said(world.harness.transport), c.said);
    EXPECT_EQ(world.opened_at.empty(), c.arrival != oci::BlobArrival::kSent);
  }
}

TEST(UploadBlob, AnOriginMayLackTheRegistrysPort) {
  FakeUploads uploads({.mounts = true});
  Harness harness([&](const HttpRequest& request) { return uploads(request); });
  const auto arrival = harness.client.Destination(*oci::Reference::Parse("a.example:5000/b"))
                           ->PutBlob(BlobOf(kContent), oci::StreamOf(AsBytes(kContent)),
                                     {{.registry = "a.example", .repository = "other"}});
  ASSERT_TRUE(arrival.ok()) << arrival.status();
  EXPECT_EQ(*arrival, oci::BlobArrival::kMounted);
}

TEST(UploadBlob, AMountAsksForATokenThatMayReadTheOtherRepository) {
  TokenWorld tokens;
  FakeUploads uploads({.mounts = true});
  FakeCredentials login(Credentials{.username = "u", .password = "p"});
  Harness harness(
      [&](const HttpRequest& request) -> StatusOr<HttpResponse> {
        const HttpResponse checked = tokens(request);
        const bool is_let_in =
            checked.status == 200 && !request.url.starts_with("https://auth.example/");
        if (is_let_in) return uploads(request);
        // The registry names no scope of its own.
        return checked.status == 401
                   ? Answer(401, "",
                            {{"WWW-Authenticate",
                              R"(Bearer realm="https://auth.example/token",service="s")"}})
                   : checked;
      },
      {&login});
  const auto arrival = harness.client.Destination(*oci::Reference::Parse("a.example/b"))
                           ->PutBlob(BlobOf(kContent), oci::StreamOf(AsBytes(kContent)),
                                     {{.registry = "a.example", .repository = "other/one"}});
  ASSERT_TRUE(arrival.ok()) << arrival.status();
  EXPECT_EQ(*arrival, oci::BlobArrival::kMounted);
  std::vector<std::string> asked;
  for (const HttpRequest& request : harness.transport.requests()) {
    if (request.url.starts_with("https://auth.example/")) {
      asked.push_back(request.url.substr(request.url.find('?')));
    }
  }
  EXPECT_THAT(asked, ElementsAre("?service=s&scope=repository%3Ab%3Apull%2Cpush",
                                 "?service=s&scope=repository%3Ab%3Apull%2Cpush&"
                                 "scope=repository%3Aother%2Fone%3Apull"));
}

TEST(UploadBlob, GoesWhereTheLocationLeads) {
  const struct {
    const char* name;
    const char* location;
    std::string put;  // before the digest
    bool sees_token;
  } cases[] = {
      {"a path", "/v2/b/blobs/uploads/1", "https://a.example/v2/b/blobs/uploads/1?digest=", true},
      {"a path with a query", "/upload?_state=x%3D",
       "https://a.example/upload?_state=x%3D&digest=", true},
      {"beside the request", "1?_state=x",
       "https://a.example/v2/b/blobs/uploads/1?_state=x&digest=", true},
      {"a whole URL", "https://a.example/upload", "https://a.example/upload?digest=", true},
      {"another host", "https://uploads.example/u?sig=s",
       "https://uploads.example/u?sig=s&digest=", false},
      {"another port", "https://a.example:444/u", "https://a.example:444/u?digest=", false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    TokenWorld tokens;
    Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
      if (request.method == "PUT") return Answer(201);
      const HttpResponse checked = tokens(request);
      if (checked.status != 200 || request.url.starts_with("https://auth.example/")) return checked;
      return request.method == "HEAD" ? Answer(404) : Answer(202, "", {{"Location", c.location}});
    });
    const auto arrival = harness.client.Destination(*oci::Reference::Parse("a.example/b"))
                             ->PutBlob(BlobOf(kContent), oci::StreamOf(AsBytes(kContent)), {});
    ASSERT_TRUE(arrival.ok()) << arrival.status();
    const HttpRequest put = harness.transport.requests().back();
    EXPECT_THAT(put.url, testing::StartsWith(c.put));
    EXPECT_EQ(FakeTransport::HeaderOf(put, "Authorization").empty(), !c.sees_token);
  }
}

TEST(UploadBlob, CompletesNothingThatIsNotTheBlob) {
  const struct {
    const char* name;
    std::string content;
    StatusCode want;
    const char* said;
  } cases[] = {
      {"other bytes", std::string(kContent.size(), 'x'), StatusCode::kDataLoss, "the digest"},
      {"too many", kContent + "!", StatusCode::kDataLoss, "more than 36"},
      {"too few", kContent.substr(0, 33), StatusCode::kDataLoss, "after 33 of 36"},
  };
  for (const uint64_t whole_bytes : {4, 100}) {
    for (const auto& c : cases) {
      SCOPED_TRACE(fmt::format("{}, whole up to {}", c.name, whole_bytes));
      UploadWorld world({}, {.whole_bytes = whole_bytes, .chunk_bytes = 10});
      world.content = c.content;
      const auto arrival = world.Put();
      EXPECT_EQ(arrival.status().code(), c.want);
      EXPECT_THAT(Describe(arrival.status()), HasSubstr(c.said));
      EXPECT_EQ(Said(world.harness.transport).back().substr(0, 6), "DELETE") << "it is cancelled";
    }
  }
}

TEST(UploadBlob, GivesUpAfterItsRetries) {
  for (const uint64_t whole_bytes : {4, 100}) {
    Harness harness(
        [](const HttpRequest& request) -> StatusOr<HttpResponse> {
          if (request.method == "HEAD") return Answer(404);
          if (request.method == "POST") return Answer(202, "", {{"Location", "/upload"}});
          return MakeError(StatusCode::kUnavailable, "reset");
        },
        {}, {.max_retries = 2, .uploads = {.whole_bytes = whole_bytes, .chunk_bytes = 10}});
    const auto arrival = harness.client.Destination(*oci::Reference::Parse("a.example/b"))
                             ->PutBlob(BlobOf(kContent), oci::StreamOf(AsBytes(kContent)), {});
    EXPECT_EQ(arrival.status().code(), StatusCode::kUnavailable);
    const auto requests = harness.transport.requests();
    EXPECT_EQ(
        std::ranges::count_if(requests, [](const HttpRequest& r) { return r.upload != nullptr; }),
        3)
        << "the first and two again";
  }
}

TEST(UploadBlob, SendsNothingToThisMachineOrItsLink) {
  for (const char* location :
       {"https://169.254.169.254/upload", "https://127.0.0.1/upload", "http://b.example/upload"}) {
    SCOPED_TRACE(location);
    Harness harness([&location](const HttpRequest& request) {
      return request.method == "POST" ? Answer(202, "", {{"Location", location}}) : Answer(404);
    });
    const auto image = *oci::Reference::Parse("a.example/b");
    EXPECT_EQ(harness.client.Destination(image)
                  ->WriteBlob(BlobOf(kContent), oci::StreamOf(AsBytes(kContent)))
                  .code(),
              StatusCode::kFailedPrecondition);
    EXPECT_EQ(harness.transport.requests().size(), 2u) << "HEAD, POST";
  }
}

TEST(UploadBlob, ARegistryThatIsReadOnlyRefusesOnceAndIsRead) {
  Harness harness([](const HttpRequest& request) {
    if (request.method == "HEAD") return Answer(404);
    return request.method == "GET"
               ? ServeRange(request)
               : Answer(405, R"({"errors":[{"code":"UNSUPPORTED","message":"read-only"}]})");
  });
  const auto image = *oci::Reference::Parse("a.example/b");
  const Status refused = harness.client.Destination(image)->WriteBlob(
      BlobOf(kContent), oci::StreamOf(AsBytes(kContent)));
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(Describe(refused).find("read-only"), std::string::npos) << refused;
  EXPECT_EQ(harness.transport.requests().size(), 2u);
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  EXPECT_TRUE((*blob)->ReadAndWait({.size_bytes = 2}).ok());
}

}  // namespace
}  // namespace starling::registry

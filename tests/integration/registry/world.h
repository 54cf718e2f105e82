#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "registry/client.h"
#include "registry/curl_transport.h"
#include "tests/support/test_server.h"

namespace starling::registry {

class FixedCredentials : public CredentialSource {
 public:
  explicit FixedCredentials(Credentials credentials) : credentials_(std::move(credentials)) {}
  std::string Name() const override { return "fixed"; }
  StatusOr<Credentials> Find(const CredentialRequest&) override { return credentials_; }

 private:
  const Credentials credentials_;
};

/// Sets an environment variable for as long as it lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

/// A client with everything that it needs.
struct World {
  explicit World(std::vector<CredentialSource*> credentials = {}, ClientOptions options = {},
                 CurlTransportOptions transport_options = {})
      : transport(std::move(transport_options)),
        client(std::move(options), {.transport = transport,
                                    .credentials = std::move(credentials),
                                    .clock = SystemClock(),
                                    .executor = executor}) {}
  ThreadPool executor{"test", 1};
  CurlTransport transport;
  Client client;
};

inline oci::Reference Name(const std::string& address, const std::string& rest) {
  return *oci::Reference::Parse(address + "/" + rest);
}

inline std::string Pattern(size_t size_bytes) {
  std::string text(size_bytes, '\0');
  uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

inline oci::Descriptor BlobOf(std::string_view content) {
  return {.media_type = std::string(oci::media_type::kOciLayerGzip),
          .digest = oci::Digest::Of(AsBytes(content)),
          .size_bytes = content.size()};
}

inline oci::ImageDestination::OpenStream StreamOf(const std::string& content) {
  return oci::StreamOf(AsBytes(content));
}

inline oci::RawManifest ManifestOf(const oci::Descriptor& config, const oci::Descriptor& layer) {
  oci::Manifest manifest{.media_type = std::string(oci::media_type::kOciManifest),
                         .config = config,
                         .layers = {layer}};
  manifest.config.media_type = std::string(oci::media_type::kOciConfig);
  const std::string json = manifest.ToJson();
  return {.media_type = manifest.media_type,
          .digest = oci::Digest::Of(AsBytes(json)),
          .bytes = ToBytes(json)};
}

/// A server's answer to a request for a blob or a range of it.
inline testing_support::ServedResponse ServeRange(const std::string& content,
                                                  const testing_support::ServedRequest& request) {
  const std::string range = request.Header("range");
  if (range.empty()) {
    return {.body = content};
  }
  const size_t dash = range.find('-');
  const size_t first = std::stoul(range.substr(6, dash - 6));
  const size_t last =
      dash + 1 == range.size() ? content.size() - 1 : std::stoul(range.substr(dash + 1));
  return {
      .status = 206,
      .headers = {{"Content-Range", fmt::format("bytes {}-{}/{}", first, last, content.size())}},
      .body = content.substr(first, last - first + 1)};
}

/// Stores an image of one layer as some/app:v1 and reads it again in every way.
inline void PushAndPull(World& world, const std::string& address) {
  const std::string layer = Pattern(5 << 20);
  const std::string config = "{}";
  const auto destination = world.client.Destination(Name(address, "some/app:v1"));
  EXPECT_FALSE(*destination->HasBlob(BlobOf(layer)));
  for (const std::string* content : {&layer, &config}) {
    const Status stored = destination->WriteBlob(BlobOf(*content), StreamOf(*content));
    ASSERT_TRUE(stored.ok()) << stored;
  }
  EXPECT_TRUE(*destination->HasBlob(BlobOf(layer)));
  const oci::RawManifest manifest = ManifestOf(BlobOf(config), BlobOf(layer));
  ASSERT_TRUE(destination->WriteManifest(manifest).ok());
  ASSERT_TRUE(destination->WriteTopManifest(manifest).ok());

  const auto source = world.client.Source(Name(address, "some/app:v1"));
  const auto top = source->ReadTopManifest();
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(top->digest, manifest.digest);
  EXPECT_EQ(top->media_type, manifest.media_type);
  EXPECT_TRUE(source->ReadManifest({.digest = manifest.digest}).ok());
  BytesSink sink;
  ASSERT_TRUE(source->ReadBlob(BlobOf(layer), sink).ok());
  EXPECT_EQ(AsText(sink.bytes()), layer);

  oci::Descriptor unknown = BlobOf(layer);
  unknown.size_bytes = 0;
  for (const oci::Descriptor& blob : {BlobOf(layer), unknown}) {
    const auto opened = source->OpenBlob(blob, 1000);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->reader->SizeBytes(), layer.size());
    EXPECT_EQ(AsText(opened->tail), std::string_view(layer).substr(layer.size() - 1000));
    const auto middle = opened->reader->ReadAndWait({.blob_offset = 12345, .size_bytes = 70000});
    ASSERT_TRUE(middle.ok()) << middle.status();
    EXPECT_EQ(AsText(*middle), std::string_view(layer).substr(12345, 70000));
  }
}

}  // namespace starling::registry

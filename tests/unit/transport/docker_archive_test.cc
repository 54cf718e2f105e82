#include "transport/docker_archive.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "oci/image_config.h"
#include "oci/manifest.h"

namespace starling::transport {
namespace {

/// Members in memory files: what is tested here is not how tars are read.
class FakeMembers : public MemberFiles {
 public:
  FakeMembers() {
    std::FILE* file = std::tmpfile();
    fd_ = std::make_shared<const UniqueFd>(::dup(::fileno(file)));
    std::fclose(file);
  }
  void Add(const std::string& name, std::string_view content) {
    EXPECT_EQ(::pwrite(fd_->get(), content.data(), content.size(), static_cast<off_t>(end_)),
              static_cast<ssize_t>(content.size()));
    members_[name] = {.file = fd_, .file_offset = end_, .size_bytes = content.size()};
    end_ += content.size();
  }
  StatusOr<FileExtent> Find(const std::string& name) const override {
    const auto found = members_.find(name);
    if (found == members_.end()) {
      return MakeError(StatusCode::kNotFound, "no member " + name);
    }
    return found->second;
  }

 private:
  std::shared_ptr<const UniqueFd> fd_;
  uint64_t end_ = 0;
  std::map<std::string, FileExtent> members_;
};

std::string ConfigWith(std::string_view first, std::string_view second) {
  return fmt::format(R"({{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}})",
                     oci::Digest::Of(AsBytes(first)).ToString(),
                     oci::Digest::Of(AsBytes(second)).ToString());
}

TEST(DockerArchive, ShowsAnOciImage) {
  const auto members = std::make_shared<FakeMembers>();
  const std::string config = ConfigWith("first tar", "second tar");
  members->Add(
      "manifest.json",
      R"([{"Config":"c.json","RepoTags":["app:v1"],"Layers":["1/layer.tar","2/layer.tar"]}])");
  members->Add("c.json", config);
  members->Add("1/layer.tar", "first tar");
  members->Add("2/layer.tar", "\x1f\x8b compressed");
  const auto source = DockerArchiveSource::Open(members, "", "test");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto top = (*source)->ReadTopManifest();
  ASSERT_TRUE(top.ok());
  EXPECT_EQ(top->digest, oci::Digest::Of(top->bytes));
  const auto manifest = oci::Manifest::Parse(top->bytes, top->media_type);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->layers.size(), 2U);
  EXPECT_EQ(manifest->layers[0].media_type, oci::media_type::kOciLayerTar);
  EXPECT_EQ(manifest->layers[0].digest, oci::Digest::Of(AsBytes("first tar")));
  EXPECT_EQ(manifest->layers[1].media_type, oci::media_type::kOciLayerGzip);
  EXPECT_EQ(manifest->layers[1].digest, oci::Digest::Of(AsBytes("\x1f\x8b compressed")));
  for (const auto& [blob, content] :
       {std::pair(manifest->config, std::string_view(config)),
        std::pair(manifest->layers[0], std::string_view("first tar")),
        std::pair(manifest->layers[1], std::string_view("\x1f\x8b compressed"))}) {
    BytesSink sink;
    EXPECT_TRUE((*source)->ReadBlob(blob, sink).ok());
    EXPECT_EQ(AsText(sink.bytes()), content);
  }
}

TEST(DockerArchive, FindsLayersThatAreNotTheirDiffIds) {
  const auto members = std::make_shared<FakeMembers>();
  members->Add("manifest.json", R"([{"Config":"c.json","Layers":["1","2"]}])");
  members->Add("c.json", ConfigWith("first tar", "second tar"));
  members->Add("1", "first tar");
  members->Add("2", "forged tar");
  const auto source = DockerArchiveSource::Open(members, "", "test");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto manifest = oci::Manifest::Parse((*source)->ReadTopManifest()->bytes, "");
  BytesSink sink;
  EXPECT_EQ((*source)->ReadBlob(manifest->layers[1], sink).code(), StatusCode::kDataLoss);
}

TEST(DockerArchive, ChoosesByReference) {
  const auto members = std::make_shared<FakeMembers>();
  members->Add("manifest.json",
               R"([{"Config":"a.json","RepoTags":["a:latest","a:v1"],"Layers":[]},)"
               R"({"Config":"b.json","RepoTags":["ghcr.io/x/b:v1"],"Layers":null}])");
  members->Add("a.json", R"({"name":"a","rootfs":{}})");
  members->Add("b.json", R"({"name":"b","rootfs":{}})");
  const auto config_of = [&](const std::string& reference) {
    const auto source = DockerArchiveSource::Open(members, reference, "test");
    return oci::Manifest::Parse((*source)->ReadTopManifest()->bytes, "")->config.digest;
  };
  EXPECT_EQ(config_of("a"), oci::Digest::Of(AsBytes(R"({"name":"a","rootfs":{}})")));
  EXPECT_EQ(config_of("docker.io/library/a:v1"),
            oci::Digest::Of(AsBytes(R"({"name":"a","rootfs":{}})")));
  EXPECT_EQ(config_of("ghcr.io/x/b:v1"), oci::Digest::Of(AsBytes(R"({"name":"b","rootfs":{}})")));
  EXPECT_EQ(DockerArchiveSource::Open(members, "c", "test").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(DockerArchiveSource::Open(members, "", "test").status()),
            "test: it holds 2 images; append :REFERENCE, one of: a:latest, a:v1, ghcr.io/x/b:v1");
}

TEST(DockerArchive, RefusesMalformedOnes) {
  const struct {
    std::string_view name;
    std::string_view manifest;
    StatusCode want;
  } cases[] = {
      {"not JSON", "[", StatusCode::kDataLoss},
      {"not a list", "{}", StatusCode::kDataLoss},
      {"no config", R"([{"Layers":[]}])", StatusCode::kDataLoss},
      {"layers are no texts", R"([{"Config":"c.json","Layers":[1]}])", StatusCode::kDataLoss},
      {"fewer layers than diff IDs", R"([{"Config":"c.json","Layers":["1"]}])",
       StatusCode::kDataLoss},
      {"missing layer", R"([{"Config":"c.json","Layers":["1","3"]}])", StatusCode::kNotFound},
      {"missing config", R"([{"Config":"d.json","Layers":[]}])", StatusCode::kNotFound},
      {"no image", "[]", StatusCode::kInvalidArgument},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto members = std::make_shared<FakeMembers>();
    members->Add("manifest.json", c.manifest);
    members->Add("c.json", ConfigWith("1", "2"));
    members->Add("1", "1");
    EXPECT_EQ(DockerArchiveSource::Open(members, "", "test").status().code(), c.want);
  }
}

}  // namespace
}  // namespace starling::transport

#include "containerd/image_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "oci/manifest.h"
#include "tests/support/fake_containerd.h"

namespace starling::containerd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using testing_support::FakeContainerd;

class ImageLayersTest : public testing::Test {
 protected:
  static oci::Descriptor BlobOf(std::string_view content, std::string_view media_type) {
    oci::Descriptor blob;
    blob.media_type = std::string(media_type);
    blob.digest = oci::Digest::Of(AsBytes(content));
    blob.size_bytes = content.size();
    return blob;
  }
  static oci::Digest Layer(std::string_view name) { return oci::Digest::Of(AsBytes(name)); }

  oci::Descriptor Store(const std::string& json, std::string_view media_type) {
    const oci::Descriptor blob = BlobOf(json, media_type);
    containerd_.Change(
        [&](FakeContainerd::State& state) { state.blobs[blob.digest.ToString()].content = json; });
    return blob;
  }
  static std::string ManifestOf(const std::vector<std::string>& layers) {
    oci::Manifest manifest;
    manifest.media_type = std::string(oci::media_type::kOciManifest);
    manifest.config = BlobOf("{}", oci::media_type::kOciConfig);
    for (const std::string& layer : layers) {
      manifest.layers.push_back(BlobOf(layer, oci::media_type::kOciLayerGzip));
    }
    return manifest.ToJson();
  }
  oci::Descriptor StoreManifest(const std::vector<std::string>& layers) {
    return Store(ManifestOf(layers), oci::media_type::kOciManifest);
  }
  void Name(const std::string& name, const oci::Descriptor& target) {
    containerd_.Change([&](FakeContainerd::State& state) {
      ::containerd::types::Descriptor& image = state.images[name];
      image.set_media_type(target.media_type);
      image.set_digest(target.digest.ToString());
      image.set_size(static_cast<int64_t>(target.size_bytes));
    });
  }

  TempDir directory_ = *TempDir::Make("/tmp", "containerd-");
  std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
};

TEST_F(ImageLayersTest, NamesEveryImageOfALayer) {
  const oci::Descriptor one = StoreManifest({"base", "one"});
  oci::Index index;
  index.media_type = std::string(oci::media_type::kOciIndex);
  index.manifests = {StoreManifest({"base", "two"}),
                     BlobOf(ManifestOf({"never", "pulled"}), oci::media_type::kOciManifest)};
  Name("one:1", one);
  Name("one:again", one);
  Name("two:1", Store(index.ToJson(), oci::media_type::kOciIndex));
  Name("sha256:" + std::string(64, '0'), one);
  const auto images = FindImagesByLayer(socket_);
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_THAT(*images,
              UnorderedElementsAre(Pair(Layer("base"), ElementsAre("one:1", "one:again", "two:1")),
                                   Pair(Layer("one"), ElementsAre("one:1", "one:again")),
                                   Pair(Layer("two"), ElementsAre("two:1"))));
  EXPECT_EQ(containerd_.CallsOf("content.Read"), 4U) << "a manifest is read once";
}

TEST_F(ImageLayersTest, WhatCannotBeReadCostsItsImageOnly) {
  const oci::Descriptor good = StoreManifest({"base"});
  oci::Descriptor huge = StoreManifest({"huge"});
  huge.size_bytes = oci::kMaxManifestBytes + 1;
  Name("good:1", good);
  Name("gone:1", BlobOf("nothing", oci::media_type::kOciManifest));
  Name("huge:1", huge);
  Name("nonsense:1", Store("nonsense", oci::media_type::kOciManifest));
  containerd_.Change(
      [](FakeContainerd::State& state) { state.images["none:1"].set_digest("no digest"); });
  const auto images = FindImagesByLayer(socket_);
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_THAT(*images, ElementsAre(Pair(Layer("base"), ElementsAre("good:1"))));
}

TEST_F(ImageLayersTest, LooksIntoEveryNamespace) {
  Name("one:1", StoreManifest({"base"}));
  containerd_.Change(
      [](FakeContainerd::State& state) { state.namespaces = {"default", "k8s.io"}; });
  ASSERT_TRUE(FindImagesByLayer(socket_).ok());
  std::vector<std::string> asked;
  for (const auto& call : containerd_.calls()) {
    if (call.name == "images.List") {
      asked.push_back(call.namespace_name);
    }
  }
  EXPECT_THAT(asked, ElementsAre("default", "k8s.io"));
  containerd_.Change([](FakeContainerd::State& state) { state.namespaces.clear(); });
  EXPECT_THAT(*FindImagesByLayer(socket_), IsEmpty());
  EXPECT_EQ(FindImagesByLayer("/nowhere/c.sock").status().code(), StatusCode::kUnavailable);
}

TEST_F(ImageLayersTest, FindsTheLayersOfAnImageByItsName) {
  oci::Index index;
  index.media_type = std::string(oci::media_type::kOciIndex);
  index.manifests = {StoreManifest({"base", "two"}),
                     BlobOf(ManifestOf({"never", "pulled"}), oci::media_type::kOciManifest)};
  Name("docker.io/library/app:1", StoreManifest({"base", "one"}));
  Name("reg.example/two:1", Store(index.ToJson(), oci::media_type::kOciIndex));
  Name("gone:1", BlobOf("nothing", oci::media_type::kOciManifest));
  const struct {
    std::string_view what;
    std::string name;
    StatusCode code = StatusCode::kOk;
    std::set<oci::Digest> layers;
  } cases[] = {
      {"as it is listed",
       "docker.io/library/app:1",
       StatusCode::kOk,
       {Layer("base"), Layer("one")}},
      {"short", "app:1", StatusCode::kOk, {Layer("base"), Layer("one")}},
      {"an index", "reg.example/two:1", StatusCode::kOk, {Layer("base"), Layer("two")}},
      {"no image", "app:2", StatusCode::kNotFound, {}},
      {"no name", "-- no name --", StatusCode::kNotFound, {}},
      {"without its manifest", "gone:1", StatusCode::kNotFound, {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    const auto layers = FindLayersOfImage(socket_, "default", c.name);
    EXPECT_EQ(layers.status().code(), c.code) << layers.status();
    EXPECT_EQ(layers.value_or(std::set<oci::Digest>()), c.layers);
  }
}

TEST_F(ImageLayersTest, LooksForAnImageWhereItIsTold) {
  Name("one:1", StoreManifest({"base"}));
  containerd_.Change(
      [](FakeContainerd::State& state) { state.namespaces = {"default", "k8s.io"}; });
  const auto asked = [&](const std::string& namespace_name) {
    const size_t before = containerd_.calls().size();
    EXPECT_TRUE(FindLayersOfImage(socket_, namespace_name, "one:1").ok());
    std::set<std::string> namespaces;
    const auto calls = containerd_.calls();
    for (size_t i = before; i < calls.size(); ++i) {
      if (calls[i].name == "images.Get") {
        namespaces.insert(calls[i].namespace_name);
      }
    }
    return namespaces;
  };
  EXPECT_THAT(asked(""), ElementsAre("default", "k8s.io"));
  EXPECT_THAT(asked("k8s.io"), ElementsAre("k8s.io"));
  EXPECT_EQ(FindLayersOfImage("/nowhere/c.sock", "", "one:1").status().code(),
            StatusCode::kUnavailable);
}

}  // namespace
}  // namespace starling::containerd

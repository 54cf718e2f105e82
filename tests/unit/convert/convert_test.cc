#include "convert/convert.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/temp_dir.h"
#include "oci/image_config.h"
#include "tests/support/gunzip.h"
#include "tests/support/memory_image.h"
#include "tests/support/tar_text.h"

namespace starling::convert {
namespace {

using std::literals::operator""s;
using testing_support::Gunzip;
using testing_support::MemoryImageDestination;
using testing_support::MemoryImageSource;
using testing_support::TarEnd;
using testing_support::TarText;

const oci::Platform kAmd64{.os = "linux", .architecture = "amd64"};
const oci::Platform kArm64{.os = "linux", .architecture = "arm64"};

class ConvertImageTest : public ::testing::Test {
 protected:
  static std::string TarWith(const std::string& name) {
    return TarText({.name = name, .content = "content of " + name}) + TarEnd();
  }
  oci::Descriptor AddLayer(const std::string& name,
                           std::string_view type = oci::media_type::kOciLayerTar) {
    return source_.Add(type, AsBytes(TarWith(name)));
  }
  /// An image of plain tars, so that each layer's diff ID is its digest.
  oci::Descriptor AddImage(std::vector<oci::Descriptor> layers, const oci::Platform& platform,
                           std::string_view type = oci::media_type::kDockerManifest) {
    std::string diff_ids;
    for (const oci::Descriptor& layer : layers) {
      diff_ids += fmt::format("{}\"{}\"", diff_ids.empty() ? "" : ",", layer.digest.ToString());
    }
    const std::string config = fmt::format(
        R"({{"created":"x","architecture":"{}","os":"linux","config":{{"Cmd":["sh"]}},)"
        R"("rootfs":{{"type":"layers","diff_ids":[{}]}},"history":[{{"empty_layer":true}}]}})",
        platform.architecture, diff_ids);
    oci::Manifest manifest;
    manifest.media_type = type;
    manifest.config = source_.Add(oci::media_type::kDockerConfig, AsBytes(config));
    manifest.layers = std::move(layers);
    manifest.annotations = {{"org.example", "manifest"}};
    oci::Descriptor descriptor = source_.Add(manifest);
    descriptor.platform = platform;
    return descriptor;
  }
  oci::Descriptor AddIndex(std::vector<oci::Descriptor> entries) {
    oci::Index index;
    index.media_type = oci::media_type::kDockerManifestList;
    index.manifests = std::move(entries);
    index.annotations = {{"org.example", "index"}};
    return source_.Add(index);
  }
  oci::Descriptor AddAttestation(const oci::Descriptor& image) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = source_.Add(oci::media_type::kOciConfig, AsBytes("{}"));
    manifest.layers = {source_.Add("application/vnd.in-toto+json", AsBytes("{\"a\":1}"))};
    oci::Descriptor descriptor = source_.Add(manifest);
    descriptor.platform = oci::Platform{.os = "unknown", .architecture = "unknown"};
    descriptor.annotations = {{"vnd.docker.reference.type", "attestation-manifest"},
                              {"vnd.docker.reference.digest", image.digest.ToString()}};
    return descriptor;
  }
  StatusOr<ConvertReport> Convert(oci::ImageSource& source, MemoryImageDestination& destination) {
    options_.spool_directory = spool_.path();
    NoProgress progress;
    auto report = ConvertImage(source, destination, options_, progress);
    EXPECT_TRUE(std::filesystem::is_empty(spool_.path())) << "nothing stays behind";
    return report;
  }
  StatusOr<ConvertReport> Convert() { return Convert(source_, destination_); }

  oci::Manifest ManifestOf(const oci::Digest& digest) const {
    const auto& stored = destination_.content().at(digest);
    return *oci::Manifest::Parse(stored.bytes, stored.media_type);
  }
  oci::Index TopIndex() const {
    const auto& stored = destination_.content().at(destination_.top());
    return *oci::Index::Parse(stored.bytes, stored.media_type);
  }
  /// That a written image is whole: layers are eStargz, and their tars are what the config says.
  void ExpectValid(const oci::Manifest& manifest) const {
    EXPECT_EQ(manifest.media_type, oci::media_type::kOciManifest);
    EXPECT_EQ(manifest.config.media_type, oci::media_type::kOciConfig);
    const auto config =
        oci::ImageConfig::Parse(destination_.content().at(manifest.config.digest).bytes);
    ASSERT_TRUE(config.ok()) << config.status();
    ASSERT_EQ(config->diff_ids().size(), manifest.layers.size());
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      const oci::Descriptor& layer = manifest.layers[i];
      EXPECT_EQ(layer.media_type, oci::media_type::kOciLayerGzip);
      EXPECT_TRUE(layer.annotations.contains(std::string(oci::annotation::kTocDigest)));
      const auto tar = Gunzip(destination_.content().at(layer.digest).bytes);
      ASSERT_TRUE(tar.has_value());
      EXPECT_EQ(oci::Digest::Of(AsBytes(*tar)), config->diff_ids()[i]);
      EXPECT_EQ(layer.annotations.at(std::string(oci::annotation::kUncompressedSize)),
                fmt::format("{}", tar->size()));
    }
  }

  MemoryImageSource source_;
  MemoryImageDestination destination_;
  ConvertOptions options_;
  TempDir spool_ = *TempDir::Make(std::filesystem::temp_directory_path(), "convert-");
};

TEST_F(ConvertImageTest, ConvertsEveryLayerOfAManifest) {
  oci::Descriptor annotated = AddLayer("b");
  annotated.annotations["org.example"] = "layer";
  source_.SetTop(AddImage({AddLayer("a"), annotated}, kAmd64));
  const auto report = Convert();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->target, destination_.top());
  EXPECT_EQ(report->layers.size(), 2U);
  EXPECT_FALSE(report->layers[0].reused);
  const oci::Manifest manifest = ManifestOf(destination_.top());
  ExpectValid(manifest);
  EXPECT_EQ(manifest.annotations, (oci::Annotations{{"org.example", "manifest"}}));
  EXPECT_EQ(manifest.layers[1].annotations.at("org.example"), "layer");
  const std::string config(AsText(destination_.content().at(manifest.config.digest).bytes));
  EXPECT_TRUE(config.starts_with(
      R"({"created":"x","architecture":"amd64","os":"linux","config":{"Cmd":["sh"]},"rootfs":)"));
  EXPECT_TRUE(config.ends_with(R"("history":[{"empty_layer":true}]})"));
  EXPECT_EQ(source_.blobs_streamed(), 3) << "each layer and the configuration once";
}

TEST_F(ConvertImageTest, SmallFilesShareMembersWhenAsked) {
  std::string tar;
  for (int i = 0; i < 20; ++i) {
    tar += TarText({.name = fmt::format("f{}", i), .content = "content"});
  }
  const oci::Descriptor layer = source_.Add(oci::media_type::kOciLayerTar, AsBytes(tar + TarEnd()));
  source_.SetTop(AddImage({layer}, kAmd64));
  const auto alone = Convert();
  ASSERT_TRUE(alone.ok()) << alone.status();
  options_.layer.shared_member_bytes = 64 << 10;
  const auto shared = Convert();
  ASSERT_TRUE(shared.ok()) << shared.status();
  ExpectValid(ManifestOf(destination_.top()));
  EXPECT_LT(shared->layers[0].to.size_bytes, alone->layers[0].to.size_bytes);
}

TEST_F(ConvertImageTest, PrioritizesFilesOfEachLayerAlone) {
  const auto add_layer = [this](const std::string& content) {
    return source_.Add(oci::media_type::kOciLayerTar,
                       AsBytes(TarText({.name = "a", .content = content}) +
                               TarText({.name = "b", .content = content}) + TarEnd()));
  };
  const oci::Descriptor lower = add_layer("lower");
  const oci::Descriptor upper = add_layer("upper");
  source_.SetTop(AddImage({lower, upper}, kAmd64));
  options_.layer.prioritized_files = {"a"};
  options_.layer_files = {{upper.digest, {.prioritized = {"/b"}}}};
  const auto report = Convert();
  ASSERT_TRUE(report.ok()) << report.status();
  const auto order_of = [&](size_t layer) {
    const auto tar =
        Gunzip(destination_.content().at(report->layers[layer].to.digest).bytes).value_or("");
    return std::pair(tar.find(".prefetch.landmark") > tar.find("a\0"s),
                     tar.find(".prefetch.landmark") > tar.find("b\0"s));
  };
  EXPECT_EQ(order_of(0), std::pair(true, false));
  EXPECT_EQ(order_of(1), std::pair(false, true));
  options_.layer_files[lower.digest] = {};
  const auto again = Convert();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(Gunzip(destination_.content().at(again->layers[0].to.digest).bytes)
                .value_or("")
                .find(".no.prefetch.landmark"),
            std::string::npos);
}

TEST_F(ConvertImageTest, CutsFilesOfEachLayerAlone) {
  const std::string content(100'000, 'x');
  const auto add_layer = [&](const std::string& name) {
    return source_.Add(oci::media_type::kOciLayerTar,
                       AsBytes(TarText({.name = name, .content = content}) +
                               TarText({.name = "a", .content = content}) + TarEnd()));
  };
  const oci::Descriptor lower = add_layer("lower");
  const oci::Descriptor upper = add_layer("upper");
  source_.SetTop(AddImage({lower, upper}, kAmd64));
  options_.layer_files = {{upper.digest, {.chunk_size_bytes_of = {{"/a", 20'000}}}}};
  const auto report = Convert();
  ASSERT_TRUE(report.ok()) << report.status();
  const auto chunks_of = [&](size_t layer) {
    const auto tar =
        Gunzip(destination_.content().at(report->layers[layer].to.digest).bytes).value_or("");
    size_t count = 0;
    for (size_t at = tar.find("chunkDigest"); at != std::string::npos;
         at = tar.find("chunkDigest", at + 1)) {
      ++count;
    }
    return count;
  };
  EXPECT_EQ(chunks_of(0), 3U) << "two files and the landmark";
  EXPECT_EQ(chunks_of(1), 7U) << "one of the files in five";
}

TEST_F(ConvertImageTest, ConvertsAllPlatformsAndSharedLayersOnce) {
  const oci::Descriptor shared = AddLayer("shared");
  const oci::Descriptor amd64 = AddImage({shared, AddLayer("amd64")}, kAmd64);
  const oci::Descriptor arm64 = AddImage({shared, AddLayer("arm64")}, kArm64);
  source_.SetTop(AddIndex({amd64, arm64, AddAttestation(amd64)}));
  const auto report = Convert();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->layers.size(), 3U);
  const oci::Index index = TopIndex();
  EXPECT_EQ(index.media_type, oci::media_type::kOciIndex);
  EXPECT_EQ(index.annotations, (oci::Annotations{{"org.example", "index"}}));
  ASSERT_EQ(index.manifests.size(), 2U) << "the attestation spoke of the image before";
  EXPECT_EQ(*index.manifests[0].platform, kAmd64);
  EXPECT_EQ(*index.manifests[1].platform, kArm64);
  for (const oci::Descriptor& entry : index.manifests) {
    EXPECT_EQ(entry.media_type, oci::media_type::kOciManifest);
    ExpectValid(ManifestOf(entry.digest));
  }
  EXPECT_EQ(ManifestOf(index.manifests[0].digest).layers[0],
            ManifestOf(index.manifests[1].digest).layers[0]);
}

TEST_F(ConvertImageTest, TakesOnlyThePlatformsAskedFor) {
  source_.SetTop(
      AddIndex({AddImage({AddLayer("amd64")}, kAmd64), AddImage({AddLayer("arm64")}, kArm64)}));
  options_.platforms = {kArm64};
  const auto report = Convert();
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(TopIndex().manifests.size(), 1U);
  EXPECT_EQ(*TopIndex().manifests[0].platform, kArm64);
  EXPECT_EQ(source_.blobs_streamed(), 2) << "nothing of the other platform";

  options_.platforms = {*oci::Platform::Parse("linux/s390x")};
  EXPECT_EQ(Convert().status().code(), StatusCode::kNotFound);
}

TEST_F(ConvertImageTest, ConvertingTwiceChangesNothing) {
  const oci::Descriptor image = AddImage({AddLayer("a"), AddLayer("b")}, kAmd64);
  source_.SetTop(AddIndex({image}));
  ASSERT_TRUE(Convert().ok());
  MemoryImageSource converted = destination_.AsSource();
  MemoryImageDestination again;
  const auto report = Convert(converted, again);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(again.top(), destination_.top());
  EXPECT_EQ(again.content().size(), destination_.content().size());
  EXPECT_TRUE(report->layers[0].reused && report->layers[1].reused);

  options_.force = true;
  MemoryImageDestination forced;
  const auto forced_report = Convert(converted, forced);
  ASSERT_TRUE(forced_report.ok()) << forced_report.status();
  EXPECT_FALSE(forced_report->layers[0].reused);
  EXPECT_EQ(forced.top(), destination_.top()) << "a former TOC leaves no trace";
}

TEST_F(ConvertImageTest, KeepsAttestationsOfImagesThatStay) {
  source_.SetTop(AddImage({AddLayer("a")}, kAmd64));
  ASSERT_TRUE(Convert().ok());
  // The converted image becomes the source's, with an attestation of it.
  for (const auto& [digest, stored] : destination_.content()) {
    source_.Add(stored.media_type, stored.bytes);
  }
  const auto& top = destination_.content().at(destination_.top());
  oci::Descriptor image = testing_support::DescriptorOf(top.media_type, top.bytes);
  image.platform = kAmd64;
  const oci::Descriptor index = AddIndex({image, AddAttestation(image)});
  source_.SetTop(index);
  MemoryImageDestination again;
  ASSERT_TRUE(Convert(source_, again).ok());
  EXPECT_EQ(again.top(), index.digest);
}

TEST_F(ConvertImageTest, SendsNothingThatIsThereAlready) {
  const oci::Descriptor image = AddImage({AddLayer("a")}, kAmd64);
  source_.SetTop(image);
  ASSERT_TRUE(Convert().ok());
  MemoryImageSource converted = destination_.AsSource();
  MemoryImageDestination again;
  again.Hold(ManifestOf(destination_.top()).layers[0].digest);
  ASSERT_TRUE(Convert(converted, again).ok());
  EXPECT_EQ(again.blobs_written(), 1) << "the configuration";
}

TEST_F(ConvertImageTest, RefusesWhatItCannotConvertBeforeConvertingAnything) {
  source_.SetTop(AddImage(
      {AddLayer("a"), AddLayer("b", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")},
      kAmd64));
  EXPECT_EQ(Convert().status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(destination_.blobs_written(), 0);

  oci::Manifest artifact;
  artifact.media_type = oci::media_type::kOciManifest;
  artifact.config = source_.Add("application/vnd.example.config", AsBytes("{}"));
  source_.SetTop(source_.Add(artifact));
  EXPECT_EQ(Convert().status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(ConvertImageTest, CarriesArtifactsInAnIndexUnchanged) {
  oci::Manifest artifact;
  artifact.media_type = oci::media_type::kOciManifest;
  artifact.config = source_.Add("application/vnd.example.config", AsBytes("{}"));
  artifact.layers = {source_.Add("application/vnd.example", AsBytes("data")),
                     source_.Add("application/vnd.example", AsBytes("more"))};
  const oci::Descriptor carried = source_.Add(artifact);
  source_.SetTop(AddIndex({AddImage({AddLayer("a")}, kAmd64), carried}));
  const auto report = Convert();
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(TopIndex().manifests.size(), 2U);
  EXPECT_EQ(TopIndex().manifests[1], carried);
  EXPECT_TRUE(destination_.content().contains(artifact.layers[1].digest));
}

TEST_F(ConvertImageTest, AnErrorLeavesTheNameAsItWas) {
  const struct {
    std::string_view name;
    StatusCode want;
  } cases[] = {
      {"source fails", StatusCode::kUnavailable},
      {"broken tar", StatusCode::kDataLoss},
      {"destination fails", StatusCode::kResourceExhausted},
      {"diff IDs do not match", StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    MemoryImageDestination destination;
    oci::Descriptor second = AddLayer("b");
    if (c.name == "source fails") {
      second = AddLayer("fails");
      source_.Fail(second.digest, MakeError(StatusCode::kUnavailable, "registry away"));
    } else if (c.name == "broken tar") {
      second = source_.Add(oci::media_type::kOciLayerTar, AsBytes("no tar"));
    } else if (c.name == "destination fails") {
      destination.FailBlobsAfter(1, MakeError(StatusCode::kResourceExhausted, "disk full"));
    }
    source_.SetTop(AddImage({AddLayer("a"), second}, kAmd64));
    if (c.name == "diff IDs do not match") {
      oci::Manifest manifest;
      manifest.media_type = oci::media_type::kOciManifest;
      manifest.config =
          source_.Add(oci::media_type::kOciConfig, AsBytes(R"({"rootfs":{"diff_ids":[]}})"));
      manifest.layers = {second};
      source_.SetTop(source_.Add(manifest));
    }
    EXPECT_EQ(Convert(source_, destination).status().code(), c.want);
    EXPECT_TRUE(destination.top().empty());
  }
}

TEST_F(ConvertImageTest, BoundsNestedIndexes) {
  oci::Descriptor nested = AddImage({AddLayer("a")}, kAmd64);
  for (int i = 0; i < 4; ++i) {
    nested = AddIndex({nested});
  }
  source_.SetTop(nested);
  EXPECT_EQ(Convert().status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace starling::convert

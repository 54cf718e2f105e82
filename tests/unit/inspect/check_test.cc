#include "inspect/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/toc_digest.h"

namespace starling::inspect {
namespace {

using layer::FetchMode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr uint64_t kMebibyte = 1 << 20;

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }
const oci::Digest kImage = DigestOf("image");
const oci::Digest kToc = DigestOf("toc");

LayerReport Plain(std::string_view name, uint64_t size_bytes,
                  LayerFormat format = LayerFormat::kGzip) {
  return {.descriptor = {.media_type = std::string(oci::media_type::kOciLayerGzip),
                         .digest = DigestOf(name),
                         .size_bytes = size_bytes},
          .format = format,
          .reason = "it is plain"};
}

LayerReport Lazy(std::string_view name, uint64_t size_bytes, Landmark landmark = Landmark::kNone) {
  LayerReport report = Plain(name, size_bytes, LayerFormat::kEstargz);
  report.descriptor.annotations[std::string(oci::annotation::kTocDigest)] = kToc.ToString();
  report.toc_digest = kToc;
  report.data_bytes = 2 * size_bytes;
  report.landmark = landmark;
  report.lazy = true;
  report.reason.clear();
  return report;
}

ImageReport ImageOf(std::vector<LayerReport> layers) {
  return {
      .name = "r.example/a:1", .target = kImage, .manifest = kImage, .layers = std::move(layers)};
}

std::vector<std::string> IdsOf(const CheckReport& report) {
  std::vector<std::string> ids;
  for (const Advice& advice : report.advice) {
    ids.emplace_back(advice.id);
  }
  return ids;
}

/// A profile of one run that needed the first `size_bytes` of the lazy layer `name`.
layer::AccessProfile ProfileOf(std::string_view name, uint64_t size_bytes) {
  auto profile = layer::AccessProfile::Make(
      kImage, 1,
      {{.key = {.layer = DigestOf(name), .toc = kToc},
        .ranges = {{.range = {.data_address = 0, .size_bytes = size_bytes}}}}});
  EXPECT_TRUE(profile.ok()) << profile.status();
  return *std::move(profile);
}

TEST(Check, SaysHowEachLayerIsBrought) {
  LayerReport foreign = Plain("foreign", 10);
  foreign.descriptor.media_type = "application/vnd.example.model";
  LayerReport broken = Lazy("broken", 10 * kMebibyte);
  broken.lazy = false;
  broken.reason = "another TOC";
  const struct {
    std::string_view name;
    LayerReport layer;
    Circumstances circumstances;
    Treatment treatment;
    FetchMode mode;
    std::string reason;
  } cases[] = {
      {"lazy",
       Lazy("a", 10 * kMebibyte),
       {},
       Treatment::kLazy,
       FetchMode::kLazy,
       "nothing is known"},
      {"small", Lazy("a", 1000), {}, Treatment::kLazy, FetchMode::kEager, "round trips"},
      {"small, as configured",
       Lazy("a", 1000),
       {.preference = layer::FetchPreference::kLazy},
       Treatment::kLazy,
       FetchMode::kLazy,
       "as configured"},
      {"needed densely",
       Lazy("a", 10 * kMebibyte),
       {.profile = ProfileOf("a", 16 * kMebibyte)},
       Treatment::kLazy,
       FetchMode::kEager,
       "80 %"},
      {"needed by half",
       Lazy("a", 10 * kMebibyte),
       {.profile = ProfileOf("a", 8 * kMebibyte)},
       Treatment::kLazy,
       FetchMode::kLazyAndEager,
       "40 %"},
      {"not needed",
       Lazy("a", 10 * kMebibyte),
       {.profile = ProfileOf("b", 8 * kMebibyte)},
       Treatment::kLazy,
       FetchMode::kLazy,
       "0 %"},
      {"plain", Plain("a", 10), {}, Treatment::kWhole, FetchMode::kLazy, "it is plain"},
      {"plain, left to containerd",
       Plain("a", 10),
       {.takes_plain_layers = false},
       Treatment::kLeft,
       FetchMode::kLazy,
       "it is plain"},
      {"indexed",
       Plain("a", 10 * kMebibyte),
       {.kept_indexes = {{DigestOf("a"), {.digest = kToc, .data_bytes = 20 * kMebibyte}}},
        .profile = ProfileOf("a", 16 * kMebibyte)},
       Treatment::kLazyByIndex,
       FetchMode::kEager,
       "80 %"},
      {"another layer is indexed",
       Plain("a", 10),
       {.kept_indexes = {{DigestOf("b"), {.digest = kToc, .data_bytes = 20}}}},
       Treatment::kWhole,
       FetchMode::kLazy,
       "it is plain"},
      {"of no known format",
       Plain("a", 10, LayerFormat::kUnknown),
       {},
       Treatment::kLeft,
       FetchMode::kLazy,
       "it is plain"},
      {"broken promise", broken, {}, Treatment::kLeft, FetchMode::kLazy, "another TOC"},
      {"no layer", foreign, {}, Treatment::kImpossible, FetchMode::kLazy, "it is plain"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const CheckReport report = Check(ImageOf({c.layer}), c.circumstances, "a");
    ASSERT_EQ(report.verdicts.size(), 1U);
    EXPECT_EQ(report.verdicts[0].treatment, c.treatment) << NameOf(report.verdicts[0].treatment);
    EXPECT_EQ(report.verdicts[0].mode, c.mode);
    EXPECT_THAT(report.verdicts[0].reason, HasSubstr(c.reason));
    const bool is_lazy = c.treatment == Treatment::kLazy || c.treatment == Treatment::kLazyByIndex;
    EXPECT_EQ(report.lazy_layers(), is_lazy ? 1U : 0U);
    EXPECT_EQ(report.ahead_bytes(), is_lazy ? 0 : c.layer.descriptor.size_bytes);
  }
}

TEST(Check, CountsWhatComesAsAWhole) {
  const CheckReport report =
      Check(ImageOf({Plain("gzip", 3 * kMebibyte), Plain("zstd", kMebibyte, LayerFormat::kZstd),
                     Lazy("lazy", 4 * kMebibyte, Landmark::kPrefetch)}),
            {}, "docker://r.example/a:1");
  EXPECT_EQ(report.lazy_layers(), 1U);
  EXPECT_EQ(report.ahead_bytes(), 4 * kMebibyte);
  ASSERT_THAT(IdsOf(report), ElementsAre("whole-layers"));
  EXPECT_THAT(report.advice[0].text,
              HasSubstr("2 of 3 layers, 4.0 MiB (50 % of the image), come as a whole"));
  EXPECT_THAT(report.advice[0].text, HasSubstr("1 of them are lazy here the next time"));
  EXPECT_THAT(
      report.advice[0].numbers,
      UnorderedElementsAre(Pair("layers", 2), Pair("size", 4 * kMebibyte), Pair("gzipLayers", 1)));
  EXPECT_THAT(report.advice[0].commands,
              ElementsAre("starling convert docker://r.example/a:1 r.example/a:1-esgz",
                          "starling index create docker://r.example/a:1 && "
                          "starling index push docker://r.example/a:1"));
}

TEST(Check, NamesTargetsThatCanBeWritten) {
  const struct {
    std::string image;
    std::string command;
  } cases[] = {
      {"r.example/a@" + kImage.ToString(),
       "starling convert r.example/a@" + kImage.ToString() + " r.example/a:image-esgz"},
      {"oci:some dir:tag", "starling convert 'oci:some dir:tag' TARGET"},
      {"debian", "starling convert debian docker.io/library/debian:latest-esgz"},
  };
  for (const auto& c : cases) {
    const CheckReport report = Check(ImageOf({Plain("tar", 10, LayerFormat::kTar)}), {}, c.image);
    ASSERT_THAT(IdsOf(report), ElementsAre("whole-layers"));
    EXPECT_THAT(report.advice[0].commands, ElementsAre(c.command));
  }
}

TEST(Check, TellsOfIndexesThatAreAttached) {
  Circumstances circumstances{.attached = Circumstances::Attached{
                                  .indexed_layers = {DigestOf("a"), DigestOf("elsewhere")}}};
  const ImageReport image = ImageOf({Plain("a", 10), Plain("b", 10)});
  const CheckReport cautious = Check(image, circumstances, "a");
  ASSERT_THAT(IdsOf(cautious), ElementsAre("whole-layers", "attached-indexes"));
  EXPECT_THAT(cautious.advice[1].text, HasSubstr("if whoever attached them is trusted"));
  EXPECT_THAT(cautious.advice[1].numbers,
              UnorderedElementsAre(Pair("layers", 1), Pair("size", 10)));
  EXPECT_THAT(cautious.advice[1].commands, ElementsAre("starling index pull a"));
  circumstances.attached->is_trusted = true;
  EXPECT_THAT(Check(image, circumstances, "a").advice[1].text, HasSubstr("at the first pull"));
}

TEST(Check, MissesWhatSaysWhatIsNeededFirst) {
  const uint64_t big = 10 * kMebibyte;
  const ImageReport silent =
      ImageOf({Lazy("a", big), Lazy("b", big, Landmark::kNoPrefetch), Lazy("c", big)});
  const CheckReport report = Check(silent, {}, "a");
  ASSERT_THAT(IdsOf(report), ElementsAre("no-first-needs"));
  EXPECT_THAT(report.advice[0].numbers,
              UnorderedElementsAre(Pair("lazyLayers", 3), Pair("layersWithoutLandmark", 2)));
  EXPECT_THAT(report.advice[0].commands,
              ElementsAre("starling optimize a -t docker.io/library/a:latest-fast",
                          "starling optimize a --profile"));
  const CheckReport attached =
      Check(silent, {.attached = Circumstances::Attached{.profile = true}}, "a");
  ASSERT_THAT(IdsOf(attached), ElementsAre("attached-profile"));
  EXPECT_THAT(attached.advice[0].commands, ElementsAre("starling profile pull a"));
  EXPECT_THAT(IdsOf(Check(silent, {.profile = ProfileOf("a", 10)}, "a")), IsEmpty());
  LayerReport marked = Lazy("b", big, Landmark::kPrefetch);
  marked.prefetch_bytes = kMebibyte;
  EXPECT_THAT(IdsOf(Check(ImageOf({Lazy("a", big), marked}), {}, "a")), IsEmpty());
}

TEST(Check, FindsWhatReadsWouldPayFor) {
  LayerReport marked = Lazy("a", 10 * kMebibyte, Landmark::kPrefetch);
  marked.prefetch_bytes = 6 * kMebibyte;
  marked.huge_chunks = 2;
  marked.largest_chunk_bytes = 64 * kMebibyte;
  marked.largest_member_bytes = 5 * kMebibyte;
  const CheckReport report = Check(ImageOf({marked}), {}, "a");
  ASSERT_THAT(IdsOf(report), ElementsAre("much-prefetch", "huge-chunks"));
  EXPECT_THAT(report.advice[0].text, HasSubstr("6.0 MiB (60 % of the image)"));
  EXPECT_THAT(report.advice[1].text,
              HasSubstr("2 chunks are larger than 4.0 MiB: a byte of the largest costs 5.0 MiB of "
                        "network, and 64.0 MiB to decode"));
  EXPECT_THAT(report.advice[1].numbers,
              UnorderedElementsAre(Pair("chunks", 2), Pair("largestChunkSize", 64 * kMebibyte),
                                   Pair("largestMemberSize", 5 * kMebibyte)));
}

TEST(Check, CountsLayers) {
  std::vector<LayerReport> layers(40, Lazy("a", 1000, Landmark::kPrefetch));
  EXPECT_THAT(IdsOf(Check(ImageOf(layers), {}, "a")), IsEmpty());
  layers.push_back(Lazy("a", 10 * kMebibyte, Landmark::kPrefetch));
  const CheckReport report = Check(ImageOf(layers), {}, "a");
  ASSERT_THAT(IdsOf(report), ElementsAre("many-layers"));
  EXPECT_THAT(report.advice[0].numbers,
              UnorderedElementsAre(Pair("layers", 41), Pair("tinyLayers", 40)));
}

TEST(Check, TellsOfPromisesThatAreBrokenAndAnnotationsThatAreNotPassed) {
  LayerReport broken = Lazy("a", 10);
  broken.lazy = false;
  LayerReport noted = Lazy("b", 10, Landmark::kPrefetch);
  noted.note = "with starling pull";
  const CheckReport report = Check(ImageOf({broken, noted}), {}, "r/a:1");
  ASSERT_THAT(IdsOf(report), ElementsAre("broken-layers", "annotations-not-passed"));
  EXPECT_THAT(report.advice[0].numbers, UnorderedElementsAre(Pair("layers", 1), Pair("size", 10)));
  EXPECT_THAT(
      report.advice[1].commands,
      ElementsAre(
          "starling convert --force --format zstdchunked r/a:1 docker.io/r/a:1-zstdchunked"));
}

}  // namespace
}  // namespace starling::inspect

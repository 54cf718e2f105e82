#include "estargz/gzip_stream.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"

namespace starling::estargz {
namespace {

using testing_support::CompressibleText;
using testing_support::Gzip;
using testing_support::Noise;

struct Inflated {
  std::string text;
  Status status;
};

Inflated InflateInPieces(std::string_view gzip, size_t in_bytes, size_t out_bytes) {
  GzipStream stream;
  Inflated all;
  Bytes room(out_bytes);
  ByteSpan left = AsBytes(gzip);
  for (;;) {
    const ByteSpan in = left.first(std::min(left.size(), in_bytes));
    const auto step = stream.Inflate(in, room);
    all.status = step.status();
    if (!step.ok() || (in.empty() && step->produced_bytes == 0)) {
      EXPECT_TRUE(!step.ok() || !stream.in_member());
      return all;
    }
    left = left.subspan(step->consumed_bytes);
    all.text += AsText(ByteSpan(room).first(step->produced_bytes));
  }
}

TEST(GzipStream, InflatesWhateverThePieces) {
  const std::string text = CompressibleText(200'000, 1);
  const std::string noise = Noise(100'000, 2);
  const std::string padding(1000, '\0');
  const struct {
    std::string_view name;
    std::string gzip;
    StatusCode code;
    std::string want;
  } cases[] = {
      {"one member", Gzip(text), StatusCode::kOk, text},
      {"stored", Gzip(noise, 0), StatusCode::kOk, noise},
      {"members", Gzip(text) + Gzip("") + Gzip(noise), StatusCode::kOk, text + noise},
      {"padded", Gzip(text) + padding, StatusCode::kOk, text},
      {"nothing", "", StatusCode::kOk, ""},
      {"cut", Gzip(text).substr(0, 1000), StatusCode::kDataLoss, ""},
      {"cut in the trailer", Gzip("x").substr(0, Gzip("x").size() - 1), StatusCode::kDataLoss, ""},
      {"garbage behind", Gzip(text) + "x", StatusCode::kDataLoss, ""},
      {"garbage in padding", Gzip(text) + padding + "x", StatusCode::kDataLoss, ""},
      {"no gzip", "plain text", StatusCode::kDataLoss, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    for (const size_t in_bytes : {size_t{1}, size_t{33}, size_t{1} << 20}) {
      for (const size_t out_bytes : {size_t{7}, size_t{1} << 20}) {
        const Inflated all = InflateInPieces(c.gzip, in_bytes, out_bytes);
        EXPECT_EQ(all.status.code(), c.code) << all.status;
        if (c.code == StatusCode::kOk) {
          EXPECT_TRUE(all.text == c.want);
        }
      }
    }
  }
}

TEST(GzipStream, GoesOnAtTheBlocksThatItTold) {
  const std::string text = CompressibleText(300'000, 3);
  const std::string more = CompressibleText(50'000, 4);
  const std::string gzip = Gzip(text) + Gzip(more);
  const std::string all = text + more;
  GzipStream stream;
  std::string produced;
  Bytes room(256 << 10);
  size_t blocks = 0;
  for (size_t at = 0; at < gzip.size();) {
    const auto step = stream.Inflate(AsBytes(gzip).subspan(at, 1), room);
    ASSERT_TRUE(step.ok()) << step.status();
    at += step->consumed_bytes;
    produced += AsText(ByteSpan(room).first(step->produced_bytes));
    const std::optional<uint32_t> bits = stream.BitsSinceBlock();
    if (!bits || *bits >= 8) {
      continue;
    }
    ++blocks;
    GzipStream second;
    const auto shared = static_cast<uint8_t>(gzip[at - 1]);
    second.BeginAtBlock(*bits == 0 ? 0U : static_cast<uint32_t>(shared) >> (8 - *bits), *bits,
                        AsBytes(produced).last(std::min<size_t>(produced.size(), 32 << 10)));
    std::string rest;
    ByteSpan left = AsBytes(gzip).subspan(at);
    for (;;) {
      const auto next = second.Inflate(left, room);
      ASSERT_TRUE(next.ok()) << next.status();
      if (left.empty() && next->produced_bytes == 0) {
        break;
      }
      left = left.subspan(next->consumed_bytes);
      rest += AsText(ByteSpan(room).first(next->produced_bytes));
    }
    EXPECT_TRUE(produced + rest == all) << "from " << at;
  }
  EXPECT_GT(blocks, 4U);
}

}  // namespace
}  // namespace starling::estargz

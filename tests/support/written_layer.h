/// A layer of any lazy format in a store, with the gaps of what was fetched of it kept.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string_view>

#include "base/executor.h"
#include "base/temp_dir.h"
#include "estargz/writer.h"
#include "layer/gap_log.h"
#include "layer/layer_opener.h"
#include "layer/lazy_layer.h"
#include "store/layer_store.h"
#include "tests/support/memory_image.h"

namespace starling::testing_support {

class WrittenLayerFixture : public testing::Test {
 protected:
  /// Makes, stores and opens the layer of `tar`; nothing of it is fetched.
  void WriteAndOpen(std::string_view tar, estargz::WriteOptions options,
                    std::shared_ptr<layer::FetchScheduler> scheduler = nullptr) {
    options.threads = 1;
    SpanSource source(AsBytes(tar));
    BytesSink sink;
    auto written = estargz::WriteLayer(source, sink, options);
    ASSERT_TRUE(written.ok()) << written.status();
    written_ = *std::move(written);
    blob_size_bytes_ = sink.bytes().size();
    image_->Add(oci::media_type::kOciLayerGzip, sink.bytes());
    if (!layers_) {
      auto layers = store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
      ASSERT_TRUE(layers.ok()) << layers.status();
      layers_ = *std::move(layers);
    }
    const bool is_gzip = options.format == estargz::WriteFormat::kEstargz;
    const auto opened = layer::OpenLayer(
        *image_,
        {.layer = written_.digest,
         .toc = is_gzip ? written_.toc_digest : written_.compressed_toc_digest},
        blob_size_bytes_, *layers_, counters_,
        {.digest_of = is_gzip ? oci::TocDigestOf::kJson : oci::TocDigestOf::kCompressed});
    ASSERT_TRUE(opened.ok()) << opened.status();
    stored_ = opened->stored;
    reader_ = opened->reader;
    auto layer = layer::LazyLayer::Open(stored_, cpu_, counters_, {}, std::move(scheduler));
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
    layer_->UseReader(reader_);
    gaps_path_ = stored_->directory() / layer::GapLog::kFileName;
    gaps_ = std::make_shared<layer::GapLog>(gaps_path_, RealFileSystem());
  }
  void KeepGaps() { layer_->KeepGaps(gaps_); }
  /// Until all of the layer is held.
  void Complete() {
    std::promise<Status> done;
    layer_->MakePresent({.data_address = 0, .size_bytes = layer_->chunks().data_size_bytes()},
                        oci::FetchClass::kDemand,
                        [&done](const Status& status) { done.set_value(status); });
    const Status status = done.get_future().get();
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(stored_->complete());
  }
  void TearDown() override {
    if (layer_) {
      layer_->Close();
    }
  }

  TempDir directory_ = *TempDir::Make("/tmp", "written-layer-");
  std::shared_ptr<MemoryImageSource> image_ = std::make_shared<MemoryImageSource>();
  estargz::WrittenLayer written_;
  uint64_t blob_size_bytes_ = 0;
  std::unique_ptr<store::LayerStore> layers_;
  std::shared_ptr<store::StoredLayer> stored_;
  std::shared_ptr<oci::BlobReader> reader_;
  layer::FetchCounters counters_;
  ThreadPool cpu_{"cpu", 2};
  std::shared_ptr<layer::LazyLayer> layer_;
  std::filesystem::path gaps_path_;
  std::shared_ptr<layer::GapLog> gaps_;
};

}  // namespace starling::testing_support

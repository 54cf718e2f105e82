#include "convert/layer_conversion.h"

#include <fcntl.h>

#include <thread>

#include "base/executor.h"
#include "base/file_system.h"
#include "convert/byte_pipe.h"
#include "estargz/footer.h"
#include "oci/toc_digest.h"

namespace starling::convert {
namespace {

// Enough for the download to go on while the writer compresses a batch of chunks.
constexpr size_t kPipeBytes = 8 << 20;

// Of zstd:chunked blobs, by its two writers: they tell where things are in the former blob.
constexpr std::string_view kFormerPrefixes[] = {"io.containers.zstd-chunked.",
                                                "io.github.containers.zstd-chunked."};

/// Tells `progress` of what passes.
class CountingSink : public ByteSink {
 public:
  CountingSink(ByteSink& next, Progress& progress, const std::string& part)
      : next_(next), progress_(progress), part_(part) {}
  Status Write(ByteSpan bytes) override {
    RETURN_IF_ERROR(next_.Write(bytes));
    progress_.Advance(part_, bytes.size());
    return OkStatus();
  }

 private:
  ByteSink& next_;
  Progress& progress_;
  const std::string& part_;
};

}  // namespace

StatusOr<estargz::WrittenLayer> ConvertLayer(oci::ImageSource& source, const oci::Descriptor& from,
                                             const std::filesystem::path& spool,
                                             const estargz::WriteOptions& options,
                                             Progress& progress, const std::string& part) {
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   RealFileSystem().Open(spool, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  BytePipe pipe(kPipeBytes);
  Status downloaded;  // the thread's, until it is joined
  std::thread download([&] {
    SetThreadName("layer-in");
    CountingSink counting(pipe, progress, part);
    downloaded = source.ReadBlob(from, counting);
    pipe.Finish(downloaded);
  });
  FdSink blob(fd.get());
  auto written = estargz::WriteLayer(pipe, blob, options);
  pipe.Abandon();
  download.join();
  // The writer read to the end and so saw a wrong digest as its input's error. If it gave up, the
  // download was cancelled, which is not what went wrong.
  if (!downloaded.ok() && downloaded.code() != StatusCode::kCancelled) {
    return downloaded;
  }
  if (written.ok() && !downloaded.ok()) {
    return MakeError(StatusCode::kInternal, "the layer was not read to its end");
  }
  return written;
}

oci::Descriptor DescribeConverted(const oci::Descriptor& from,
                                  const estargz::WrittenLayer& written) {
  oci::Descriptor to{.media_type = std::string(oci::media_type::kOciLayerGzip),
                     .digest = written.digest,
                     .size_bytes = written.size_bytes};
  for (const auto& [key, value] : from.annotations) {
    bool former = false;
    for (const std::string_view prefix : kFormerPrefixes) {
      former = former || key.starts_with(prefix);
    }
    if (!former) {
      to.annotations[key] = value;
    }
  }
  to.annotations[std::string(oci::annotation::kTocDigest)] = written.toc_digest.ToString();
  to.annotations[std::string(oci::annotation::kUncompressedSize)] =
      fmt::format("{}", written.uncompressed_bytes);
  return to;
}

StatusOr<bool> IsEstargz(oci::ImageSource& source, const oci::Descriptor& layer) {
  const auto promised = oci::FindTocDigest(layer.annotations);
  if (!promised.ok() || promised->of != oci::TocDigestOf::kJson) {
    return false;
  }
  ASSIGN_OR_RETURN(const oci::OpenedBlob blob, source.OpenBlob(layer, estargz::kMaxFooterBytes));
  const auto footer = estargz::ParseFooter(blob.tail, blob.reader->SizeBytes());
  return footer.ok() && footer->kind == estargz::FooterKind::kEstargz;
}

}  // namespace starling::convert

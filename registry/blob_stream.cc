#include "registry/blob_stream.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <utility>

#include "registry/content_range.h"

namespace starling::registry {
namespace {

constexpr size_t kCopyBytes = 128 << 10;

std::string WhatOf(const oci::Descriptor& blob) {
  return fmt::format("blob {}", blob.digest.ToString());
}

/// One blob on its way down, over as many connections as it takes.
class Download {
 public:
  Download(std::shared_ptr<RepositoryApi> api, const oci::Descriptor& blob, uint64_t blob_offset,
           ByteSink& sink, const StreamLimits& limits)
      : api_(std::move(api)),
        blob_(blob),
        is_whole_(blob_offset == 0),
        sink_(sink),
        limits_(limits),
        received_bytes_(blob_offset) {}

  Status Run() {
    last_progress_ = api_->clock().Now();
    int retries = 0;
    for (;;) {
      const uint64_t before_bytes = received_bytes_;
      const Status status = Attempt();
      if (status.ok()) {
        return CheckWhole();
      }
      if (received_bytes_ > before_bytes) {
        retries = 0;
        last_progress_ = api_->clock().Now();
      }
      const auto delay = RetryDelay(retries);
      if (!IsRetryable(status) || retries >= limits_.max_retries ||
          api_->clock().Now() + delay >= last_progress_ + limits_.idle_timeout) {
        return explained_ ? status : api_->Explain(status, WhatOf(blob_));
      }
      ++retries;
      api_->Wait(delay);
    }
  }

 private:
  using Result = StatusOr<ApiResponse>;

  /// One connection. kUnavailable when it broke.
  Status Attempt() {
    const auto pipe = std::make_shared<BodyPipe>();
    const auto skip_bytes = std::make_shared<std::atomic<uint64_t>>(0);
    ApiRequest request{.url = api_->UrlOf(fmt::format("blobs/{}", blob_.digest.ToString())),
                       .download = pipe,
                       .fetch_class = oci::FetchClass::kBackground,
                       // The transport ends connections that stall; a big blob may take long.
                       .retry = {.deadline = last_progress_ + std::chrono::hours(24),
                                 .max_retries = limits_.max_retries}};
    if (received_bytes_ > 0) {
      request.headers.push_back(
          {.name = "Range", .value = fmt::format("bytes={}-", received_bytes_)});
    }
    request.on_headers = [from = received_bytes_, skip_bytes](const HttpResponse& response) {
      return CheckStart(response, from, *skip_bytes);
    };
    const auto promise = std::make_shared<std::promise<Result>>();
    auto result = promise->get_future();
    api_->Call(std::move(request), [promise, pipe](Result response) {
      pipe->CloseWrite(response.status());
      promise->set_value(std::move(response));
    });
    const Status copied = Copy(*pipe, *skip_bytes);
    pipe->CloseRead(MakeError(StatusCode::kCancelled, "the reader has gone"));
    const Result response = result.get();
    RETURN_IF_ERROR(copied);
    RETURN_IF_ERROR(response.status());
    if (response->http.status != 200 && response->http.status != 206) {
      explained_ = true;
      return api_->ErrorOf(response->http, WhatOf(blob_));
    }
    if (blob_.size_bytes != 0 && received_bytes_ < blob_.size_bytes) {
      return MakeError(StatusCode::kUnavailable,
                       fmt::format("the connection ended after {} of {} bytes", received_bytes_,
                                   blob_.size_bytes));
    }
    return OkStatus();
  }

  /// The answer starts at `from`, or at 0: then the first bytes are known already.
  static Status CheckStart(const HttpResponse& response, uint64_t from,
                           std::atomic<uint64_t>& skip_bytes) {
    if (response.status == 200 || response.status == 206) {
      RETURN_IF_ERROR(CheckEncoding(response.HeaderValue("Content-Encoding")));
    }
    if (response.status == 206) {
      ASSIGN_OR_RETURN(const ContentRange got,
                       ParseContentRange(response.HeaderValue("Content-Range")));
      if (!got.range || got.range->blob_offset != from) {
        return MakeError(StatusCode::kDataLoss,
                         fmt::format("asked for bytes from {}, the server sent \"{}\"", from,
                                     Printable(response.HeaderValue("Content-Range"), 100)));
      }
    } else if (response.status == 200) {
      skip_bytes = from;
    }
    return OkStatus();
  }

  Status Copy(BodyPipe& pipe, const std::atomic<uint64_t>& skip_bytes) {
    Bytes buffer(kCopyBytes);
    uint64_t skipped_bytes = 0;
    for (;;) {
      ASSIGN_OR_RETURN(const size_t read_bytes, pipe.Read(buffer));
      if (read_bytes == 0) {
        return OkStatus();
      }
      const size_t known_bytes = std::min<uint64_t>(read_bytes, skip_bytes - skipped_bytes);
      skipped_bytes += known_bytes;
      const ByteSpan fresh = ByteSpan(buffer).subspan(known_bytes, read_bytes - known_bytes);
      if (blob_.size_bytes != 0 && fresh.size() > blob_.size_bytes - received_bytes_) {
        return MakeError(StatusCode::kDataLoss,
                         fmt::format("more than the {} bytes promised", blob_.size_bytes));
      }
      RETURN_IF_ERROR(sink_.Write(fresh));
      hash_.Update(fresh);
      received_bytes_ += fresh.size();
    }
  }

  Status CheckWhole() {
    if (!is_whole_) {
      return OkStatus();
    }
    const oci::Digest got = hash_.Finish();
    if (got == blob_.digest) {
      return OkStatus();
    }
    return api_->Explain(
        MakeError(StatusCode::kDataLoss,
                  fmt::format("its {} bytes have the digest {}", received_bytes_, got.ToString())),
        WhatOf(blob_));
  }

  const std::shared_ptr<RepositoryApi> api_;
  const oci::Descriptor& blob_;
  const bool is_whole_;
  ByteSink& sink_;
  const StreamLimits limits_;
  oci::Sha256 hash_;
  uint64_t received_bytes_;  // with what was not asked for
  std::chrono::steady_clock::time_point last_progress_;
  bool explained_ = false;
};

}  // namespace

Status DownloadBlob(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                    uint64_t blob_offset, ByteSink& sink, const StreamLimits& limits) {
  return Download(api, blob, blob_offset, sink, limits).Run();
}

}  // namespace starling::registry

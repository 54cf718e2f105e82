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
  Download(std::shared_ptr<RepositoryApi> api, const oci::Descriptor& blob, ByteSink& sink,
           const StreamLimits& limits)
      : api_(std::move(api)), blob_(blob), sink_(sink), limits_(limits) {}

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
  ByteSink& sink_;
  const StreamLimits limits_;
  oci::Sha256 hash_;
  uint64_t received_bytes_ = 0;
  std::chrono::steady_clock::time_point last_progress_;
  bool explained_ = false;
};

/// One blob on its way up.
class Upload {
 public:
  Upload(std::shared_ptr<RepositoryApi> api, const oci::Descriptor& blob,
         const oci::ImageDestination::OpenStream& open, const StreamLimits& limits)
      : api_(std::move(api)), blob_(blob), open_(open), limits_(limits) {}

  Status Run() {
    for (int retries = 0;; ++retries) {
      retry_ = Retry::kNo;
      const Status status = Attempt();
      if (status.ok() || retry_ == Retry::kNo || retries >= limits_.max_retries) {
        return status;
      }
      api_->Wait(RetryDelay(retries));
    }
  }

 private:
  enum class Retry { kNo, kYes };

  RetryPolicy Policy() const {
    return {.deadline = api_->clock().Now() + limits_.request_timeout,
            .max_retries = limits_.max_retries};
  }

  Status Attempt() {
    auto exists = BlobExists(api_, blob_, Policy());
    RETURN_IF_ERROR(exists.status());
    if (*exists) {
      return OkStatus();
    }
    ASSIGN_OR_RETURN(const Url target, OpenSession());
    auto stream = open_();
    if (!stream.ok()) {
      return Annotate(stream.status(), WhatOf(blob_));
    }
    return Put(target, **stream);
  }

  /// Source: OCI distribution specification, "POST then PUT".
  StatusOr<Url> OpenSession() {
    auto response = api_->CallAndWait(
        {.method = "POST", .url = api_->UrlOf("blobs/uploads/"), .retry = Policy()});
    if (!response.ok()) {
      return api_->Explain(response.status(), WhatOf(blob_) + ": upload");
    }
    if (response->http.status != 202) {
      return api_->ErrorOf(response->http, WhatOf(blob_) + ": upload");
    }
    ASSIGN_OR_RETURN(const Url asked, Url::Parse(response->url));
    auto location = asked.Resolve(response->http.HeaderValue("Location"));
    if (!location.ok()) {
      return api_->Explain(location.status(), WhatOf(blob_) + ": upload location");
    }
    auto target = location->WithQuery("digest", blob_.digest.ToString());
    if (!target.ok()) {
      return api_->Explain(target.status(), WhatOf(blob_) + ": upload location");
    }
    if (const Status allowed = api_->CheckStep(asked, *target); !allowed.ok()) {
      return api_->Explain(allowed, WhatOf(blob_) + ": upload");
    }
    if (!target->encrypted() && !target->SameOrigin(api_->base())) {
      return api_->Explain(MakeError(StatusCode::kPermissionDenied,
                                     "the registry wants the bytes sent unencrypted "
                                     "to another host"),
                           WhatOf(blob_) + ": upload");
    }
    return target;
  }

  Status Put(const Url& target, ByteSource& stream) {
    const auto pipe = std::make_shared<BodyPipe>();
    ApiRequest request{
        .method = "PUT",
        .url = target.text(),
        .headers = {{.name = "Content-Type", .value = "application/octet-stream"}},
        .upload = pipe,
        .upload_bytes = blob_.size_bytes,
        .fetch_class = oci::FetchClass::kBackground,
        .retry = {.deadline = api_->clock().Now() + std::chrono::hours(24), .max_retries = 0}};
    const auto promise = std::make_shared<std::promise<StatusOr<ApiResponse>>>();
    auto result = promise->get_future();
    api_->Call(std::move(request), [promise, pipe](StatusOr<ApiResponse> response) {
      pipe->CloseRead(MakeError(StatusCode::kCancelled, "the registry has answered already"));
      promise->set_value(std::move(response));
    });
    const Status fed = Feed(stream, *pipe);
    pipe->CloseWrite(fed);
    const auto response = result.get();
    if (source_failed_) {
      return api_->Explain(fed, WhatOf(blob_) + ": upload");
    }
    if (!response.ok()) {
      retry_ = IsRetryable(response.status()) ? Retry::kYes : Retry::kNo;
      return api_->Explain(response.status(), WhatOf(blob_) + ": upload");
    }
    return CheckStored(response->http);
  }

  /// Moves the stream into the pipe. Fails when the stream does, or the registry hangs up.
  Status Feed(ByteSource& stream, BodyPipe& pipe) {
    Bytes buffer(kCopyBytes);
    uint64_t fed_bytes = 0;
    for (;;) {
      const auto read_bytes = stream.Read(buffer);
      if (!read_bytes.ok()) {
        source_failed_ = true;
        return read_bytes.status();
      }
      if (*read_bytes > blob_.size_bytes - fed_bytes ||
          (*read_bytes == 0 && fed_bytes < blob_.size_bytes)) {
        source_failed_ = true;
        return MakeError(
            StatusCode::kDataLoss,
            fmt::format("its source does not hold the {} bytes that it should", blob_.size_bytes));
      }
      if (*read_bytes == 0) {
        return OkStatus();
      }
      RETURN_IF_ERROR(pipe.Write(ByteSpan(buffer).first(*read_bytes)));
      fed_bytes += *read_bytes;
    }
  }

  Status CheckStored(const HttpResponse& response) {
    if (response.status == 401) {
      api_->ForgetToken();
    }
    if (response.status != 201 && response.status != 204) {
      // 404: the session was lost, a restart of the registry for example.
      const bool again =
          response.status == 401 || response.status == 404 || IsRetryable(response.status);
      retry_ = again ? Retry::kYes : Retry::kNo;
      return api_->ErrorOf(response, WhatOf(blob_) + ": upload");
    }
    const std::string_view stored = response.HeaderValue("Docker-Content-Digest");
    if (!stored.empty() && stored != blob_.digest.ToString()) {
      return api_->Explain(MakeError(StatusCode::kDataLoss,
                                     fmt::format("the registry stored {}", Printable(stored, 100))),
                           WhatOf(blob_) + ": upload");
    }
    return OkStatus();
  }

  const std::shared_ptr<RepositoryApi> api_;
  const oci::Descriptor& blob_;
  const oci::ImageDestination::OpenStream& open_;
  const StreamLimits limits_;
  Retry retry_ = Retry::kNo;
  bool source_failed_ = false;
};

}  // namespace

Status DownloadBlob(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                    ByteSink& sink, const StreamLimits& limits) {
  return Download(api, blob, sink, limits).Run();
}

Status UploadBlob(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                  const oci::ImageDestination::OpenStream& open, const StreamLimits& limits) {
  return Upload(api, blob, open, limits).Run();
}

StatusOr<bool> BlobExists(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                          RetryPolicy retry) {
  auto response =
      api->CallAndWait({.method = "HEAD",
                        .url = api->UrlOf(fmt::format("blobs/{}", blob.digest.ToString())),
                        .retry = retry});
  if (!response.ok()) {
    return api->Explain(response.status(), WhatOf(blob));
  }
  if (response->http.status == 404) {
    return false;
  }
  if (response->http.status != 200) {
    return api->ErrorOf(response->http, WhatOf(blob));
  }
  return true;
}

}  // namespace starling::registry

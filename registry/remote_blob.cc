#include "registry/remote_blob.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace starling::registry {
namespace {

std::string WhatOf(const oci::Digest& digest) { return fmt::format("blob {}", digest.ToString()); }

/// An answer to a range request is exactly that range of a blob of `size_bytes`.
Status CheckRangeHeaders(const HttpResponse& response, oci::BlobRange wanted, uint64_t size_bytes) {
  if (response.status == 200) {
    if (size_bytes > RemoteBlob::kMaxWholeBytes &&
        wanted != oci::BlobRange{.blob_offset = 0, .size_bytes = size_bytes}) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "the server ignores Range requests, so the blob cannot be read lazily");
    }
    return CheckEncoding(response.HeaderValue("Content-Encoding"));
  }
  if (response.status != 206) {
    return OkStatus();
  }
  RETURN_IF_ERROR(CheckEncoding(response.HeaderValue("Content-Encoding")));
  ASSIGN_OR_RETURN(const ContentRange got,
                   ParseContentRange(response.HeaderValue("Content-Range")));
  if (got.range != wanted || got.total_bytes.value_or(size_bytes) != size_bytes) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("asked for bytes {}-{} of {}, the server sent \"{}\"",
                                 wanted.blob_offset, wanted.end() - 1, size_bytes,
                                 Printable(response.HeaderValue("Content-Range"), 100)));
  }
  return OkStatus();
}

Status WrongLength(uint64_t got_bytes, uint64_t wanted_bytes) {
  return MakeError(got_bytes < wanted_bytes ? StatusCode::kUnavailable : StatusCode::kDataLoss,
                   fmt::format("{} bytes came instead of {}", got_bytes, wanted_bytes));
}

/// The bytes of `wanted` from a 206, or cut from a 200.
StatusOr<Bytes> BytesOf(HttpResponse response, oci::BlobRange wanted, uint64_t size_bytes) {
  const bool whole = response.status == 200;
  const uint64_t expected_bytes = whole ? size_bytes : wanted.size_bytes;
  if (response.body.size() != expected_bytes) {
    return WrongLength(response.body.size(), expected_bytes);
  }
  if (!whole || wanted.size_bytes == size_bytes) {
    return std::move(response.body);
  }
  const auto first = response.body.begin() + static_cast<ptrdiff_t>(wanted.blob_offset);
  return Bytes(first, first + static_cast<ptrdiff_t>(wanted.size_bytes));
}

/// What object storage says when a signed URL has expired or moved.
bool NeedsNewRedirect(int status) {
  return status == 400 || status == 401 || status == 403 || status == 404 || status == 410;
}

}  // namespace

struct RemoteBlob::Shared {
  std::shared_ptr<RepositoryApi> api;
  oci::Digest digest;
  uint64_t size_bytes = 0;
  std::string url;  // the registry's own
  Mutex mutex;      // leaf
  std::string redirected_url GUARDED_BY(mutex);
  /// One read asks the registry for a new redirect, the others wait for what it finds.
  bool is_renewing GUARDED_BY(mutex) = false;
  std::vector<std::function<void()>> waiting GUARDED_BY(mutex);

  std::string CurrentUrl() {
    MutexLock lock(mutex);
    return redirected_url.empty() ? url : redirected_url;
  }
  void Remember(const std::string& answered_url) {
    MutexLock lock(mutex);
    redirected_url = answered_url == url ? "" : answered_url;
  }
  void Forget(const std::string& stale_url) {
    MutexLock lock(mutex);
    if (redirected_url == stale_url) {
      redirected_url.clear();
    }
  }
  /// Unless another read has renewed it already. True for the one who is to find a new redirect;
  /// the others' `later` runs once there is one, or at once.
  bool Renew(const std::string& stale_url, std::function<void()> later) {
    {
      MutexLock lock(mutex);
      if (redirected_url == stale_url) {
        redirected_url.clear();
      }
      if (is_renewing) {
        waiting.push_back(std::move(later));
        return false;
      }
      if (redirected_url.empty()) {
        is_renewing = true;
        return true;
      }
    }
    later();
    return false;
  }
  /// False when no other read asks for a new redirect; else `later` runs when it has.
  bool WaitForRenewal(std::function<void()> later) {
    MutexLock lock(mutex);
    if (is_renewing) {
      waiting.push_back(std::move(later));
    }
    return is_renewing;
  }
  void EndRenewal() {
    std::vector<std::function<void()>> ready;
    {
      MutexLock lock(mutex);
      is_renewing = false;
      ready.swap(waiting);
    }
    for (const auto& read : ready) {
      read();
    }
  }
};

/// One Stream in progress.
class RemoteBlob::RangeRead : public std::enable_shared_from_this<RangeRead> {
 public:
  RangeRead(std::shared_ptr<Shared> shared, oci::BlobRange range, const oci::ReadOptions& options,
            Part part, StreamDone done)
      : shared_(std::move(shared)),
        range_(range),
        fetch_class_(options.fetch_class),
        max_retries_(options.max_retries),
        stop_(options.stop),
        own_connection_(options.own_connection),
        deadline_(Now() + options.timeout.value_or(shared_->api->read_deadline())),
        part_(std::move(part)),
        done_(std::move(done)),
        refusals_(shared_->api->outages(), shared_->api->UrlOf(""), shared_->url) {}

  void Start() {
    const Outages::Admission admission = refusals_.Ask(Now());
    if (admission.verdict != Outages::Verdict::kWait) {
      Send();
    } else if (MayWait()) {
      StartAfter(admission.wait);
    } else {
      Finish(shared_->api->Explain(refusals_.Reason(Now()), WhatOf(shared_->digest)));
    }
  }

 private:
  std::chrono::steady_clock::time_point Now() const { return shared_->api->clock().Now(); }

  /// Who may hardly try again has another place to ask.
  bool MayWait() const { return !stop_.stop_requested() && max_retries_ > 1 && Now() < deadline_; }

  void StartAfter(std::chrono::milliseconds delay) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Now());
    delay = std::min(delay, left);
    shared_->api->transport().RunAfter(delay, [self = shared_from_this(), due = Now() + delay] {
      // Too early: the transport shuts down, and will say so.
      if (self->Now() < due) {
        self->Send();
      } else {
        self->Start();
      }
    });
  }

  /// Asks for what has not come yet.
  void Send() {
    if (!renews_ && shared_->WaitForRenewal([self = shared_from_this()] { self->Start(); })) {
      return;
    }
    asked_url_ = shared_->CurrentUrl();
    asked_ = {.blob_offset = taken_end_, .size_bytes = range_.end() - taken_end_};
    body_begin_ = body_offset_ = body_end_ = 0;
    ApiRequest request{.url = asked_url_,
                       .headers = {{.name = "Range", .value = RangeHeader(asked_)}},
                       .fetch_class = fetch_class_,
                       .stop = stop_,
                       .own_connection = own_connection_,
                       .is_retry = tries_ > 0,
                       .retry = {.deadline = deadline_, .max_retries = max_retries_}};
    request.on_location = [self = shared_from_this()](const std::string& url) {
      self->shared_->Remember(url);
      self->EndRenewal();
    };
    request.on_headers = [self = shared_from_this()](const HttpResponse& response) {
      return self->BeginBody(response);
    };
    request.on_body = [self = shared_from_this()](ByteSpan bytes) { return self->TakeBody(bytes); };
    shared_->api->Call(std::move(request),
                       [self = shared_from_this()](StatusOr<ApiResponse> response) {
                         self->OnResponse(std::move(response));
                       });
  }

  Status BeginBody(const HttpResponse& response) {
    RETURN_IF_ERROR(CheckRangeHeaders(response, asked_, shared_->size_bytes));
    const bool whole = response.status == 200;
    body_begin_ = body_offset_ = whole ? 0 : asked_.blob_offset;
    body_end_ = whole ? shared_->size_bytes : asked_.end();
    return OkStatus();
  }

  /// Hands on what of the body is in the range and was not handed on by an earlier try.
  Status TakeBody(ByteSpan bytes) {
    if (bytes.size() > body_end_ - body_offset_) {
      return WrongLength(body_end_ + bytes.size(), body_end_);
    }
    const uint64_t end = body_offset_ + bytes.size();
    const uint64_t from = std::clamp(taken_end_, body_offset_, end);
    const uint64_t to = std::clamp(range_.end(), body_offset_, end);
    const ByteSpan part = from < to ? bytes.subspan(from - body_offset_, to - from) : ByteSpan();
    body_offset_ = end;
    if (!part.empty()) {
      taken_end_ = to;
      part_(part);
    }
    return OkStatus();
  }

  void OnResponse(StatusOr<ApiResponse> response) {
    EndRenewal();
    const std::string what = WhatOf(shared_->digest);
    if (!response.ok()) {
      OnError(response.status());
      return;
    }
    const int status = response->http.status;
    if (NeedsNewRedirect(status) && asked_url_ != shared_->url) {
      Renew(response->http);
      return;
    }
    if (status == 401 || status == 403) {
      OnRefusal(shared_->api->ErrorOf(response->http, what));
      return;
    }
    if (status != 206 && status != 200) {
      refusals_.Ended();
      const Status error = shared_->api->ErrorOf(response->http, what);
      if (!IsRetryable(status) || !StartOver(error)) {
        Finish(error);
      }
      return;
    }
    refusals_.Answered(Now());
    if (body_offset_ != body_end_ && taken_end_ != range_.end()) {
      TryAgain(WrongLength(body_offset_ - body_begin_, body_end_ - body_begin_));
      return;
    }
    Finish(OkStatus());
  }

  void OnError(const Status& error) {
    if (taken_end_ == range_.end()) {
      Finish(OkStatus());  // what broke off was the rest of a whole blob
      return;
    }
    const Status explained = shared_->api->Explain(error, WhatOf(shared_->digest));
    if (error.code() == StatusCode::kUnauthenticated ||
        error.code() == StatusCode::kPermissionDenied) {
      OnRefusal(explained);
      return;
    }
    refusals_.Ended();
    if (IsRetryable(error) && body_offset_ > body_begin_) {
      TryAgain(error);
    } else if (!StartOver(error)) {
      Finish(explained);
    }
  }

  /// With time left, it was a place that the registry had named that does not answer: the registry
  /// may know another one by now. False when there is no more to try.
  bool StartOver(const Status& error) {
    const bool is_patient = max_retries_ == std::numeric_limits<int>::max();
    const bool is_outage = IsRetryable(error) || error.code() == StatusCode::kDeadlineExceeded;
    const auto delay = RetryDelay(tries_);
    if (!is_outage || !is_patient || stop_.stop_requested() || Now() + delay >= deadline_) {
      return false;
    }
    ++tries_;
    shared_->Forget(asked_url_);
    StartAfter(delay);
    return true;
  }

  /// The place that the registry had named answers no more: the registry is asked again, once.
  void Renew(const HttpResponse& response) {
    const Status refused = shared_->api->ErrorOf(response, WhatOf(shared_->digest));
    const bool was_renewed = std::exchange(asked_again_, true);
    auto start = [self = shared_from_this()] { self->Start(); };
    if (was_renewed) {
      asked_again_ = false;
      shared_->Forget(asked_url_);
      OnRefusal(refused);
    } else if (shared_->Renew(asked_url_, start)) {
      renews_ = true;
      Start();
    }
  }

  void EndRenewal() {
    if (std::exchange(renews_, false)) {
      shared_->EndRenewal();
    }
  }

  /// What was readable once is refused: credentials may be on their way, so that is a pause like
  /// any other, for the whole repository.
  void OnRefusal(const Status& refused) {
    const auto wait = refusals_.Failed(refused, Now());
    if (!MayWait() || ++tries_ > max_retries_) {
      Finish(refused);
      return;
    }
    StartAfter(wait.value_or(RetryDelay(tries_ - 1)));
  }

  /// The connection ended early: what came stands.
  void TryAgain(const Status& reason) {
    fruitless_ = body_offset_ > body_begin_ ? 0 : fruitless_ + 1;
    const auto delay = RetryDelay(fruitless_);
    if (stop_.stop_requested() || ++tries_ > max_retries_ || Now() + delay >= deadline_) {
      Finish(shared_->api->Explain(reason, WhatOf(shared_->digest)));
      return;
    }
    StartAfter(delay);
  }

  void Finish(const Status& result) {
    EndRenewal();
    const StreamDone done = std::exchange(done_, nullptr);
    done(result);
  }

  const std::shared_ptr<Shared> shared_;
  const oci::BlobRange range_;
  const oci::FetchClass fetch_class_;
  const int max_retries_;
  const std::stop_token stop_;
  const bool own_connection_;
  const std::chrono::steady_clock::time_point deadline_;
  const Part part_;
  StreamDone done_;
  Outages::Visit refusals_;                  // of the repository
  uint64_t taken_end_ = range_.blob_offset;  // blob offset up to which parts were handed on
  oci::BlobRange asked_;                     // by the latest try
  uint64_t body_begin_ = 0;                  // blob offset of the answer's first byte,
  uint64_t body_offset_ = 0;                 // of its next one,
  uint64_t body_end_ = 0;                    // and of its last, one past
  std::string asked_url_;
  bool asked_again_ = false;  // for a new redirect
  bool renews_ = false;       // others wait for it
  int tries_ = 0;             // again, after answers that broke off or refused
  int fruitless_ = 0;         // answers in a row without a byte
};

RemoteBlob::RemoteBlob(std::shared_ptr<RepositoryApi> api, const oci::Digest& digest,
                       uint64_t size_bytes, std::string redirected_url)
    : size_bytes_(size_bytes), shared_(std::make_shared<Shared>()) {
  shared_->url = api->UrlOf(fmt::format("blobs/{}", digest.ToString()));
  shared_->api = std::move(api);
  shared_->digest = digest;
  shared_->size_bytes = size_bytes;
  if (!redirected_url.empty()) {
    shared_->Remember(redirected_url);
  }
}

void RemoteBlob::Read(oci::BlobRange range, const oci::ReadOptions& options, Done done) {
  const auto bytes = std::make_shared<Bytes>();
  Stream(
      range, options,
      [bytes, size_bytes = range.size_bytes](ByteSpan part) {
        bytes->reserve(size_bytes);
        bytes->insert(bytes->end(), part.begin(), part.end());
      },
      [bytes, done = std::move(done)](const Status& status) {
        done(status.ok() ? StatusOr<Bytes>(std::move(*bytes)) : status);
      });
}

void RemoteBlob::Stream(oci::BlobRange range, const oci::ReadOptions& options, Part part,
                        StreamDone done) {
  if (range.blob_offset > size_bytes_ || range.size_bytes > size_bytes_ - range.blob_offset) {
    done(shared_->api->Explain(
        MakeError(StatusCode::kOutOfRange,
                  fmt::format("{} bytes at {} are past its end at {}", range.size_bytes,
                              range.blob_offset, size_bytes_)),
        WhatOf(shared_->digest)));
    return;
  }
  if (range.size_bytes == 0) {
    done(OkStatus());
    return;
  }
  std::make_shared<RangeRead>(shared_, range, options, std::move(part), std::move(done))->Start();
}

bool RemoteBlob::IsPaused() { return shared_->api->IsPaused(shared_->CurrentUrl()); }

namespace {

/// Finds out size and tail of a blob, one question after the other.
class Opener {
 public:
  Opener(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
         uint64_t tail_bytes, RetryPolicy retry)
      : api_(api),
        blob_(blob),
        tail_bytes_(tail_bytes),
        retry_(retry),
        url_(api->UrlOf(fmt::format("blobs/{}", blob.digest.ToString()))) {}

  StatusOr<oci::OpenedBlob> Open() {
    auto opened = OpenUnexplained();
    if (opened.ok() || explained_) {
      return opened;
    }
    return api_->Explain(opened.status(), WhatOf(blob_.digest));
  }

 private:
  StatusOr<oci::OpenedBlob> OpenUnexplained() {
    if (blob_.size_bytes > 0) {
      return OpenSized(blob_.size_bytes);
    }
    if (tail_bytes_ > 0) {
      ASSIGN_OR_RETURN(auto opened, OpenBySuffix());
      if (opened) {
        return *std::move(opened);
      }
    }
    ASSIGN_OR_RETURN(const uint64_t size_bytes, AskSize());
    return OpenSized(size_bytes);
  }

  ApiRequest Get(std::string_view range) const {
    ApiRequest request{.url = url_,
                       .max_body_bytes = std::max(tail_bytes_, RemoteBlob::kMaxWholeBytes),
                       .retry = retry_};
    request.headers.push_back({.name = "Range", .value = std::string(range)});
    return request;
  }

  std::shared_ptr<RemoteBlob> Reader(uint64_t size_bytes, const std::string& answered_url) const {
    return std::make_shared<RemoteBlob>(api_, blob_.digest, size_bytes, answered_url);
  }

  Status Refused(const HttpResponse& response) {
    explained_ = true;
    return api_->ErrorOf(response, WhatOf(blob_.digest));
  }

  StatusOr<oci::OpenedBlob> OpenSized(uint64_t size_bytes) {
    const uint64_t wanted_bytes = std::min(tail_bytes_, size_bytes);
    if (wanted_bytes == 0) {
      return oci::OpenedBlob{.reader = Reader(size_bytes, ""), .tail = {}};
    }
    const oci::BlobRange range{.blob_offset = size_bytes - wanted_bytes,
                               .size_bytes = wanted_bytes};
    ApiRequest request = Get(RangeHeader(range));
    request.on_headers = [range, size_bytes](const HttpResponse& response) {
      return CheckRangeHeaders(response, range, size_bytes);
    };
    ASSIGN_OR_RETURN(ApiResponse response, api_->CallAndWait(std::move(request)));
    if (response.http.status == 416) {
      return MakeError(
          StatusCode::kDataLoss,
          fmt::format("the registry's blob is not {} bytes long as its descriptor says",
                      size_bytes));
    }
    if (response.http.status != 206 && response.http.status != 200) {
      return Refused(response.http);
    }
    ASSIGN_OR_RETURN(Bytes tail, BytesOf(std::move(response.http), range, size_bytes));
    return oci::OpenedBlob{.reader = Reader(size_bytes, response.url), .tail = std::move(tail)};
  }

  /// Nothing when the server does not do suffix ranges.
  StatusOr<std::optional<oci::OpenedBlob>> OpenBySuffix() {
    ApiRequest request = Get(fmt::format("bytes=-{}", tail_bytes_));
    const auto ignored = std::make_shared<bool>(false);
    request.on_headers = [ignored](const HttpResponse& response) -> Status {
      if (response.status != 200 && response.status != 206) {
        return OkStatus();
      }
      // The whole blob: worth taking when it is small.
      uint64_t length = RemoteBlob::kMaxWholeBytes + 1;
      const std::string_view text = response.HeaderValue("Content-Length");
      std::from_chars(text.data(), text.data() + text.size(), length);
      if (response.status == 200 && length > RemoteBlob::kMaxWholeBytes) {
        *ignored = true;
        return MakeError(StatusCode::kFailedPrecondition, "the server ignores suffix ranges");
      }
      return CheckEncoding(response.HeaderValue("Content-Encoding"));
    };
    auto response = api_->CallAndWait(std::move(request));
    if (*ignored) {
      return std::nullopt;
    }
    RETURN_IF_ERROR(response.status());
    switch (response->http.status) {
      case 200: {
        Bytes& body = response->http.body;
        const uint64_t size_bytes = body.size();
        const size_t wanted_bytes = std::min<uint64_t>(tail_bytes_, size_bytes);
        return oci::OpenedBlob{
            .reader = Reader(size_bytes, response->url),
            .tail = Bytes(body.end() - static_cast<ptrdiff_t>(wanted_bytes), body.end())};
      }
      case 206:
        return TakeSuffix(*std::move(response));
      case 400:
      case 416:
      case 501:
        return std::nullopt;
      default:
        return Refused(response->http);
    }
  }

  StatusOr<std::optional<oci::OpenedBlob>> TakeSuffix(ApiResponse response) {
    const std::string_view header = response.http.HeaderValue("Content-Range");
    ASSIGN_OR_RETURN(const ContentRange got, ParseContentRange(header));
    if (!got.total_bytes || !got.range || got.range->end() != *got.total_bytes ||
        got.range->size_bytes != std::min(tail_bytes_, *got.total_bytes)) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("asked for the last {} bytes, the server sent \"{}\"",
                                   tail_bytes_, Printable(header, 100)));
    }
    ASSIGN_OR_RETURN(Bytes tail, BytesOf(std::move(response.http), *got.range, *got.total_bytes));
    return oci::OpenedBlob{.reader = Reader(*got.total_bytes, response.url),
                           .tail = std::move(tail)};
  }

  StatusOr<uint64_t> AskSize() {
    ASSIGN_OR_RETURN(const ApiResponse response,
                     api_->CallAndWait({.method = "HEAD", .url = url_, .retry = retry_}));
    if (response.http.status != 200) {
      return Refused(response.http);
    }
    const std::string_view text = response.http.HeaderValue("Content-Length");
    uint64_t size_bytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size_bytes);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
        size_bytes > (uint64_t{1} << 62)) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "the registry does not tell its size (no Content-Length)");
    }
    return size_bytes;
  }

  const std::shared_ptr<RepositoryApi>& api_;
  const oci::Descriptor& blob_;
  const uint64_t tail_bytes_;
  const RetryPolicy retry_;
  const std::string url_;
  bool explained_ = false;
};

}  // namespace

StatusOr<oci::OpenedBlob> OpenRemoteBlob(const std::shared_ptr<RepositoryApi>& api,
                                         const oci::Descriptor& blob, uint64_t tail_bytes,
                                         RetryPolicy retry) {
  return Opener(api, blob, tail_bytes, retry).Open();
}

}  // namespace starling::registry

#include "registry/blob_upload.h"

#include <algorithm>
#include <charconv>
#include <future>
#include <optional>
#include <utility>

#include "registry/content_range.h"

namespace starling::registry {
namespace {

constexpr size_t kCopyBytes = 128 << 10;
constexpr size_t kMaxMountSources = 3;
/// A registry must not make us hold a session open for ever.
constexpr uint64_t kMaxChunkBytes = 1 << 30;

std::string WhatOf(const oci::Descriptor& blob) {
  return fmt::format("blob {}", blob.digest.ToString());
}

/// How many bytes a session has, as "0-<last>" says. Registries say "0-0" of none, too.
std::optional<uint64_t> StoredBytes(std::string_view range) {
  if (range.starts_with("bytes=")) {
    range.remove_prefix(6);
  }
  uint64_t last = 0;
  if (!range.starts_with("0-")) {
    return std::nullopt;
  }
  range.remove_prefix(2);
  const auto [end, error] = std::from_chars(range.data(), range.data() + range.size(), last);
  if (range.empty() || error != std::errc() || end != range.data() + range.size() ||
      last > (uint64_t{1} << 62)) {
    return std::nullopt;
  }
  return last == 0 ? 0 : last + 1;
}

class Upload {
 public:
  explicit Upload(const BlobUpload& options)
      : options_(options), api_(options.api), blob_(options.blob), what_(WhatOf(options.blob)) {}

  StatusOr<oci::BlobArrival> Run() {
    ASSIGN_OR_RETURN(const bool present, BlobExists(api_, blob_, Policy()));
    if (present) {
      return oci::BlobArrival::kPresent;
    }
    if (Mount()) {
      return oci::BlobArrival::kMounted;
    }
    const Status sent = SendUntilStored();
    if (!sent.ok()) {
      Cancel();
      return sent;
    }
    return oci::BlobArrival::kSent;
  }

 private:
  /// What becomes of the upload after a request.
  enum class Next { kDone, kGoOn, kAskSession, kNewSession, kGiveUp };
  struct Outcome {
    Next next;
    Status error;  // unless kDone or kGoOn
  };
  using Answer = StatusOr<ApiResponse>;

  RetryPolicy Policy() const {
    return {.deadline = api_->clock().Now() + options_.limits.request_timeout,
            .max_retries = options_.limits.max_retries};
  }

  Status Explain(const Status& status) { return api_->Explain(status, what_ + ": upload"); }
  Status ErrorOf(const HttpResponse& response) {
    return api_->ErrorOf(response, what_ + ": upload");
  }

  /// True when the registry has taken the blob from another repository. What keeps it from that is
  /// no error: the bytes can be sent.
  bool Mount() {
    const size_t tries = std::min(options_.mount_from.size(), kMaxMountSources);
    for (size_t i = 0; i < tries && !session_; ++i) {
      const std::string& from = options_.mount_from[i];
      const auto url = Url::Parse(api_->UrlOf("blobs/uploads/"));
      const auto with_digest = url.ok() ? url->WithQuery("mount", blob_.digest.ToString()) : url;
      const auto target = with_digest.ok() ? with_digest->WithQuery("from", from) : with_digest;
      if (!target.ok()) {
        return false;
      }
      const Answer response = api_->CallAndWait(
          {.method = "POST", .url = target->text(), .also_pull = from, .retry = Policy()});
      if (!response.ok()) {
        return false;
      }
      if (response->http.status == 201) {
        return true;
      }
      if (response->http.status == 202) {
        // It does not mount, but has opened a session instead.
        (void)TakeSession(*response);
      }
    }
    return false;
  }

  Status SendUntilStored() {
    int retries = 0;
    uint64_t most_stored_bytes = 0;
    for (;;) {
      const Outcome outcome = Send();
      if (outcome.next == Next::kDone) {
        return OkStatus();
      }
      if (outcome.next == Next::kGiveUp) {
        return outcome.error;
      }
      if (stored_bytes_ > most_stored_bytes) {
        most_stored_bytes = stored_bytes_;
        retries = 0;
      }
      if (outcome.next == Next::kGoOn) {
        continue;
      }
      if (retries >= options_.limits.max_retries) {
        return outcome.error;
      }
      api_->Wait(RetryDelay(retries++));
      if (outcome.next == Next::kNewSession || !AskSession()) {
        LoseSession();
      }
    }
  }

  void LoseSession() {
    session_.reset();
    stored_bytes_ = 0;
    stream_.reset();
  }

  /// One step: what is sent ends with an answer.
  Outcome Send() {
    if (!session_) {
      if (const Status opened = OpenSession(); !opened.ok()) {
        return {Next::kGiveUp, opened};
      }
    }
    if (blob_.size_bytes <= options_.sizes.whole_bytes || !options_.abilities.chunks) {
      return SendWhole();
    }
    return stored_bytes_ < blob_.size_bytes ? SendChunk() : Complete();
  }

  Status OpenSession() {
    const Answer response = api_->CallAndWait(
        {.method = "POST", .url = api_->UrlOf("blobs/uploads/"), .retry = Policy()});
    if (!response.ok()) {
      return Explain(response.status());
    }
    if (response->http.status != 202) {
      return ErrorOf(response->http);
    }
    return TakeSession(*response);
  }

  /// Remembers where the session goes on, which each answer may change.
  Status TakeSession(const ApiResponse& response) {
    ASSIGN_OR_RETURN(const Url asked, Url::Parse(response.url));
    auto location = asked.Resolve(response.http.HeaderValue("Location"));
    if (!location.ok()) {
      return api_->Explain(location.status(), what_ + ": upload location");
    }
    if (const Status allowed = api_->CheckStep(asked, *location); !allowed.ok()) {
      return Explain(allowed);
    }
    if (!location->encrypted() && !location->SameOrigin(api_->base())) {
      return Explain(MakeError(StatusCode::kPermissionDenied,
                               "the registry wants the bytes sent unencrypted to another host"));
    }
    const std::string_view least = response.http.HeaderValue("OCI-Chunk-Min-Length");
    std::from_chars(least.data(), least.data() + least.size(), least_chunk_bytes_);
    session_ = *std::move(location);
    return OkStatus();
  }

  StatusOr<Url> Completion() {
    auto target = session_->WithQuery("digest", blob_.digest.ToString());
    return target.ok() ? std::move(target)
                       : api_->Explain(target.status(), what_ + ": upload location");
  }

  /// "POST then PUT".
  Outcome SendWhole() {
    const auto target = Completion();
    if (!target.ok()) {
      return {Next::kGiveUp, target.status()};
    }
    return AfterCompletion(Stream("PUT", *target, 0, blob_.size_bytes, {}));
  }

  /// Everything is there; the registry may take long to see that it is right.
  Outcome Complete() {
    const auto target = Completion();
    if (!target.ok()) {
      return {Next::kGiveUp, target.status()};
    }
    return AfterCompletion(api_->CallAndWait(
        {.method = "PUT",
         .url = target->text(),
         .headers = {{.name = "Content-Type", .value = "application/octet-stream"}},
         .stall_timeout = options_.limits.idle_timeout,
         .retry = {.deadline = api_->clock().Now() + options_.limits.idle_timeout,
                   .max_retries = 0}}));
  }

  Outcome AfterCompletion(const Answer& response) {
    if (!source_status_.ok()) {
      return {Next::kGiveUp, Explain(source_status_)};
    }
    if (!response.ok()) {
      const Status error = Explain(response.status());
      if (!IsRetryable(response.status())) {
        return {Next::kGiveUp, error};
      }
      // The answer may be all that was lost.
      const auto stored = BlobExists(api_, blob_, Policy());
      return stored.ok() && *stored ? Outcome{Next::kDone, OkStatus()}
                                    : Outcome{Next::kNewSession, error};
    }
    const HttpResponse& http = response->http;
    if (http.status != 201 && http.status != 204) {
      return AfterRefusal(http, Next::kNewSession);
    }
    const std::string_view stored = http.HeaderValue("Docker-Content-Digest");
    if (!stored.empty() && stored != blob_.digest.ToString()) {
      return {Next::kGiveUp,
              Explain(MakeError(StatusCode::kDataLoss,
                                fmt::format("the registry stored {}", Printable(stored, 100))))};
    }
    session_.reset();
    return {Next::kDone, OkStatus()};
  }

  Outcome AfterRefusal(const HttpResponse& response, Next again) {
    const Status error = ErrorOf(response);
    if (response.status == 401) {
      api_->ForgetToken();
      return {again, error};
    }
    if (response.status == 404) {  // a restart of the registry, for example
      return {Next::kNewSession, error};
    }
    return {IsRetryable(response.status) ? again : Next::kGiveUp, error};
  }

  Outcome SendChunk() {
    const uint64_t from = stored_bytes_;
    const uint64_t chunk_bytes = std::max(options_.sizes.chunk_bytes,
                                          std::min<uint64_t>(least_chunk_bytes_, kMaxChunkBytes));
    const uint64_t size_bytes = std::min(chunk_bytes, blob_.size_bytes - from);
    const Answer response = Stream(
        "PATCH", *session_, from, size_bytes,
        {{.name = "Content-Range", .value = fmt::format("{}-{}", from, from + size_bytes - 1)}});
    if (!source_status_.ok()) {
      return {Next::kGiveUp, Explain(source_status_)};
    }
    if (!response.ok()) {
      return {IsRetryable(response.status()) ? Next::kAskSession : Next::kGiveUp,
              Explain(response.status())};
    }
    const HttpResponse& http = response->http;
    if (http.status == 202 || http.status == 201 || http.status == 204) {
      return AfterChunk(*response, from + size_bytes);
    }
    if (from == 0 && (http.status == 400 || http.status == 405 || http.status == 501)) {
      options_.abilities.chunks = false;
      return {Next::kNewSession, ErrorOf(http)};
    }
    if (http.status == 416) {
      return {Next::kAskSession, ErrorOf(http)};
    }
    return AfterRefusal(http, Next::kAskSession);
  }

  Outcome AfterChunk(const ApiResponse& response, uint64_t sent_bytes) {
    if (!response.http.HeaderValue("Location").empty()) {
      if (const Status taken = TakeSession(response); !taken.ok()) {
        return {Next::kGiveUp, taken};
      }
    }
    const auto stored = StoredBytes(response.http.HeaderValue("Range"));
    if (stored && *stored != sent_bytes && sent_bytes > 1) {
      return {Next::kAskSession,
              Explain(MakeError(StatusCode::kUnavailable,
                                fmt::format("the registry has {} of the {} bytes that were sent",
                                            *stored, sent_bytes)))};
    }
    stored_bytes_ = sent_bytes;
    return {Next::kGoOn, OkStatus()};
  }

  /// Asks how much the registry has. False when the session is lost.
  bool AskSession() {
    if (!options_.abilities.chunks) {
      return false;
    }
    const Answer response = api_->CallAndWait({.url = session_->text(), .retry = Policy()});
    if (!response.ok() || (response->http.status != 204 && response->http.status != 200 &&
                           response->http.status != 202)) {
      return false;
    }
    const auto stored = StoredBytes(response->http.HeaderValue("Range"));
    if (!stored || *stored > hashed_bytes_) {  // more than was ever sent
      return false;
    }
    if (!response->http.HeaderValue("Location").empty() && !TakeSession(*response).ok()) {
      return false;
    }
    stored_bytes_ = *stored;
    return true;
  }

  /// Good manners: the registry need not keep the bytes of an upload that will not end.
  void Cancel() {
    if (session_) {
      (void)api_->CallAndWait(
          {.method = "DELETE",
           .url = session_->text(),
           .retry = {.deadline = api_->clock().Now() + std::chrono::seconds(5), .max_retries = 0}});
    }
  }

  /// Sends a part of the blob as the body of a request.
  Answer Stream(const std::string& method, const Url& target, uint64_t blob_offset,
                uint64_t size_bytes, std::vector<Header> headers) {
    const auto pipe = std::make_shared<BodyPipe>();
    headers.push_back({.name = "Content-Type", .value = "application/octet-stream"});
    ApiRequest request{
        .method = method,
        .url = target.text(),
        .headers = std::move(headers),
        .upload = pipe,
        .upload_bytes = size_bytes,
        .fetch_class = oci::FetchClass::kBackground,
        .retry = {.deadline = api_->clock().Now() + std::chrono::hours(24), .max_retries = 0}};
    const auto promise = std::make_shared<std::promise<Answer>>();
    auto result = promise->get_future();
    api_->Call(std::move(request), [promise, pipe](Answer response) {
      pipe->CloseRead(MakeError(StatusCode::kCancelled, "the registry has answered already"));
      promise->set_value(std::move(response));
    });
    pipe->CloseWrite(Feed(*pipe, blob_offset, size_bytes));
    return result.get();
  }

  /// Moves a part of the stream into the pipe. Fails when the stream does (`source_status_` says
  /// why), or the registry hangs up.
  Status Feed(BodyPipe& pipe, uint64_t blob_offset, uint64_t size_bytes) {
    if (!stream_ || stream_offset_ != blob_offset) {
      auto stream = options_.open(blob_offset);
      if (!stream.ok()) {
        source_status_ = stream.status();
        return source_status_;
      }
      stream_ = *std::move(stream);
      stream_offset_ = blob_offset;
    }
    Bytes buffer(kCopyBytes);
    const uint64_t end = blob_offset + size_bytes;
    while (stream_offset_ < end) {
      const size_t wanted_bytes = std::min<uint64_t>(buffer.size(), end - stream_offset_);
      const auto read_bytes = stream_->Read(std::span(buffer).first(wanted_bytes));
      source_status_ =
          read_bytes.ok() ? Check(ByteSpan(buffer).first(*read_bytes)) : read_bytes.status();
      RETURN_IF_ERROR(source_status_);
      const Status written = pipe.Write(ByteSpan(buffer).first(*read_bytes));
      if (!written.ok()) {
        stream_.reset();  // its place is no longer the session's
        return written;
      }
    }
    if (blob_.size_bytes == 0 && !std::exchange(end_checked_, true)) {
      source_status_ = CheckEnd();
    }
    return source_status_;
  }

  /// Takes the next bytes of the stream into account. The last ones must make the blob, and nothing
  /// may follow them.
  Status Check(ByteSpan bytes) {
    if (bytes.empty()) {
      return MakeError(StatusCode::kDataLoss, fmt::format("its source ends after {} of {} bytes",
                                                          stream_offset_, blob_.size_bytes));
    }
    const uint64_t end = stream_offset_ + bytes.size();
    if (end > hashed_bytes_) {
      hash_.Update(bytes.subspan(hashed_bytes_ - stream_offset_));
      hashed_bytes_ = end;
      if (end == blob_.size_bytes) {
        RETURN_IF_ERROR(CheckEnd());
      }
    }
    stream_offset_ = end;
    return OkStatus();
  }

  Status CheckEnd() {
    std::byte more{};
    ASSIGN_OR_RETURN(const size_t more_bytes, stream_->Read(std::span(&more, 1)));
    if (more_bytes != 0) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("its source holds more than {} bytes", blob_.size_bytes));
    }
    if (const oci::Digest got = hash_.Finish(); got != blob_.digest) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("what its source holds has the digest {}", got.ToString()));
    }
    return OkStatus();
  }

  const BlobUpload& options_;
  const std::shared_ptr<RepositoryApi> api_;
  const oci::Descriptor& blob_;
  const std::string what_;
  std::optional<Url> session_;  // where it goes on
  uint64_t least_chunk_bytes_ = 0;
  uint64_t stored_bytes_ = 0;  // by the registry, in this session
  std::unique_ptr<ByteSource> stream_;
  uint64_t stream_offset_ = 0;  // of the blob
  Status source_status_;
  oci::Sha256 hash_;  // of the first `hashed_bytes_`
  uint64_t hashed_bytes_ = 0;
  bool end_checked_ = false;  // of an empty blob
};

}  // namespace

StatusOr<oci::BlobArrival> UploadBlob(const BlobUpload& upload) { return Upload(upload).Run(); }

StatusOr<bool> BlobExists(const std::shared_ptr<RepositoryApi>& api, const oci::Descriptor& blob,
                          RetryPolicy retry) {
  auto response =
      api->CallAndWait({.method = "HEAD",
                        .url = api->UrlOf(fmt::format("blobs/{}", blob.digest.ToString())),
                        .retry = retry});
  if (!response.ok()) {
    return api->Explain(response.status(), WhatOf(blob));
  }
  switch (response->http.status) {
    case 200:
      return true;
    case 404:
    case 405:
    case 501:
      return false;
    default:
      return api->ErrorOf(response->http, WhatOf(blob));
  }
}

}  // namespace starling::registry

#include "dockerfile/context/download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "base/file_system.h"
#include "base/io.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace starling::dockerfile::context {
namespace {

constexpr long kMaxRedirects = 10;
constexpr long kConnectSeconds = 30;
/// A transfer that is slower than this for that long is broken off and goes on.
constexpr long kLowBytesPerSecond = 10;
constexpr long kLowSeconds = 60;
constexpr size_t kPieceBytes = 256 << 10;
constexpr std::chrono::milliseconds kFirstPause(200);
constexpr long kOk = 200;
constexpr long kPartial = 206;
constexpr long kFirstServerError = 500;
constexpr long kTooMany = 429;

/// What a person may see of a URL: queries often hold what nobody else should.
std::string ShownUrl(std::string_view url) { return std::string(url.substr(0, url.find('?'))); }

/// One file that is being fetched, over several connections if it must be.
class Transfer {
 public:
  Transfer(const std::string& url, int file, const DownloadOptions& options,
           const std::stop_token& stop)
      : url_(url), file_(file), options_(options), stop_(stop) {}

  Status Run() {
    std::chrono::milliseconds pause = kFirstPause;
    Status last;
    for (int attempt = 0; attempt < options_.tries; ++attempt) {
      if (attempt > 0) {
        std::mutex mutex;
        std::condition_variable_any changed;
        std::unique_lock lock(mutex);
        changed.wait_for(lock, stop_, pause, [] { return false; });
        pause *= 2;
      }
      if (stop_.stop_requested()) {
        return MakeError(StatusCode::kCancelled, "stopped");
      }
      bool may_go_on = false;
      last = Fetch(may_go_on);
      if (last.ok() || !may_go_on) {
        return last;
      }
    }
    return last;
  }
  /// Seconds since 1970.
  int64_t modified() const { return modified_; }

 private:
  struct Cleanup {
    void operator()(CURL* handle) const { ::curl_easy_cleanup(handle); }
    void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
  };

  Status Fetch(bool& may_go_on) {
    const std::unique_ptr<CURL, Cleanup> handle(::curl_easy_init());
    std::array<char, CURL_ERROR_SIZE> message{};
    ::curl_easy_setopt(handle.get(), CURLOPT_URL, url_.c_str());
    ::curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, message.data());
    ::curl_easy_setopt(handle.get(), CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(handle.get(), CURLOPT_FOLLOWLOCATION, 1L);
    ::curl_easy_setopt(handle.get(), CURLOPT_MAXREDIRS, kMaxRedirects);
    ::curl_easy_setopt(handle.get(), CURLOPT_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(handle.get(), CURLOPT_REDIR_PROTOCOLS_STR,
                       url_.starts_with("https:") ? "https" : "http,https");
    ::curl_easy_setopt(handle.get(), CURLOPT_USERAGENT, "starling");
    ::curl_easy_setopt(handle.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    ::curl_easy_setopt(handle.get(), CURLOPT_LOW_SPEED_LIMIT, kLowBytesPerSecond);
    ::curl_easy_setopt(handle.get(), CURLOPT_LOW_SPEED_TIME, kLowSeconds);
    ::curl_easy_setopt(handle.get(), CURLOPT_FILETIME, 1L);
    ::curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, &Transfer::OnData);
    ::curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, this);
    ::curl_easy_setopt(handle.get(), CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
    ::curl_easy_setopt(handle.get(), CURLOPT_HEADERDATA, this);
    ::curl_easy_setopt(handle.get(), CURLOPT_NOPROGRESS, 0L);
    ::curl_easy_setopt(handle.get(), CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
    ::curl_easy_setopt(handle.get(), CURLOPT_XFERINFODATA, this);
    std::unique_ptr<curl_slist, Cleanup> headers;
    if (written_ > 0 && !validator_.empty()) {
      headers.reset(::curl_slist_append(nullptr, ("If-Range: " + validator_).c_str()));
      headers.reset(::curl_slist_append(headers.release(),
                                        fmt::format("Range: bytes={}-", written_).c_str()));
    } else {
      written_ = 0;
    }
    ::curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    handle_ = handle.get();
    has_status_ = false;
    const CURLcode result = ::curl_easy_perform(handle.get());
    if (stop_.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    RETURN_IF_ERROR(failure_);
    long status = 0;
    ::curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300 || (status != 0 && status < kOk)) {
      may_go_on = status >= kFirstServerError || status == kTooMany;
      return MakeError(status == 404 || status == 410   ? StatusCode::kNotFound
                       : status == 401 || status == 403 ? StatusCode::kPermissionDenied
                                                        : StatusCode::kUnavailable,
                       fmt::format("{}: the server answers {}", ShownUrl(url_), status));
    }
    if (result != CURLE_OK) {
      may_go_on = result != CURLE_PEER_FAILED_VERIFICATION && result != CURLE_URL_MALFORMAT &&
                  result != CURLE_UNSUPPORTED_PROTOCOL && result != CURLE_TOO_MANY_REDIRECTS;
      return MakeError(
          StatusCode::kUnavailable,
          fmt::format("{}: {}", ShownUrl(url_),
                      message[0] != '\0' ? message.data() : ::curl_easy_strerror(result)));
    }
    curl_off_t time = -1;
    ::curl_easy_getinfo(handle.get(), CURLINFO_FILETIME_T, &time);
    modified_ = std::max<int64_t>(time, 0);
    return ::ftruncate(file_, static_cast<off_t>(written_)) == 0 ? OkStatus()
                                                                 : ErrnoError(errno, "size");
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::string_view line(data, size * count);
    const size_t colon = line.find(':');
    if (line.starts_with("HTTP/")) {
      transfer.next_validator_.clear();
    } else if (colon != std::string_view::npos) {
      const std::string name = LowerCase(line.substr(0, colon));
      std::string_view value = line.substr(colon + 1);
      while (!value.empty() && (value.front() == ' ')) {
        value.remove_prefix(1);
      }
      while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) {
        value.remove_suffix(1);
      }
      // Only a strong one promises the very same bytes.
      if (name == "etag" && !value.starts_with("W/")) {
        transfer.next_validator_ = value;
      }
    }
    return size * count;
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->stop_.stop_requested() ? 1 : 0;
  }

  static size_t OnData(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->Take({data, size * count}) ? size * count : 0;
  }

  /// False ends the transfer; `failure_` says why, if nothing can be done about it.
  bool Take(std::string_view data) {
    if (!has_status_) {
      has_status_ = true;
      long status = 0;
      ::curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
      is_content_ = status == kOk || status == kPartial;
      if (status != kPartial) {
        written_ = 0;  // all of it comes again
      }
      validator_ = next_validator_;
    }
    if (!is_content_) {
      return true;  // an error's page
    }
    if (data.size() > options_.max_bytes - written_) {
      failure_ =
          MakeError(StatusCode::kResourceExhausted,
                    fmt::format("{}: more than {} bytes", ShownUrl(url_), options_.max_bytes));
      return false;
    }
    while (!data.empty()) {
      const ssize_t one = ::pwrite(file_, data.data(), data.size(), static_cast<off_t>(written_));
      if (one < 0 && errno != EINTR) {
        failure_ = ErrnoError(errno, ShownUrl(url_));
        return false;
      }
      written_ += static_cast<uint64_t>(std::max<ssize_t>(one, 0));
      data.remove_prefix(static_cast<size_t>(std::max<ssize_t>(one, 0)));
    }
    return true;
  }

  const std::string& url_;
  const int file_;
  const DownloadOptions& options_;
  const std::stop_token& stop_;
  CURL* handle_ = nullptr;
  uint64_t written_ = 0;
  std::string validator_;
  std::string next_validator_;
  bool has_status_ = false;
  bool is_content_ = false;
  int64_t modified_ = 0;
  Status failure_;
};

StatusOr<oci::Digest> DigestOfFile(int file) {
  if (::lseek(file, 0, SEEK_SET) != 0) {
    return ErrnoError(errno, "download");
  }
  FdSource source(file);
  oci::Sha256 digest;
  Bytes piece(kPieceBytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t size, source.Read(piece));
    if (size == 0) {
      return digest.Finish();
    }
    digest.Update(ByteSpan(piece).first(size));
  }
}

}  // namespace

StatusOr<oci::Digest> Download(const std::string& url, const std::filesystem::path& path,
                               const DownloadOptions& options, const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const UniqueFd file,
                   RealFileSystem().Open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  const auto downloaded = [&]() -> StatusOr<oci::Digest> {
    Transfer transfer(url, file.get(), options, stop);
    RETURN_IF_ERROR(transfer.Run());
    ASSIGN_OR_RETURN(const oci::Digest digest, DigestOfFile(file.get()));
    if (options.checksum && digest != *options.checksum) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("{}: its digest is {}, not {}", ShownUrl(url), digest.ToString(),
                                   options.checksum->ToString()));
    }
    const std::array<struct timespec, 2> times = {{{.tv_sec = transfer.modified(), .tv_nsec = 0},
                                                   {.tv_sec = transfer.modified(), .tv_nsec = 0}}};
    if (::futimens(file.get(), times.data()) != 0) {
      return ErrnoError(errno, path.native());
    }
    return digest;
  }();
  if (!downloaded.ok()) {
    ::unlink(path.c_str());
  }
  return downloaded;
}

}  // namespace starling::dockerfile::context

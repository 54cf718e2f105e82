#include "registry/curl_transport.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <set>
#include <stop_token>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "base/text.h"
#include "registry/url.h"

namespace starling::registry {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

constexpr size_t kKeptHandles = 16;
constexpr size_t kUrgentRequests = 2;
constexpr std::chrono::milliseconds kTimerSlack{20};
constexpr long kReceiveBufferBytes = 128 << 10;
constexpr uint64_t kMaxCertificateBytes = 16 << 20;

TimePoint Now() { return std::chrono::steady_clock::now(); }

std::string OriginOf(const std::string& url) {
  const size_t host = url.find("//");
  return url.substr(0, host == std::string::npos ? host : url.find('/', host + 2));
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct CloseEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using EasyHandle = std::unique_ptr<CURL, CloseEasy>;

/// One exchange in progress. Only the net thread touches it.
struct Transfer {
  uint64_t id = 0;
  std::string origin;  // scheme, host and port as the URL spells them
  HttpRequest request;
  HttpTransport::Done done;
  TimePoint deadline;
  EasyHandle easy;
  std::unique_ptr<curl_slist, FreeList> header_list;
  HttpResponse response;
  size_t header_bytes = 0;
  size_t max_header_bytes = 0;
  size_t max_headers = 0;
  const std::set<int>* proxy_ports = nullptr;
  TransferCounters* counters = nullptr;
  size_t body_sent_bytes = 0;
  bool headers_seen = false;
  bool proxy_tried = false;  // the latest connection was begun to one
  Status failure;            // why a callback stopped libcurl
  char error_text[CURL_ERROR_SIZE] = {};
  using StopCallback = std::stop_callback<std::function<void()>>;
  std::unique_ptr<StopCallback> on_stop;

  std::string What() const {
    const auto url = Url::Parse(request.url);
    return fmt::format("{} {}", request.method,
                       url.ok() ? url->ForMessages() : Printable(request.url, 200));
  }
  /// A proxy is the operator's choice, wherever it is; it cannot be told but by its port.
  bool IsProxy(const sockaddr& address) const {
    const auto& same = reinterpret_cast<const sockaddr_in&>(address);  // of IPv6, too
    return proxy_ports->contains(ntohs(same.sin_port));
  }
  bool success() const { return response.status >= 200 && response.status < 300; }

  Status AddHeader(std::string_view line);
  Status SeeHeaders();
  Status TakeBody(ByteSpan bytes);
};

Status Transfer::AddHeader(std::string_view line) {
  // Each status line starts a new response: 100 Continue comes before the real one.
  if (line.starts_with("HTTP/")) {
    response = {};
    header_bytes = 0;
    const size_t space = line.find(' ');
    if (space != std::string_view::npos) {
      std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
    }
    return OkStatus();
  }
  header_bytes += line.size();
  if (header_bytes > max_header_bytes || response.headers.size() >= max_headers) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: the answer's headers are too large", What()));
  }
  const size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    response.headers.push_back({.name = std::string(TrimSpace(line.substr(0, colon))),
                                .value = std::string(TrimSpace(line.substr(colon + 1)))});
  }
  return OkStatus();
}

Status Transfer::SeeHeaders() {
  if (std::exchange(headers_seen, true) || !request.on_headers) {
    return OkStatus();
  }
  return request.on_headers(response);
}

Status Transfer::TakeBody(ByteSpan bytes) {
  if (request.on_body && success()) {
    return request.on_body(bytes);
  }
  if (bytes.size() > request.max_body_bytes - response.body.size()) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: the answer ({}) is larger than {} bytes", What(),
                                 response.status, request.max_body_bytes));
  }
  response.body.insert(response.body.end(), bytes.begin(), bytes.end());
  return OkStatus();
}

// libcurl calls these; user data is the Transfer.

size_t OnHeader(char* data, size_t, size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.failure = transfer.AddHeader({data, count});
  return transfer.failure.ok() ? count : 0;
}

size_t OnBody(char* data, size_t, size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const ByteSpan bytes = AsBytes({data, count});
  transfer.failure = transfer.SeeHeaders();
  if (!transfer.failure.ok()) {
    return CURL_WRITEFUNC_ERROR;
  }
  if (transfer.request.download && transfer.success()) {
    switch (transfer.request.download->TryWrite(bytes)) {
      case BodyPipe::Attempt::kDone:
        transfer.counters->received_bytes.fetch_add(count, std::memory_order_relaxed);
        return count;
      case BodyPipe::Attempt::kWait:
        return CURL_WRITEFUNC_PAUSE;  // they are offered again
      case BodyPipe::Attempt::kClosed:
        break;
    }
    transfer.failure =
        MakeError(StatusCode::kCancelled, fmt::format("{}: the reader has gone", transfer.What()));
    return CURL_WRITEFUNC_ERROR;
  }
  transfer.counters->received_bytes.fetch_add(count, std::memory_order_relaxed);
  transfer.failure = transfer.TakeBody(bytes);
  return transfer.failure.ok() ? count : CURL_WRITEFUNC_ERROR;
}

size_t OnUpload(char* data, size_t size, size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::span<std::byte> out(reinterpret_cast<std::byte*>(data), size * count);
  if (transfer.request.upload) {
    size_t read_bytes = 0;
    switch (transfer.request.upload->TryRead(out, read_bytes)) {
      case BodyPipe::Attempt::kDone:
        return read_bytes;
      case BodyPipe::Attempt::kWait:
        return CURL_READFUNC_PAUSE;
      case BodyPipe::Attempt::kClosed:
        break;
    }
    transfer.failure = transfer.request.upload->WriteStatus();
    return CURL_READFUNC_ABORT;
  }
  const Bytes& body = transfer.request.body;
  const size_t size_bytes = std::min(out.size(), body.size() - transfer.body_sent_bytes);
  std::copy_n(body.data() + transfer.body_sent_bytes, size_bytes, out.data());
  transfer.body_sent_bytes += size_bytes;
  return size_bytes;
}

// A kept connection that turns out dead is replaced by libcurl, which then starts over.
int OnSeek(void* user, curl_off_t offset, int origin) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  if (origin != SEEK_SET || transfer.request.upload || offset < 0 ||
      static_cast<uint64_t>(offset) > transfer.request.body.size()) {
    return CURL_SEEKFUNC_CANTSEEK;
  }
  transfer.body_sent_bytes = static_cast<size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

/// The last moment at which it is known what a name stands for.
curl_socket_t OnOpenSocket(void* user, curlsocktype purpose, curl_sockaddr* address) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const AddressKind kind = KindOf(address->addr);
  transfer.proxy_tried = transfer.IsProxy(address->addr);
  if (purpose == CURLSOCKTYPE_IPCXN && !MayReach(transfer.request.reach, kind) &&
      !transfer.proxy_tried) {
    transfer.failure = MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("{}: its host is at an address of this machine or its link, where a registry "
                    "may not lead; allow it with [registry.hosts] local = true if that is meant",
                    transfer.What()));
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/// The ports of the proxies that libcurl may take from the environment.
std::set<int> ProxyPorts() {
  constexpr int kDefaultPort = 1080;
  std::set<int> ports;
  for (const char* variable :
       {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    const char* const proxy = std::getenv(variable);
    if (proxy == nullptr || *proxy == '\0') {
      continue;
    }
    std::string_view text(proxy);
    text = text.substr(text.find("//") == std::string_view::npos ? 0 : text.find("//") + 2);
    text = text.substr(0, text.find('/'));
    const size_t colon = text.rfind(':');
    int port = kDefaultPort;
    if (colon != std::string_view::npos) {
      std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
    }
    ports.insert(port);
  }
  return ports;
}

/// libcurl says so in words only.
bool SpeaksNoTls(const Transfer& transfer, CURLcode code) {
  return code == CURLE_SSL_CONNECT_ERROR &&
         std::string_view(transfer.error_text).find("wrong version number") !=
             std::string_view::npos;
}

StatusCode CodeOf(CURLcode code, TimePoint deadline) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      // Also a connection that was not made in time or that stalls: those are worth a retry.
      // libcurl may be a millisecond early.
      return Now() + kTimerSlack >= deadline ? StatusCode::kDeadlineExceeded
                                             : StatusCode::kUnavailable;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
      return StatusCode::kPermissionDenied;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return StatusCode::kInvalidArgument;
    default:
      return StatusCode::kUnavailable;
  }
}

Status Explain(const Transfer& transfer, CURLcode code) {
  if (!transfer.failure.ok()) {
    return transfer.failure;
  }
  if (SpeaksNoTls(transfer, code)) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{}: the server does not speak TLS; plain HTTP is for loopback "
                                 "addresses and for hosts that are named for it",
                                 transfer.What()));
  }
  const char* reason =
      transfer.error_text[0] != '\0' ? transfer.error_text : curl_easy_strerror(code);
  const StatusCode status_code = CodeOf(code, transfer.deadline);
  const bool is_of_proxy = code == CURLE_COULDNT_CONNECT && transfer.proxy_tried;
  return MakeError(status_code, fmt::format("{}: {}{}{}", transfer.What(),
                                            is_of_proxy ? "the environment's proxy: " : "",
                                            Printable(reason, 300),
                                            status_code == StatusCode::kPermissionDenied
                                                ? " (SSL_CERT_FILE may name more to trust)"
                                                : ""));
}

void SetFromEnvironment(std::string& option, const char* variable) {
  const char* value = option.empty() ? std::getenv(variable) : nullptr;
  if (value != nullptr) {
    option = value;
  }
}

/// PEM of `file`, or else of where libcurl looks; empty when there is none.
std::string SystemCertificates(const std::string& file) {
  const char* const built_in = curl_version_info(CURLVERSION_NOW)->cainfo;
  const std::string path = !file.empty() ? file : built_in != nullptr ? built_in : "";
  const auto bytes = ReadFile(RealFileSystem(), path, kMaxCertificateBytes);
  return bytes.ok() ? std::string(AsText(*bytes)) + "\n" : std::string();
}

void InitializeCurl() {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialized != CURLE_OK) {
    std::abort();  // only when out of memory
  }
}

}  // namespace

/// What other threads leave for the net thread. It outlives the loop, because pipes hold it.
struct CurlTransport::Mailbox {
  struct Mail {
    std::vector<Transfer> requests;
    std::vector<std::pair<TimePoint, std::function<void()>>> timers;
    std::vector<uint64_t> resumed;
    std::vector<uint64_t> stopped;
    bool stopping = false;  // nothing goes out any more
    bool ending = false;    // and the thread ends
  };
  TransferCounters counters;
  Mutex mutex;  // leaf
  Mail mail GUARDED_BY(mutex);
  CURLM* multi GUARDED_BY(mutex) = nullptr;  // null once the loop has gone

  template <typename Change>
  void Post(const Change& change) {
    MutexLock lock(mutex);
    change(mail);
    if (multi != nullptr) {
      curl_multi_wakeup(multi);  // a write to a socket pair; never blocks
    }
  }
};

/// The net thread's own state.
class CurlTransport::Loop {
 public:
  Loop(CurlTransportOptions options, std::shared_ptr<Mailbox> mailbox, CURLM* multi);
  ~Loop();
  void Run();

 private:
  /// True when it is time to end and nothing is left.
  bool TakeMail();
  void StartPending();
  bool HasRoom(const Transfer& transfer) const;
  void Start(std::unique_ptr<Transfer> transfer);
  void Configure(Transfer& transfer);
  void ConfigureConnection(const Transfer& transfer);
  void ConfigureBody(Transfer& transfer);
  void CollectFinished();
  void Finish(std::unique_ptr<Transfer> transfer, StatusOr<HttpResponse> result);
  static void Count(const Transfer& transfer, const StatusOr<HttpResponse>& result);
  void ExpirePending();
  void FireTimers();
  std::unique_ptr<Transfer> Take(uint64_t id);
  void Cancel(std::unique_ptr<Transfer> transfer, std::string_view why);
  void CancelAll();
  int PollMilliseconds() const;
  EasyHandle TakeHandle();

  const CurlTransportOptions options_;
  const std::set<int> proxy_ports_ = ProxyPorts();
  const std::shared_ptr<Mailbox> mailbox_;
  CURLM* const multi_;
  CURLSH* const share_ = curl_share_init();  // TLS sessions; one thread, so no lock functions
  // Most urgent first, then in order of arrival.
  std::map<std::pair<oci::FetchClass, uint64_t>, std::unique_ptr<Transfer>> pending_;
  std::unordered_map<uint64_t, std::unique_ptr<Transfer>> active_;
  std::unordered_map<std::string, size_t> active_by_origin_;
  std::multimap<TimePoint, std::function<void()>> timers_;
  std::vector<EasyHandle> idle_handles_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
  bool ending_ = false;
};

CurlTransport::Loop::Loop(CurlTransportOptions options, std::shared_ptr<Mailbox> mailbox,
                          CURLM* multi)
    : options_(std::move(options)), mailbox_(std::move(mailbox)), multi_(multi) {
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

CurlTransport::Loop::~Loop() {
  idle_handles_.clear();
  {
    MutexLock lock(mailbox_->mutex);
    mailbox_->multi = nullptr;
  }
  curl_multi_cleanup(multi_);
  curl_share_cleanup(share_);
}

void CurlTransport::Loop::Run() {
  while (!TakeMail()) {
    FireTimers();
    ExpirePending();
    int running = 0;
    curl_multi_perform(multi_, &running);
    CollectFinished();
    // Last, because what has finished made room. What it starts makes the poll return at once.
    StartPending();
    curl_multi_poll(multi_, nullptr, 0, PollMilliseconds(), nullptr);
  }
}

bool CurlTransport::Loop::TakeMail() {
  Mailbox::Mail mail;
  {
    MutexLock lock(mailbox_->mutex);
    std::swap(mail, mailbox_->mail);
  }
  stopping_ = stopping_ || mail.stopping;
  ending_ = ending_ || mail.ending;
  for (Transfer& request : mail.requests) {
    auto transfer = std::make_unique<Transfer>(std::move(request));
    transfer->id = next_id_++;
    transfer->origin = OriginOf(transfer->request.url);
    transfer->counters = &mailbox_->counters;
    if (transfer->request.stop.stop_possible()) {
      transfer->on_stop = std::make_unique<Transfer::StopCallback>(
          transfer->request.stop, [mailbox = mailbox_, id = transfer->id] {
            mailbox->Post([id](Mailbox::Mail& later) { later.stopped.push_back(id); });
          });
    }
    const auto key = std::pair(transfer->request.fetch_class, transfer->id);
    pending_.emplace(key, std::move(transfer));
  }
  for (auto& [when, task] : mail.timers) {
    timers_.emplace(when, std::move(task));
  }
  for (const uint64_t id : mail.resumed) {
    if (const auto found = active_.find(id); found != active_.end()) {
      curl_easy_pause(found->second->easy.get(), CURLPAUSE_CONT);
    }
  }
  for (const uint64_t id : mail.stopped) {
    if (auto transfer = Take(id)) {
      Cancel(std::move(transfer), "nobody wants the answer any more");
    }
  }
  if (!stopping_) {
    return false;
  }
  if (pending_.empty() && active_.empty() && timers_.empty()) {
    return ending_;
  }
  CancelAll();
  return false;
}

// Not left to libcurl (CURLMOPT_MAX_HOST_CONNECTIONS): it knows no urgency. Nor CURLOPT_PIPEWAIT,
// with which a request waits for as long as the first one on a new connection is paused.
void CurlTransport::Loop::StartPending() {
  for (auto at = pending_.begin();
       at != pending_.end() && active_.size() < options_.max_active_requests;) {
    if (!HasRoom(*at->second)) {
      ++at;
      continue;
    }
    auto transfer = std::move(at->second);
    at = pending_.erase(at);
    Start(std::move(transfer));
  }
}

bool CurlTransport::Loop::HasRoom(const Transfer& transfer) const {
  const auto found = active_by_origin_.find(transfer.origin);
  const size_t active = found == active_by_origin_.end() ? 0 : found->second;
  const size_t limit = options_.max_requests_per_host;
  const bool urgent = transfer.request.fetch_class == oci::FetchClass::kDemand;
  return active < (urgent || limit <= kUrgentRequests ? limit : limit - kUrgentRequests);
}

EasyHandle CurlTransport::Loop::TakeHandle() {
  if (idle_handles_.empty()) {
    return EasyHandle(curl_easy_init());
  }
  EasyHandle handle = std::move(idle_handles_.back());
  idle_handles_.pop_back();
  return handle;
}

void CurlTransport::Loop::Start(std::unique_ptr<Transfer> transfer) {
  transfer->easy = TakeHandle();
  Configure(*transfer);
  ConfigureBody(*transfer);
  const auto wake = [mailbox = mailbox_, id = transfer->id] {
    mailbox->Post([id](Mailbox::Mail& mail) { mail.resumed.push_back(id); });
  };
  for (const auto& pipe : {transfer->request.upload, transfer->request.download}) {
    if (pipe) {
      pipe->SetWaker(wake);
    }
  }
  CURL* const easy = transfer->easy.get();
  ++active_by_origin_[transfer->origin];
  active_.emplace(transfer->id, std::move(transfer));
  curl_multi_add_handle(multi_, easy);
}

void CurlTransport::Loop::Configure(Transfer& transfer) {
  CURL* const easy = transfer.easy.get();
  const HttpRequest& request = transfer.request;
  transfer.max_header_bytes = options_.max_header_bytes;
  transfer.max_headers = options_.max_headers;
  transfer.proxy_ports = &proxy_ports_;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error_text);
  curl_easy_setopt(easy, CURLOPT_SHARE, share_);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request.own_connection ? 1L : 0L);
  if (request.proxy == Proxy::kNever) {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  }
  ConfigureConnection(transfer);
  // libcurl takes 0 for "no limit".
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(transfer.deadline - Now());
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<int64_t>(left.count(), 1)));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT,
                   static_cast<long>(options_.stall_bytes_per_second));
  const auto stall_timeout = std::chrono::ceil<std::chrono::seconds>(
      request.stall_timeout.value_or(options_.stall_timeout));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(stall_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &OnOpenSocket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_slist* list = nullptr;
  for (const Header& header : request.headers) {
    list = curl_slist_append(list, fmt::format("{}: {}", header.name, header.value).c_str());
  }
  // Without this an upload waits up to a second for a "100 Continue" that few registries send.
  list = curl_slist_append(list, "Expect:");
  transfer.header_list.reset(list);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
}

/// libcurl uses a connection for another request only if that has the same of these options.
void CurlTransport::Loop::ConfigureConnection(const Transfer& transfer) {
  static const ConnectionOptions kOrdinary;
  CURL* const easy = transfer.easy.get();
  const ConnectionOptions& options =
      transfer.request.connection ? *transfer.request.connection : kOrdinary;
  curl_easy_setopt(
      easy, CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(options.connect_timeout.value_or(options_.connect_timeout).count()));
  if (!options_.ca_directory.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAPATH, options_.ca_directory.c_str());
  }
  if (!options.trusted_pem.empty()) {
    const std::string trusted = SystemCertificates(options_.ca_file) + options.trusted_pem;
    curl_blob blob{
        .data = const_cast<char*>(trusted.data()), .len = trusted.size(), .flags = CURL_BLOB_COPY};
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
  } else if (!options_.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
  }
  if (!options.client_certificate.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, options.client_certificate.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, options.client_key.c_str());
  }
  if (!options.verify) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

void CurlTransport::Loop::ConfigureBody(Transfer& transfer) {
  CURL* const easy = transfer.easy.get();
  const HttpRequest& request = transfer.request;
  if (request.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  const bool uploads = request.upload || !request.body.empty() || request.method == "POST" ||
                       request.method == "PUT" || request.method == "PATCH";
  if (uploads) {
    const uint64_t size_bytes = request.upload ? request.upload_bytes : request.body.size();
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size_bytes));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &OnUpload);
    curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &OnSeek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
  } else {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void CurlTransport::Loop::CollectFinished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) {
      continue;
    }
    const CURLcode code = message->data.result;
    Transfer* found = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &found);
    auto owner = active_.extract(found->id);
    std::unique_ptr<Transfer> transfer = std::move(owner.mapped());
    curl_multi_remove_handle(multi_, transfer->easy.get());
    Status status = code == CURLE_OK ? transfer->SeeHeaders() : Explain(*transfer, code);
    if (status.ok()) {
      HttpResponse response = std::move(transfer->response);
      Finish(std::move(transfer), std::move(response));
    } else {
      Finish(std::move(transfer), std::move(status));
    }
  }
}

void CurlTransport::Loop::Finish(std::unique_ptr<Transfer> transfer,
                                 StatusOr<HttpResponse> result) {
  for (const auto& pipe : {transfer->request.upload, transfer->request.download}) {
    if (pipe) {
      pipe->SetWaker(nullptr);
    }
  }
  // Only what was started has a handle.
  if (transfer->easy) {
    Count(*transfer, result);
    const auto count = active_by_origin_.find(transfer->origin);
    if (--count->second == 0) {
      active_by_origin_.erase(count);
    }
  }
  if (transfer->easy && idle_handles_.size() < kKeptHandles) {
    curl_easy_reset(transfer->easy.get());  // forgets the pointers into the transfer
    idle_handles_.push_back(std::move(transfer->easy));
  }
  HttpTransport::Done done = std::move(transfer->done);
  transfer.reset();
  done(std::move(result));
}

void CurlTransport::Loop::Count(const Transfer& transfer, const StatusOr<HttpResponse>& result) {
  TransferCounters& counters = *transfer.counters;
  if (result.ok()) {
    counters.CountEnd(result->status);
  } else {
    (result.status().code() == StatusCode::kCancelled ? counters.dropped : counters.failed)
        .fetch_add(1, std::memory_order_relaxed);
  }
  if (transfer.request.is_retry) {
    counters.retries.fetch_add(1, std::memory_order_relaxed);
  }
}

void CurlTransport::Loop::ExpirePending() {
  std::vector<std::unique_ptr<Transfer>> expired;
  const TimePoint now = Now();
  for (auto at = pending_.begin(); at != pending_.end();) {
    if (at->second->deadline > now) {
      ++at;
      continue;
    }
    expired.push_back(std::move(at->second));
    at = pending_.erase(at);
  }
  for (auto& transfer : expired) {
    Status status = MakeError(StatusCode::kDeadlineExceeded,
                              fmt::format("{}: no time left to send it", transfer->What()));
    Finish(std::move(transfer), std::move(status));
  }
}

void CurlTransport::Loop::FireTimers() {
  const TimePoint now = Now();
  while (!timers_.empty() && (stopping_ || timers_.begin()->first <= now)) {
    const auto task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
}

/// A transfer that has not ended; null when it has.
std::unique_ptr<Transfer> CurlTransport::Loop::Take(uint64_t id) {
  if (auto active = active_.extract(id)) {
    return std::move(active.mapped());
  }
  const auto found =
      std::ranges::find(pending_, id, [](const auto& entry) { return entry.first.second; });
  return found == pending_.end() ? nullptr : std::move(pending_.extract(found).mapped());
}

void CurlTransport::Loop::Cancel(std::unique_ptr<Transfer> transfer, std::string_view why) {
  if (transfer->easy) {
    // Otherwise libcurl waits here for as long as a name takes to resolve.
    curl_easy_setopt(transfer->easy.get(), CURLOPT_QUICK_EXIT, 1L);
    curl_multi_remove_handle(multi_, transfer->easy.get());
  }
  Status status = MakeError(StatusCode::kCancelled, fmt::format("{}: {}", transfer->What(), why));
  Finish(std::move(transfer), std::move(status));
}

void CurlTransport::Loop::CancelAll() {
  for (auto& [id, transfer] : std::exchange(active_, {})) {
    Cancel(std::move(transfer), "shutting down");
  }
  for (auto& [key, transfer] : std::exchange(pending_, {})) {
    Cancel(std::move(transfer), "shutting down");
  }
  FireTimers();
}

int CurlTransport::Loop::PollMilliseconds() const {
  // libcurl shortens this to its own timers, and Post() interrupts it.
  constexpr int64_t kLongest = 60'000;
  if (ending_) {
    return 0;
  }
  TimePoint next = Now() + std::chrono::milliseconds(kLongest);
  if (!timers_.empty()) {
    next = std::min(next, timers_.begin()->first);
  }
  for (const auto& [key, transfer] : pending_) {
    next = std::min(next, transfer->deadline);
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, kLongest));
}

CurlTransport::CurlTransport(CurlTransportOptions options) : mailbox_(std::make_shared<Mailbox>()) {
  InitializeCurl();
  // The library, unlike the program curl, does not read these.
  SetFromEnvironment(options.ca_file, "SSL_CERT_FILE");
  SetFromEnvironment(options.ca_directory, "SSL_CERT_DIR");
  CURLM* const multi = curl_multi_init();
  {
    MutexLock lock(mailbox_->mutex);
    mailbox_->multi = multi;
  }
  thread_ = std::thread([options = std::move(options), mailbox = mailbox_, multi] {
    SetThreadName("net");
    Loop(options, mailbox, multi).Run();
  });
}

CurlTransport::~CurlTransport() {
  mailbox_->Post([](Mailbox::Mail& mail) { mail.stopping = mail.ending = true; });
  thread_.join();
}

const TransferCounters& CurlTransport::counters() const { return mailbox_->counters; }

void CurlTransport::Stop() {
  mailbox_->Post([](Mailbox::Mail& mail) { mail.stopping = true; });
}

void CurlTransport::Send(HttpRequest request, Done done) {
  Transfer transfer;
  // Kept in range: a caller may mean "for ever" by the largest value.
  transfer.deadline =
      Now() + std::min<std::chrono::milliseconds>(request.timeout, std::chrono::hours(24 * 7));
  transfer.request = std::move(request);
  transfer.done = std::move(done);
  mailbox_->Post(
      [&transfer](Mailbox::Mail& mail) { mail.requests.push_back(std::move(transfer)); });
}

void CurlTransport::RunAfter(std::chrono::milliseconds delay, std::function<void()> task) {
  mailbox_->Post([when = Now() + delay, &task](Mailbox::Mail& mail) {
    mail.timers.emplace_back(when, std::move(task));
  });
}

}  // namespace starling::registry

#include "registry/token_source.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/hex.h"
#include "base/text.h"
#include "registry/api_error.h"
#include "registry/registry_host.h"
#include "registry/retry.h"

namespace starling::registry {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

constexpr uint64_t kMaxTokenResponseBytes = 256 << 10;
constexpr size_t kMaxTokenBytes = 64 << 10;
constexpr size_t kMaxScopeBytes = 1024;
constexpr size_t kMaxNotedSources = 1024;
// Source: distribution's token specification: 60 seconds unless the server says otherwise.
constexpr int64_t kDefaultLifeSeconds = 60;
constexpr int64_t kMaxLifeSeconds = 24 * 3600;

std::string BasicValue(const std::string& username, const std::string& password) {
  return "Basic " + Base64Encode(AsBytes(username + ":" + password));
}

std::string BearerValue(const std::string& token) { return "Bearer " + token; }

/// Bearer before Basic, whatever the order; nothing else is spoken.
StatusOr<AuthChallenge> Choose(const std::vector<std::string_view>& headers) {
  std::string offered;
  std::optional<AuthChallenge> basic;
  for (const std::string_view header : headers) {
    for (AuthChallenge& challenge : ParseAuthChallenges(header)) {
      offered += (offered.empty() ? "" : ", ") + Printable(challenge.scheme, 32);
      if (challenge.scheme == "bearer" && !challenge.Parameter("realm").empty()) {
        return challenge;
      }
      if (challenge.scheme == "basic" && !basic) {
        basic = std::move(challenge);
      }
    }
  }
  if (basic) {
    return *basic;
  }
  return MakeError(StatusCode::kUnauthenticated,
                   offered.empty() ? std::string("the registry asks for a login but does not say "
                                                 "how (no WWW-Authenticate)")
                                   : fmt::format("the registry asks for a login by {}; Basic and "
                                                 "Bearer are supported",
                                                 offered));
}

/// The parts of `text` between spaces.
std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) {
      words.push_back(text.substr(0, end));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

struct Token {
  std::string text;
  std::chrono::seconds life;
};

StatusOr<Token> ParseToken(ByteSpan body) {
  const auto json = nlohmann::json::parse(AsText(body), nullptr, false);
  const auto text = [&json](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Token token{.text = text("token")};
  if (token.text.empty()) {
    token.text = text("access_token");
  }
  if (token.text.empty() || token.text.size() > kMaxTokenBytes || !IsOneWord(token.text)) {
    return MakeError(StatusCode::kUnauthenticated,
                     "the token server's answer holds no usable token");
  }
  const auto life = json.find("expires_in");
  const int64_t seconds = life != json.end() && life->is_number_integer() && *life > 0
                              ? std::min<int64_t>(life->get<int64_t>(), kMaxLifeSeconds)
                              : kDefaultLifeSeconds;
  token.life = std::chrono::seconds(seconds);
  return token;
}

/// A quarter of its life is left for requests under way and clocks that differ, 30 s at most.
TimePoint RenewalTime(TimePoint now, std::chrono::seconds life) {
  const auto margin = std::min<std::chrono::milliseconds>(std::chrono::milliseconds(life) / 4,
                                                          std::chrono::seconds(30));
  return now + life - margin;
}

}  // namespace

/// One token on its way. Holds the source alive.
class TokenSource::Fetch : public std::enable_shared_from_this<TokenSource::Fetch> {
 public:
  Fetch(std::shared_ptr<TokenSource> source, TokenRequest request, AuthChallenge challenge,
        std::string scope, std::string refused)
      : source_(std::move(source)),
        request_(std::move(request)),
        challenge_(std::move(challenge)),
        scope_(std::move(scope)),
        refused_(std::move(refused)),
        deadline_(source_->deps_.clock.Now() + source_->options_.timeout) {}

  const TokenRequest& request() const { return request_; }

  /// Whether `credentials` are what the registry itself refused.
  bool IsRefused(const Credentials& credentials) const {
    if (challenge_.scheme == "basic") {
      return !credentials.password.empty() &&
             BasicValue(credentials.username, credentials.password) == refused_;
    }
    return !credentials.registry_token.empty() &&
           BearerValue(credentials.registry_token) == refused_;
  }

  void Start(Credentials credentials) {
    // Nothing else to show: the token server's answer stands.
    if (refusal_ && credentials.SameAs(credentials_)) {
      source_->Finish(request_, *std::exchange(refusal_, std::nullopt));
      return;
    }
    credentials_ = std::move(credentials);
    if (challenge_.scheme == "basic") {
      source_->Finish(request_,
                      Grant{.value = credentials_.password.empty()
                                         ? std::string()
                                         : BasicValue(credentials_.username, credentials_.password),
                            .renew_at = credentials_.renew_at});
      return;
    }
    if (!credentials_.registry_token.empty()) {
      if (!IsOneWord(credentials_.registry_token)) {
        source_->Finish(request_, MakeError(StatusCode::kUnauthenticated,
                                            "the token that was given is none for a header"));
        return;
      }
      source_->Finish(request_, Grant{.value = BearerValue(credentials_.registry_token),
                                      .renew_at = credentials_.renew_at});
      return;
    }
    const auto realm = Url::Parse(challenge_.Parameter("realm"));
    if (!realm.ok()) {
      source_->Finish(request_, Annotate(realm.status(), "token server named by the registry"));
      return;
    }
    if (const Status allowed = source_->options_.hosts.CheckStep(request_.registry, *realm);
        !allowed.ok()) {
      source_->Finish(request_, Annotate(allowed, "token server"));
      return;
    }
    realm_ = *realm;
    if (!credentials_.anonymous() &&
        !source_->options_.hosts.MayReceiveCredentials(request_.registry, *realm)) {
      source_->Withhold(request_, *realm);
      credentials_ = {};
    }
    if (credentials_.anonymous() && !request_.may_be_anonymous) {
      source_->Finish(request_,
                      MakeError(StatusCode::kFailedPrecondition, source_->Tried(request_.domain)));
      return;
    }
    if (credentials_.identity_token.empty()) {
      Get();
    } else {
      Post();
    }
  }

 private:
  // Source: distribution, "Token Authentication Specification".
  void Get() {
    Url url = *realm_;
    std::vector<std::pair<const char*, std::string>> parameters = {
        {"service", challenge_.Parameter("service")}};
    for (const std::string_view scope : Words(scope_)) {
      parameters.emplace_back("scope", scope);
    }
    for (const auto& [name, value] : parameters) {
      if (value.empty()) {
        continue;
      }
      auto longer = url.WithQuery(name, value);
      if (!longer.ok()) {
        source_->Finish(request_, longer.status());
        return;
      }
      url = *std::move(longer);
    }
    HttpRequest http{.url = url.text(), .max_body_bytes = kMaxTokenResponseBytes};
    const std::string& secret =
        credentials_.password.empty() ? credentials_.identity_token : credentials_.password;
    if (!secret.empty() && !credentials_.username.empty()) {
      http.headers.push_back(
          {.name = "Authorization", .value = BasicValue(credentials_.username, secret)});
    }
    Send(std::move(http));
  }

  // Source: distribution, "Oauth2 Token Authentication".
  void Post() {
    HttpRequest http{
        .method = "POST",
        .url = realm_->text(),
        .headers = {{.name = "Content-Type", .value = "application/x-www-form-urlencoded"}},
        .max_body_bytes = kMaxTokenResponseBytes};
    http.body = ToBytes(fmt::format(
        "grant_type=refresh_token&client_id=starling&service={}&scope={}&refresh_token={}",
        PercentEncode(challenge_.Parameter("service")), PercentEncode(scope_),
        PercentEncode(credentials_.identity_token)));
    posted_ = true;
    Send(std::move(http));
  }

  void Send(HttpRequest http) {
    http.reach = source_->options_.hosts.ReachOf(request_.registry, *realm_);
    http.connection = ConnectionFor(request_.registry, request_.connection, *realm_);
    SendWithRetries({.transport = source_->deps_.transport,
                     .clock = source_->deps_.clock,
                     .pauses = source_->deps_.pauses,
                     .outages = source_->deps_.outages},
                    std::move(http),
                    {.deadline = deadline_, .max_retries = source_->options_.max_retries},
                    [self = shared_from_this()](StatusOr<HttpResponse> response) {
                      self->OnResponse(std::move(response));
                    });
  }

  void OnResponse(StatusOr<HttpResponse> response) {
    const std::string where = fmt::format("token server {}", realm_->ForMessages());
    if (!response.ok()) {
      source_->Finish(request_, Annotate(response.status(), where));
      return;
    }
    const int status = response->status;
    // Not every server knows the OAuth2 form.
    if (std::exchange(posted_, false) && (status == 401 || status == 404 || status == 405)) {
      Get();
      return;
    }
    if (status != 200) {
      Status refused = ErrorOfResponse(*response, where);
      if (status == 400 || status == 401 || status == 403) {
        refused = MakeError(StatusCode::kUnauthenticated, MessageOf(refused));
        if (!refusal_ && !credentials_.anonymous()) {
          refusal_ = refused;
          source_->FindCredentials(shared_from_this(), credentials_);
          return;
        }
      }
      source_->Finish(request_, refused);
      return;
    }
    const auto token = ParseToken(response->body);
    if (!token.ok()) {
      source_->Finish(request_, Annotate(token.status(), where));
      return;
    }
    source_->Finish(request_,
                    Grant{.value = BearerValue(token->text),
                          .renew_at = RenewalTime(source_->deps_.clock.Now(), token->life)});
  }

  const std::shared_ptr<TokenSource> source_;
  const TokenRequest request_;
  const AuthChallenge challenge_;
  const std::string scope_;
  const std::string refused_;
  const TimePoint deadline_;
  Credentials credentials_;
  std::optional<Status> refusal_;  // of the first credentials, by the token server
  std::optional<Url> realm_;
  bool posted_ = false;
};

TokenSource::TokenSource(TokenOptions options, Dependencies dependencies)
    : options_(std::move(options)),
      deps_(std::move(dependencies)),
      credentials_(deps_.credentials) {}

void TokenSource::Authorize(const TokenRequest& request, Done done) {
  std::optional<std::string> value;
  {
    MutexLock lock(mutex_);
    if (!challenges_.contains(request.domain)) {
      value = "";
    } else if (const auto found = entries_.find({request.domain, request.scope});
               found != entries_.end() && found->second.value &&
               deps_.clock.Now() < found->second.renew_at) {
      value = found->second.value;
    }
  }
  if (value) {
    done(*std::move(value));
    return;
  }
  Join(request, std::move(done));
}

void TokenSource::Renew(const TokenRequest& request,
                        const std::vector<std::string_view>& challenges, const std::string& refused,
                        Done done) {
  auto chosen = Choose(challenges);
  if (!chosen.ok()) {
    done(std::move(chosen).status());
    return;
  }
  std::optional<std::string> renewed;
  {
    MutexLock lock(mutex_);
    Entry& entry = entries_[{request.domain, request.scope}];
    if (entry.value && *entry.value != refused && deps_.clock.Now() < entry.renew_at) {
      renewed = entry.value;
    } else {
      entry.value.reset();
      entry.refused = refused;
      const std::string& scope = chosen->Parameter("scope");
      entry.scope_override = scope.size() <= kMaxScopeBytes ? scope : "";
      challenges_[request.domain] = *std::move(chosen);
    }
  }
  if (renewed) {
    done(*std::move(renewed));
    return;
  }
  Join(request, std::move(done));
}

void TokenSource::Forget(const TokenRequest& request, const std::string& refused) {
  MutexLock lock(mutex_);
  const auto found = entries_.find({request.domain, request.scope});
  if (found != entries_.end() && found->second.value == refused) {
    found->second.value.reset();
    found->second.refused = refused;
  }
}

std::optional<std::string> TokenSource::SourceFor(const std::string& domain,
                                                  const std::string& repository) {
  MutexLock lock(mutex_);
  const auto found = sources_.find({domain, repository});
  return found == sources_.end() ? std::nullopt : std::optional(found->second);
}

std::string TokenSource::Tried(const std::string& domain) {
  MutexLock lock(mutex_);
  const auto found = tried_.find(domain);
  return found == tried_.end() ? "no credentials were asked for" : found->second;
}

void TokenSource::Withhold(const TokenRequest& request, const Url& realm) {
  MutexLock lock(mutex_);
  tried_[request.domain] += fmt::format(
      ", but they are not sent to {}, because anybody may have named it in the place of {}, which "
      "is spoken to without TLS; list it as plain HTTP or under [registry.hosts] if it is meant",
      realm.host(), request.registry.ForMessages());
}

void TokenSource::Join(const TokenRequest& request, Done done) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    Entry& entry = entries_[{request.domain, request.scope}];
    first = entry.waiting.empty();
    entry.waiting.push_back(std::move(done));
  }
  if (first) {
    StartFetch(request);
  }
}

void TokenSource::FindCredentials(std::shared_ptr<Fetch> fetch,
                                  std::optional<Credentials> refused) {
  deps_.executor.Post([self = shared_from_this(), fetch = std::move(fetch),
                       refused = std::move(refused)] {
    const TokenRequest& request = fetch->request();
    const CredentialRequest wanted{.registry = request.domain, .repository = request.repository};
    if (refused) {
      self->credentials_.Refused(wanted, *refused);
    }
    CredentialChain::Found found = self->credentials_.Find(wanted);
    if (fetch->IsRefused(found.credentials)) {
      self->credentials_.Refused(wanted, found.credentials);
      found = self->credentials_.Find(wanted);
    }
    {
      MutexLock lock(self->mutex_);
      self->tried_[request.domain] = std::move(found.tried);
      const Key key(request.domain, request.repository);
      if (self->sources_.size() >= kMaxNotedSources && !self->sources_.contains(key)) {
        self->sources_.erase(self->sources_.begin());
      }
      self->sources_[key] = std::move(found.source);
    }
    fetch->Start(std::move(found.credentials));
  });
}

void TokenSource::StartFetch(const TokenRequest& request) {
  std::shared_ptr<Fetch> fetch;
  {
    MutexLock lock(mutex_);
    const Entry& entry = entries_[{request.domain, request.scope}];
    fetch = std::make_shared<Fetch>(
        shared_from_this(), request, challenges_[request.domain],
        entry.scope_override.empty() ? request.scope : entry.scope_override, entry.refused);
  }
  FindCredentials(std::move(fetch), std::nullopt);
}

void TokenSource::Finish(const TokenRequest& request, StatusOr<Grant> grant) {
  std::vector<Done> waiting;
  {
    MutexLock lock(mutex_);
    Entry& entry = entries_[{request.domain, request.scope}];
    if (grant.ok()) {
      entry.value = grant->value;
      entry.renew_at = grant->renew_at;
    }
    waiting.swap(entry.waiting);
  }
  for (const Done& done : waiting) {
    if (grant.ok()) {
      done(grant->value);
    } else {
      done(grant.status());
    }
  }
}

}  // namespace starling::registry

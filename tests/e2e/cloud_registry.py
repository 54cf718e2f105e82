#!/usr/bin/env python3
"""Amazon's and Google's registries and the services that give out their logins, as an HTTP proxy.

cloud_registry.py LAYOUT TAG DIR
    prints its host:port, then serves until it is killed
Below DIR: `web-identity` is the token that STS takes, `google.pub` the public key of the service account
me@project.example; `accounts` has USER:PASSWORD lines of the other registries; `secrets` gets every secret that is given out, a line each.
    http://ANY-HOST/sts     STS, AssumeRoleWithWebIdentity
    http://ANY-HOST/ecr     ECR, GetAuthorizationToken, for keys of STS or AKIDSTATIC; checks Signature Version 4
    http://ANY-HOST/google  Google's token endpoint; checks the grant's signature, claims and times
    any other path          a registry that has the image in every repository: with a login of ECR (Basic) at *.amazonaws.com, by a
                            token at *.pkg.dev; at other hosts for everybody, but in repositories private/* by a token for an account
Logins of ECR end after 30 seconds. Each request is a line: METHOD HOST PATH STATUS.
"""

import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.parse

import layout_registry

layout = layout_registry.Layout(sys.argv[1], sys.argv[2])
DIRECTORY = pathlib.Path(sys.argv[3])
LIFE_SECONDS = 30
keys = {"AKIDSTATIC": ("static-secret-key", None)}  # id -> (secret, session token)
expiry = {}  # of logins and tokens


def new_secret(kind, life_seconds=3600):
    secret = f"{kind}-{secrets.token_hex(16)}"
    expiry[secret] = time.time() + life_seconds
    with (DIRECTORY / "secrets").open("a") as out:
        out.write(secret + "\n")
    return secret


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_problem(method, path, headers, body):
    """Why a request is not signed as AWS wants it; None when it is."""
    given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/([\w-]+)/aws4_request, "
                         r"SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})", headers.get("Authorization", ""))
    if not given:
        return "no Authorization of AWS4-HMAC-SHA256"
    key_id, date, region, service, names, signature = given.groups()
    if key_id not in keys:
        return "unknown key"
    secret, session = keys[key_id]
    sent_at = headers.get("X-Amz-Date", "")
    age = datetime.datetime.utcnow() - datetime.datetime.strptime(sent_at, "%Y%m%dT%H%M%SZ")
    if not sent_at.startswith(date) or abs(age.total_seconds()) > 300:
        return "not now"
    if (region, service) != ("eu-west-1", "ecr"):
        return "another region or service"
    if headers.get("X-Amz-Security-Token") != session or (session and "x-amz-security-token" not in names):
        return "the session token is wrong or not signed"
    if not {"host", "x-amz-date"} <= set(names.split(";")):
        return "host and date are not signed"
    signed = "".join(f"{name}:{headers[name].strip()}\n" for name in names.split(";"))
    canonical = f"{method}\n{path}\n\n{signed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{date}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{sent_at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = sign(key, part)
    return None if hmac.compare_digest(sign(key, to_sign).hex(), signature) else "the signature does not match"


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def grant_problem(form):
    """Why a grant is not what Google wants; None when it is."""
    if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
        return "grant type"
    message, _, signature = form["assertion"].rpartition(".")
    header, claims = (json.loads(from_base64url(part)) for part in message.split("."))
    with tempfile.NamedTemporaryFile(dir=DIRECTORY) as file:
        file.write(from_base64url(signature))
        file.flush()
        verified = subprocess.run(["openssl", "dgst", "-sha256", "-verify", DIRECTORY / "google.pub", "-signature",
                                   file.name], input=message.encode(), stdout=subprocess.DEVNULL).returncode == 0
    now = time.time()
    checks = {"signature": verified, "algorithm": header["alg"] == "RS256",
              "issuer": claims["iss"] == "me@project.example", "audience": claims["aud"].endswith("/google"),
              "scope": claims["scope"] == "https://www.googleapis.com/auth/cloud-platform",
              "times": now - 60 < claims["iat"] <= now + 1 and 0 < claims["exp"] - claims["iat"] <= 3600}
    return next((name for name, holds in checks.items() if not holds), None)


class Handler(layout_registry.Handler):
    def on_answer(self, status):
        print(self.command, self.host, self.route, status, flush=True)

    def sts(self, form):
        if form.get("WebIdentityToken") != (DIRECTORY / "web-identity").read_text().strip():
            return self.answer(400, b"<E><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></E>")
        key_id = "ASIA" + secrets.token_hex(8).upper()
        keys[key_id] = new_secret("secret-key"), new_secret("session-token")
        end = datetime.datetime.utcfromtimestamp(time.time() + 3600).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.answer(200, f"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{keys[key_id][0]}</SecretAccessKey>
<SessionToken>{keys[key_id][1]}</SessionToken><Expiration>{end}</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>""".encode())

    def ecr(self, body):
        problem = signature_problem("POST", self.route, self.headers, body)
        if self.headers.get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken":
            problem = "another call"
        if problem:
            return self.answer_json(400, {"__type": "InvalidSignatureException", "message": problem})
        login = new_secret("login", LIFE_SECONDS)
        return self.answer_json(200, {"authorizationData": [{
            "authorizationToken": base64.b64encode(f"AWS:{login}".encode()).decode(), "expiresAt": expiry[login]}]})

    def google(self, form):
        problem = grant_problem(form)
        if problem:
            return self.answer_json(400, {"error": "invalid_grant", "error_description": f"bad {problem}"})
        return self.answer_json(200, {"access_token": new_secret("access-token"), "expires_in": 3599})

    def login(self):
        """The secret of a Basic header, empty without one."""
        scheme, _, packed = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(packed).decode() if scheme == "Basic" else ""

    def may_read(self):
        if self.host.endswith(".amazonaws.com"):
            user, _, secret = self.login().partition(":")
            if not user:
                self.answer(401, WWW_Authenticate='Basic realm="ecr"')
            elif user != "AWS" or expiry.get(secret, 0) <= time.time():
                self.answer_json(403, {"errors": [{"code": "DENIED",
                                                   "message": "Your authorization token has expired."}]})
            else:
                return True
            return False
        if not self.host.endswith(".pkg.dev") and not self.route.startswith("/v2/private/"):
            return True
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if expiry.get(token, 0) > time.time():
            return True
        self.answer(401, WWW_Authenticate=f'Bearer realm="http://{self.host}/v2/token",service="{self.host}"')
        return False

    def token(self):
        user, _, secret = self.login().partition(":")
        if self.host.endswith(".pkg.dev"):
            known = user == "oauth2accesstoken" and expiry.get(secret, 0) > time.time()
        else:
            known = f"{user}:{secret}" in (DIRECTORY / "accounts").read_text().splitlines()
        if not known:
            return self.answer(401)
        return self.answer_json(200, {"token": new_secret("registry-token")})

    def read(self):
        if not self.may_read():
            return None
        match = re.fullmatch(r"/v2/[a-z0-9/._-]+/(manifests|blobs)/(.+)", self.route)
        if not match:
            return self.answer(404)
        if match[1] == "blobs":
            return self.answer_range(layout.blob(match[2]))
        return self.answer_manifest(layout.manifest())

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.host = url.hostname or self.headers["Host"]
        self.route = url.path
        if self.command == "POST":
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            form = dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
            service = {"/sts": lambda: self.sts(form), "/ecr": lambda: self.ecr(body),
                       "/google": lambda: self.google(form)}.get(self.route)
            return service() if service else self.answer(404)
        return self.token() if self.route == "/v2/token" else self.read()

    do_HEAD = do_POST = do_GET


server = layout_registry.Server(Handler)
print(server.address, flush=True)
server.serve_forever()

#!/usr/bin/env python3
"""A registry that serves the image of an OCI layout to who logs in, with tokens and links that expire soon.

guarded_registry.py LAYOUT TAG PASSWORD_FILE [PORT STORAGE_PORT]
    prints its host:port and its storage's, then serves until it is killed
Repositories ask for a bearer token, the token server (/token) for the user `reader` with the password that the file
holds at that moment. A token lasts 3 seconds, and so does the signature of the link that blobs are redirected to, at
a port of their own.
Each request is a line: METHOD PATH STATUS.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import re
import secrets
import sys
import threading
import time

LAYOUT = pathlib.Path(sys.argv[1])
TAG = sys.argv[2]
PASSWORD_FILE = pathlib.Path(sys.argv[3])
LIFE_SECONDS = 3
expiry = {}  # of tokens and signatures


def blob(digest):
    return (LAYOUT / "blobs" / digest.replace(":", "/")).read_bytes()


def manifest():
    for descriptor in json.loads((LAYOUT / "index.json").read_text())["manifests"]:
        if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == TAG:
            return blob(descriptor["digest"])
    raise KeyError(TAG)


def new_secret(kind):
    secret = f"{kind}-{secrets.token_hex(16)}"
    expiry[secret] = time.monotonic() + LIFE_SECONDS
    return secret


def is_valid(secret):
    return expiry.get(secret, 0) > time.monotonic()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        print(self.command, self.path.split("?")[0], status, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def ranged(self, content):
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, content)
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(len(content), int(last) + 1) if first and last else len(content)
        return self.answer(206, content[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(content)}")

    def token(self):
        login = base64.b64encode(f"reader:{PASSWORD_FILE.read_text().strip()}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            return self.answer(401, b'{"details": "wrong user or password"}')
        return self.answer(200, json.dumps({"token": new_secret("token"), "expires_in": LIFE_SECONDS}).encode())

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/token":
            return self.token()
        host = self.headers["Host"]
        if host == storage:
            if self.headers.get("Authorization"):
                return self.answer(400, b"a token has no business here")
            return self.ranged(blob(path[1:])) if is_valid(query.removeprefix("signature=")) else self.answer(403)
        if not is_valid(self.headers.get("Authorization", "").removeprefix("Bearer ")):
            challenge = f'Bearer realm="http://{host}/token",service="guarded",scope="repository:t/image:pull"'
            return self.answer(401, WWW_Authenticate=challenge)
        match = re.fullmatch(r"/v2/t/image/(manifests|blobs)/(.+)", path)
        if not match:
            return self.answer(200, b"{}")
        if match[1] == "manifests":
            content = manifest()
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            return self.answer(200, content, Docker_Content_Digest=digest,
                               Content_Type="application/vnd.oci.image.manifest.v1+json")
        signature = new_secret("signature")
        return self.answer(307, Location=f"http://{storage}/{match[2]}?signature={signature}")

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


ports = [int(port) for port in sys.argv[4:6]] or [0, 0]
storage_server = Server(("127.0.0.1", ports[1]), Handler)
storage = f"127.0.0.1:{storage_server.server_address[1]}"
threading.Thread(target=storage_server.serve_forever, daemon=True).start()
server = Server(("127.0.0.1", ports[0]), Handler)
print(f"127.0.0.1:{server.server_address[1]} {storage}", flush=True)
server.serve_forever()

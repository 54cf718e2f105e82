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
import pathlib
import re
import secrets
import sys
import threading
import time

import layout_registry

layout = layout_registry.Layout(sys.argv[1], sys.argv[2])
PASSWORD_FILE = pathlib.Path(sys.argv[3])
LIFE_SECONDS = 3
expiry = {}  # of tokens and signatures


def new_secret(kind):
    secret = f"{kind}-{secrets.token_hex(16)}"
    expiry[secret] = time.monotonic() + LIFE_SECONDS
    return secret


def is_valid(secret):
    return expiry.get(secret, 0) > time.monotonic()


class Handler(layout_registry.Handler):
    def on_answer(self, status):
        print(self.command, self.path.split("?")[0], status, flush=True)

    def token(self):
        login = base64.b64encode(f"reader:{PASSWORD_FILE.read_text().strip()}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            return self.answer(401, b'{"details": "wrong user or password"}')
        return self.answer_json(200, {"token": new_secret("token"), "expires_in": LIFE_SECONDS})

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/token":
            return self.token()
        host = self.headers["Host"]
        if host == storage:
            # containerd takes another port for the same host, and tells it.
            if self.headers.get("Authorization") and not self.headers["User-Agent"].startswith("containerd/"):
                return self.answer(400, b"a token has no business here")
            if not is_valid(query.removeprefix("signature=")):
                return self.answer(403)
            return self.answer_range(layout.blob(path[1:]))
        if not is_valid(self.headers.get("Authorization", "").removeprefix("Bearer ")):
            challenge = f'Bearer realm="http://{host}/token",service="guarded",scope="repository:t/image:pull"'
            return self.answer(401, WWW_Authenticate=challenge)
        match = re.fullmatch(r"/v2/t/image/(manifests|blobs)/(.+)", path)
        if not match:
            return self.answer(200, b"{}")
        if match[1] == "manifests":
            return self.answer_manifest(layout.manifest())
        signature = new_secret("signature")
        return self.answer(307, Location=f"http://{storage}/{match[2]}?signature={signature}")

    do_HEAD = do_GET

    def do_POST(self):
        # The OAuth2 form of asking for a token is not known, so clients fall back to GET.
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return self.answer(405)


ports = [int(port) for port in sys.argv[4:6]] or [0, 0]
storage_server = layout_registry.Server(Handler, ports[1])
storage = storage_server.address
threading.Thread(target=storage_server.serve_forever, daemon=True).start()
server = layout_registry.Server(Handler, ports[0])
print(f"{server.address} {storage}", flush=True)
server.serve_forever()

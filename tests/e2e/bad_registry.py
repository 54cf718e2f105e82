#!/usr/bin/env python3
"""A registry that serves the image of an OCI layout and misbehaves in the way that the repository names.

bad_registry.py LAYOUT TAG      prints its host:port, then serves until it is killed
Repositories: ok, unauthorized (401), missing (404), broken (500), silent (never answers),
truncated (layers end early), wrong-toc (the manifest promises another TOC), wrong-chunk (a quarter of the
largest layer is flipped), slow (layers trickle), stuck (layers are never answered: prints "asked DIGEST", and "gone DIGEST" when
the client gives up),
not-json (the manifest is no JSON).
"""

import hashlib
import http.server
import json
import pathlib
import re
import sys
import threading
import time

LAYOUT = pathlib.Path(sys.argv[1])
TAG = sys.argv[2]
STATUS = {"unauthorized": 401, "missing": 404, "broken": 500}
TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
TRICKLE_BYTES = 64 << 10
never = threading.Event()


def blob(digest):
    return (LAYOUT / "blobs" / digest.replace(":", "/")).read_bytes()


def manifest(repository):
    index = json.loads((LAYOUT / "index.json").read_text())
    for descriptor in index["manifests"]:
        if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == TAG:
            content = blob(descriptor["digest"])
    if repository == "not-json":
        return b"<html>a captive portal</html>"
    if repository == "wrong-toc":
        document = json.loads(content)
        for layer in document["layers"]:
            layer["annotations"][TOC_DIGEST] = "sha256:" + "0" * 64
        return json.dumps(document).encode()
    return content


def layers():
    return {layer["digest"]: layer["size"] for layer in json.loads(manifest("ok"))["layers"]}


def layer_bytes(repository, digest):
    content = blob(digest)
    sizes = layers()
    if repository == "truncated" and digest in sizes:
        return content[: len(content) // 2]
    if repository == "wrong-chunk" and digest == max(sizes, key=sizes.get):
        changed = bytearray(content)
        for place in range(len(content) // 4, len(content) // 2):
            changed[place] ^= 0xFF
        return bytes(changed)
    return content


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(body), TRICKLE_BYTES):
            self.wfile.write(body[start : start + TRICKLE_BYTES])
            if self.path.startswith("/v2/slow/image/blobs/"):
                time.sleep(0.02)

    def do_GET(self):
        match = re.fullmatch(r"/v2/([^/]+)/image/(manifests|blobs)/(.+)", self.path)
        if not match:
            return self.answer(200, b"{}")
        repository, kind, name = match.groups()
        if repository == "silent":
            never.wait()
        if repository in STATUS:
            errors = {"errors": [{"code": "FAULT", "message": f"as asked: {repository}"}]}
            return self.answer(STATUS[repository], json.dumps(errors).encode())
        if kind == "manifests":
            content = manifest(repository)
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            return self.answer(200, content, Docker_Content_Digest=digest,
                               Content_Type="application/vnd.oci.image.manifest.v1+json")
        if repository == "stuck" and name in layers():
            print(f"asked {name}", flush=True)
            self.connection.recv(1)
            print(f"gone {name}", flush=True)
            self.close_connection = True
            return None
        content = layer_bytes(repository, name)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, content)
        first, last = wanted.groups()
        if not first:
            start, end = max(0, len(content) - int(last)), len(content)
        else:
            start, end = int(first), min(len(content), int(last) + 1 if last else len(content))
        if start >= len(content):
            return self.answer(416, b"", Content_Range=f"bytes */{len(content)}")
        self.answer(206, content[start:end],
                    Content_Range=f"bytes {start}-{end - 1}/{len(content)}")

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(f"127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()

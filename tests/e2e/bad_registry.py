#!/usr/bin/env python3
"""A registry that serves the image of an OCI layout and misbehaves in the way that the repository names.

bad_registry.py LAYOUT TAG      prints its host:port, then serves until it is killed
Repositories: ok, unauthorized (401), missing (404), broken (500), silent (never answers),
truncated (layers end early), wrong-toc (the manifest promises another TOC), wrong-chunk (a quarter of the
largest layer is flipped), slow (layers trickle), stuck (layers are never answered: prints "asked DIGEST", and "gone DIGEST" when
the client gives up),
not-json (the manifest is no JSON).
"""

import json
import re
import sys
import threading
import time

import layout_registry

layout = layout_registry.Layout(sys.argv[1], sys.argv[2])
STATUS = {"unauthorized": 401, "missing": 404, "broken": 500}
TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
TRICKLE_BYTES = 64 << 10
never = threading.Event()


def manifest(repository):
    content = layout.manifest()
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
    content = layout.blob(digest)
    sizes = layers()
    if repository == "truncated" and digest in sizes:
        return content[: len(content) // 2]
    if repository == "wrong-chunk" and digest == max(sizes, key=sizes.get):
        changed = bytearray(content)
        for place in range(len(content) // 4, len(content) // 2):
            changed[place] ^= 0xFF
        return bytes(changed)
    return content


class Handler(layout_registry.Handler):
    def write_body(self, body):
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
            return self.answer_json(STATUS[repository], errors)
        if kind == "manifests":
            return self.answer_manifest(manifest(repository))
        if repository == "stuck" and name in layers():
            print(f"asked {name}", flush=True)
            self.connection.recv(1)
            print(f"gone {name}", flush=True)
            self.close_connection = True
            return None
        return self.answer_range(layer_bytes(repository, name))

    do_HEAD = do_GET


server = layout_registry.Server(Handler)
print(server.address, flush=True)
server.serve_forever()

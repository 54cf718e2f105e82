"""What the registries of the tests share: the image of an OCI layout, and how it is served over HTTP."""

import hashlib
import http.server
import json
import pathlib
import re


class Layout:
    """The image `tag` of an OCI layout."""

    def __init__(self, directory, tag):
        self.directory = pathlib.Path(directory)
        self.tag = tag

    def blob(self, digest):
        return (self.directory / "blobs" / digest.replace(":", "/")).read_bytes()

    def manifest(self):
        for descriptor in json.loads((self.directory / "index.json").read_text())["manifests"]:
            if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == self.tag:
                return self.blob(descriptor["digest"])
        raise KeyError(self.tag)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def on_answer(self, status):
        """Sees each answer before it goes out."""

    def write_body(self, body):
        self.wfile.write(body)

    def answer(self, status, body=b"", **headers):
        self.on_answer(status)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.write_body(body)

    def answer_json(self, status, document):
        self.answer(status, json.dumps(document).encode())

    def answer_manifest(self, content):
        self.answer(200, content, Content_Type="application/vnd.oci.image.manifest.v1+json",
                    Docker_Content_Digest="sha256:" + hashlib.sha256(content).hexdigest())

    def answer_range(self, content):
        """As much of `content` as the request wants."""
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, content)
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(len(content), int(last) + 1) if first and last else len(content)
        if start >= len(content):
            return self.answer(416, Content_Range=f"bytes */{len(content)}")
        return self.answer(206, content[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(content)}")


class Server(http.server.ThreadingHTTPServer):
    """On a loopback port, a free one if it is 0. Ends with the process."""

    daemon_threads = True

    def __init__(self, handler, port=0):
        super().__init__(("127.0.0.1", port), handler)
        self.address = f"127.0.0.1:{self.server_address[1]}"

#!/usr/bin/env python3
"""Files and git repositories by HTTP.

file_server.py DIRECTORY REPOSITORIES
    prints its host:port, then serves until it is killed: REPOSITORIES/NAME as /git/NAME, DIRECTORY/NAME as /NAME; wheels may be
    kept, as those of the package index
"""

import functools
import http.server
import os
import subprocess
import sys
import urllib.parse

DIRECTORY, REPOSITORIES = sys.argv[1:]


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/git/"):
            self.run_git()
        else:
            super().do_GET()

    def end_headers(self):
        if self.path.endswith(".whl"):
            self.send_header("Cache-Control", "max-age=365000000, immutable, public")
        super().end_headers()

    def do_POST(self):
        self.run_git()

    def run_git(self):
        """By CGI, RFC 3875, as git-http-backend(1) describes it."""
        url = urllib.parse.urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": REPOSITORIES,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path[len("/git"):],
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(size),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        answer = subprocess.run(["git", "-c", "safe.directory=*", "http-backend"], env=environment, check=True,
                                input=self.rfile.read(size), stdout=subprocess.PIPE).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=DIRECTORY))
print("%s:%d" % server.server_address, flush=True)
server.serve_forever()

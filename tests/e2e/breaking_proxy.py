#!/usr/bin/env python3
"""A proxy in front of a registry that breaks one connection in the middle of a large answer.

breaking_proxy.py REGISTRY BYTES
    prints its host:port, then serves until it is killed; the first answer longer than BYTES ends after them
Each request is a line: "METHOD PATH RANGE", each answer's body "sent BYTES"; "broken" tells of the break.
"""

import http.client
import http.server
import sys
import threading

registry, limit = sys.argv[1], int(sys.argv[2])
lock = threading.Lock()
is_broken = False


def say(line):
    with lock:
        print(line, flush=True)


def may_break():
    global is_broken
    with lock:
        first = not is_broken
        is_broken = True
        return first


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        say(f"{self.command} {self.path} {self.headers.get('Range', '-')}")
        upstream = http.client.HTTPConnection(registry)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        upstream.request(self.command, self.path, headers=headers)
        response = upstream.getresponse()
        body = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if len(body) > limit and may_break():
            self.wfile.write(body[:limit])
            say("broken")
            say(f"sent {limit}")
            self.close_connection = True
            return
        self.wfile.write(body)
        say(f"sent {len(body)}")

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
say(f"127.0.0.1:{server.server_address[1]}")
server.serve_forever()

#!/usr/bin/env python3
"""What a browser has made of the page of starlingd, as JSON: page_shows.py DOM SCREENSHOT STYLE.

DOM is what `chromium --dump-dom` printed, SCREENSHOT its picture, STYLE page.css, whose colours are counted in it.
"""
import html.parser
import json
import re
import struct
import sys
import zlib


class Shown(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.scripts = []
        self.title = ""
        self.images, self.start, self.summary, self.containers = {}, {}, {}, {}
        self.needs, self.fetches, self.waits = [], [], []
        self.text_of = None  # what data goes to
        self.figures = self.summary
        self.in_waits = False

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        self.text_of = tag
        if tag == "script":
            self.scripts.append(has.get("src"))
        if "data-image" in has:
            self.figures = self.images.setdefault(has["data-image"], {"layers": {}})
            self.image = self.figures
        if "data-layer" in has:
            self.figures = self.image["layers"].setdefault(has["data-layer"], {})
        if "data-container" in has:
            self.figures = self.containers.setdefault(has["data-container"], {})
        if "data-start" in has:
            self.start["image"] = has["data-start"]
            self.figures = self.start
        if "data-key" in has:
            self.figures[has["data-key"]] = int(has["data-value"])
        if has.get("id") == "waits":
            self.in_waits = "hidden" not in has
        if "data-purpose" in has:
            self.fetches.append([has["data-purpose"], int(has["data-size"])])
        elif "data-label" in has:
            self.needs.append({"file": has["data-label"], "waits": int(has["data-waits"])})

    def handle_endtag(self, tag):
        self.text_of = None
        if tag == "table":
            self.in_waits = False

    def handle_data(self, data):
        if self.text_of == "title" and not self.title:
            self.title = data
        if self.in_waits and self.text_of == "td":
            self.waits.append(data)


def pixels(path):
    """Rows of RGB or RGBA pixels of a PNG of 8 bits."""
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        at += 12 + size
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0, "an unknown kind of PNG"
        elif kind == b"IDAT":
            packed += body
    step = 3 if colour == 2 else 4
    raw = zlib.decompress(packed)
    before = bytearray(width * step)
    for row in range(height):
        begin = row * (width * step + 1)
        kind, line = raw[begin], bytearray(raw[begin + 1:begin + 1 + width * step])
        for i in range(len(line)):
            left = line[i - step] if i >= step else 0
            up = before[i]
            corner = before[i - step] if i >= step else 0
            if kind == 1:
                line[i] = (line[i] + left) & 255
            elif kind == 2:
                line[i] = (line[i] + up) & 255
            elif kind == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif kind == 4:
                guess = left + up - corner
                nearest = min((left, up, corner), key=lambda value: abs(guess - value))
                line[i] = (line[i] + nearest) & 255
        before = line
        yield [bytes(line[i:i + 3]) for i in range(0, len(line), step)]


def main():
    dom, screenshot, style = sys.argv[1:]
    shown = Shown()
    shown.feed(open(dom, encoding="utf-8").read())
    colours = {}
    for name, value in re.findall(r"--([a-z]+): #([0-9a-f]{6});", open(style).read().split("@media")[0]):
        colours.setdefault(bytes.fromhex(value), name)
    counts = {}
    for row in pixels(screenshot):
        for pixel in row:
            if pixel in colours:
                counts[colours[pixel]] = counts.get(colours[pixel], 0) + 1
    print(json.dumps({"title": shown.title, "scripts": shown.scripts, "summary": shown.summary, "images": shown.images,
                      "containers": shown.containers,
                      "start": shown.start, "needs": shown.needs, "fetches": shown.fetches, "waits": shown.waits,
                      "colours": counts}))


main()

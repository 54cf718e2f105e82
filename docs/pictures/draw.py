#!/usr/bin/env python3
"""draw.py [DIRECTORY]: writes the pictures of docs/how-it-works.md, beside this file or into DIRECTORY."""

import pathlib
import sys
from html import escape

# Colours for light and dark pages: the reader's browser chooses.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11.5px; fill: #59636e }
.title { font-weight: 600 }
.box { fill: #eef3f9; stroke: #2f5d8c }
.kernel { fill: #f3eefa; stroke: #7c5bb0 }
.disk { fill: #eaf5ec; stroke: #3f8a52 }
.away { fill: #fbeeee; stroke: #b5474a }
.plain { fill: none; stroke: #8c959f }
.line { stroke: #59636e; fill: none }
.dashed { stroke-dasharray: 4 3 }
.head { fill: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9da7b3 }
  .box { fill: #16273a; stroke: #6ea8e0 } .kernel { fill: #251d36; stroke: #ab8ee0 }
  .disk { fill: #15291b; stroke: #68bd7e } .away { fill: #341b1c; stroke: #e07a7d }
  .line { stroke: #9da7b3 } .head { fill: #9da7b3 } .plain { stroke: #6e7781 }
}
"""


class Picture:
    """Boxes, arrows and words; places are in pixels from the upper left corner."""

    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
            '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>']

    def text(self, x, y, words, kind="", anchor="start"):
        self.parts.append(f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')

    def box(self, x, y, width, height, title="", lines=(), kind="box"):
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" class="{kind}"/>')
        first = y + height / 2 + 4.5 - 7.5 * len(lines)
        if title:
            self.text(x + width / 2, first, title, "title", "middle")
        for number, line in enumerate(lines, 1 if title else 0):
            self.text(x + width / 2, first + 15 * number + (0 if title else 7.5), line, "small", "middle")

    def arrow(self, x1, y1, x2, y2, words="", dashed=False, above=True, head=True):
        marker = ' marker-end="url(#head)"' if head else ""
        self.parts.append(f'<path d="M{x1} {y1} L{x2} {y2}" class="line{" dashed" if dashed else ""}"{marker}/>')
        if not words:
            return
        if x1 == x2:
            self.text(x1 + 8, (y1 + y2) / 2 + 4, words, "small")
        else:
            self.text((x1 + x2) / 2, (y1 + y2) / 2 - 5 if above else (y1 + y2) / 2 + 15, words, "small", "middle")

    def done(self):
        return "\n".join([*self.parts, "</svg>", ""])


def pull():
    p = Picture(820, 400, "Life of a pull: who asks whom for what")
    lanes = {"containerd": 120, "starlingd": 420, "registry": 720}
    for name, x in lanes.items():
        p.box(x - 70, 10, 140, 30, name, kind="away" if name == "registry" else "box")
        p.arrow(x, 40, x, 390, dashed=True, head=False)
    a, b, c = lanes.values()
    p.arrow(a, 70, b, 70, "Prepare: about to unpack layer 1 of this image")
    p.arrow(b, 100, c, 100, "manifest")
    p.arrow(c, 125, b, 125, "checked against the image's digest", dashed=True)
    p.arrow(b, 155, c, 155, "end of layer 1, 2, 3, ... at the same time")
    p.arrow(c, 180, b, 180, "tables of contents, checked against the manifest", dashed=True)
    p.box(b - 140, 195, 280, 46, "layer 1 is mounted", ["names from the table, no bytes of files yet"], "kernel")
    p.arrow(b, 262, a, 262, "exists already: download nothing", dashed=True)
    p.arrow(a, 290, b, 290, "Prepare: layer 2")
    p.arrow(b, 312, a, 312, "exists already (it was opened meanwhile)", dashed=True)
    p.box(a - 70, 330, 140, 30, "container starts", kind="kernel")
    p.arrow(b, 345, c, 345, "what is read, and what lies around it")
    p.arrow(b, 375, c, 375, "the rest, while the link is free", dashed=True)
    return p.done()


def read():
    p = Picture(820, 430, "Life of a read: from the process to the registry and back")
    x, width = 40, 330
    p.box(x, 10, width, 34, "process: read, page fault, exec", kind="plain")
    p.box(x, 70, width, 48, "overlayfs and the page cache", ["read before? answered here, nothing below is asked"], "kernel")
    p.box(x, 144, width, 48, "EROFS", ["names, attributes, where a file's data lies"], "kernel")
    p.box(x, 218, width, 48, "FUSE", ["one device: the data of all layers"], "kernel")
    p.box(x, 292, width, 48, "starlingd: are all chunks here?", ["a table in memory, and a bit for each chunk"])
    for y in (44, 118, 192, 266):
        p.arrow(x + width / 2, y, x + width / 2, y + 26)
    p.box(x, 376, width, 44, "one sparse file per layer", ["held and verified bytes"], "disk")
    p.arrow(x + width / 2, 340, x + width / 2, 376, "yes")
    p.arrow(x + width, 316, 480, 316, "no")
    p.box(480, 292, 300, 48, "one range request", ["for the neighbourhood, shared by all who wait"])
    p.arrow(630, 292, 630, 252)
    p.box(480, 204, 300, 48, "registry or mirror", ["any of them: nothing is believed"], "away")
    p.arrow(780, 228, 800, 228, head=False)
    p.arrow(800, 228, 800, 398, dashed=True, head=False)
    p.arrow(800, 398, 780, 398)
    p.box(480, 376, 300, 44, "inflate, SHA-256, write, mark", ["wrong bytes: asked for elsewhere"])
    p.arrow(480, 398, x + width, 398, "then reply")
    return p.done()


def planes():
    p = Picture(820, 380, "Three data planes: a tree, EROFS over FUSE, EROFS alone")
    columns = [
        ("tree", "kernels before 6.12", ["overlayfs", "FUSE: names and bytes", "starlingd", "sparse file"]),
        ("EROFS over FUSE", "a layer that is not complete", ["overlayfs", "EROFS: names", "FUSE: bytes", "starlingd", "sparse file"]),
        ("EROFS alone", "a layer that is complete", ["overlayfs", "EROFS: names and bytes", "complete file"]),
    ]
    kinds = {"starlingd": "box", "sparse file": "disk", "complete file": "disk"}
    for number, (title, when, boxes) in enumerate(columns):
        x = 20 + number * 290
        p.text(x + 100, 24, title, "title", "middle")
        p.text(x + 100, 42, when, "small", "middle")
        for row, name in enumerate(boxes):
            y = 60 + row * 60
            p.box(x, y, 200, 36, name, kind=kinds.get(name, "kernel"))
            if row:
                p.arrow(x + 100, y - 24, x + 100, y)
    p.arrow(510, 198, 600, 198, "last chunk")
    p.text(410, 372, "violet: the kernel. Warm reads end in its page cache in all three.", "small", "middle")
    return p.done()


def keeper():
    p = Picture(820, 330, "Keeper and server: what outlives what")
    p.box(30, 20, 220, 150, "keeper", ["", "listening socket", "/dev/fuse of the mounts", "a page of state", "no network, no parsing"])
    p.box(330, 20, 210, 70, "server", ["snapshots, fetching, replies"], "away")
    p.text(435, 108, "crashes, is killed, is upgraded", "small", "middle")
    p.box(600, 20, 190, 70, "next server", ["same or newer program"])
    p.arrow(250, 50, 330, 50, "starts")
    p.arrow(140, 170, 140, 196, head=False)
    p.arrow(140, 196, 695, 196, "the same descriptors", head=False)
    p.arrow(695, 196, 695, 90)
    p.box(30, 230, 510, 70, "kernel: mounts, open files, running containers",
          ["requests that nobody answered wait, and are sent again to the next server"], "kernel")
    p.box(600, 230, 190, 70, "store on disk", ["held chunks, verified"], "disk")
    p.arrow(740, 90, 740, 230, "restores")
    return p.done()


def outage():
    p = Picture(820, 270, "An outage: what waits and what does not")
    p.text(20, 44, "registry", "title")
    p.box(150, 26, 180, 28, "answers", kind="disk")
    p.box(330, 26, 290, 28, "is away", kind="away")
    p.box(620, 26, 180, 28, "answers", kind="disk")
    rows = [
        ("held bytes", [(150, 650, "disk", "read as ever, also by new containers")]),
        ("other bytes", [(150, 180, "disk", "fetched"), (330, 290, "plain", "the read waits, up to read_deadline_sec"), (620, 180, "disk", "and goes on by itself")]),
        ("requests", [(150, 180, "disk", "many"), (330, 290, "plain", "one at a time, to see whether it is back"), (620, 180, "disk", "many")]),
        ("log", [(330, 140, "box", "one warning"), (620, 180, "box", "one line: it is back")]),
    ]
    for number, (name, bars) in enumerate(rows):
        y = 74 + number * 44
        p.text(20, y + 20, name, "title")
        for x, width, kind, words in bars:
            p.box(x, y, width, 30, lines=[words], kind=kind)
    p.arrow(150, 258, 800, 258, head=True)
    p.text(20, 262, "time", "small")
    return p.done()


def build():
    p = Picture(820, 335, "What a build does")
    p.box(20, 20, 170, 56, "Dockerfile, recipe", ["or Python"], "plain")
    p.box(20, 120, 170, 76, "graph of steps", ["a key for each: its inputs,", "command, environment"])
    p.arrow(105, 76, 105, 120)
    p.box(250, 20, 240, 56, "FROM: a lazy pull", ["tables of contents only"], "away")
    p.box(250, 120, 240, 76, "RUN, COPY on snapshots", ["the base's bytes as they are read;", "steps side by side"])
    p.arrow(190, 158, 250, 158, "misses")
    p.arrow(370, 76, 370, 120)
    p.box(250, 240, 240, 66, "upper directory", ["what the step changed, nothing else"], "disk")
    p.arrow(370, 196, 370, 240)
    p.box(560, 240, 240, 66, "layer in eStargz", ["one pass, all cores, same bytes", "on every machine"])
    p.arrow(490, 273, 560, 273)
    p.box(560, 120, 240, 76, "image in containerd", ["runs at once: its snapshots are there"])
    p.arrow(680, 240, 680, 196)
    p.box(560, 20, 240, 56, "push", ["new layers; the base's stay there"], "away")
    p.arrow(680, 120, 680, 76)
    p.arrow(105, 196, 105, 325, head=False)
    p.arrow(105, 325, 680, 325, "hits: the layer and its snapshot are there", dashed=True, head=False)
    p.arrow(680, 325, 680, 306)
    return p.done()


PICTURES = {"pull": pull, "read": read, "planes": planes, "keeper": keeper, "outage": outage, "build": build}


def main():
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent
    for name, picture in PICTURES.items():
        (directory / f"{name}.svg").write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""What programs show on a terminal, recorded with times, as a picture that plays once and then stays."""

import fcntl
import html
import os
import pty
import re
import select
import struct
import termios
import time

CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
BEGUN_CONTROL = re.compile(r"(?:\x1b(?:\[[?0-9;]*)?)?\Z")
LINE_HEIGHT = 18
CHARACTER_WIDTH = 7.83  # of 13 px in the widest of the usual fonts

# Light and dark pages: the reader's browser chooses. Who does not want motion sees the end.
STYLE = """
rect { fill: #f6f8fa; stroke: #d1d9e0 }
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre }
.typed { font-weight: 600 }
.about { font-style: italic; fill: #59636e }
g { animation: appear 10ms both }
@keyframes appear { from { visibility: hidden } to { visibility: visible } }
@media (prefers-reduced-motion: reduce) { g { animation: none } }
@media (prefers-color-scheme: dark) { rect { fill: #0d1117; stroke: #3d444d } text { fill: #e6edf3 } .about { fill: #9198a1 } }
"""


class Screen:
    """Lines as a terminal shows them; each knows when it was last changed. Colours are left out."""

    def __init__(self):
        self.lines = []  # [text, seconds, kind]
        self.row = self.column = 0
        self.begun = ""  # of a control sequence that came in parts

    def write(self, text, seconds, kind=""):
        text, at = self.begun + text, 0
        self.begun = BEGUN_CONTROL.search(text).group()
        text = text[:len(text) - len(self.begun)]
        while at < len(text):
            control = CONTROL.match(text, at)
            if control:
                self._control(control.group(1), control.group(2), seconds)
                at = control.end()
                continue
            character = text[at]
            at += 1
            if character == "\n":
                self._line(seconds)
                self.row, self.column = self.row + 1, 0
            elif character == "\r":
                self.column = 0
            elif character >= " ":
                line = self._line(seconds)
                shown = line[0].ljust(self.column)
                if shown[self.column:self.column + 1] != character:
                    line[0] = shown[:self.column] + character + shown[self.column + 1:]
                    line[1] = seconds
                line[2] = kind
                self.column += 1

    def _line(self, seconds):
        while len(self.lines) <= self.row:
            self.lines.append(["", seconds, ""])
        return self.lines[self.row]

    def _control(self, number, letter, seconds):
        count = int(number) if number.isdigit() else 1
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "B":
            self.row += count
        elif letter == "K":
            line = self._line(seconds)
            if line[0][self.column:]:
                line[0], line[1] = line[0][:self.column], seconds
        elif letter == "J":
            del self.lines[self.row + 1:]
            line = self._line(seconds)
            line[0] = line[0][:self.column]


def run(words, environment, size=(40, 110), seconds=120):
    """Runs a program on a terminal of its own: [(seconds since its start, text)] and its exit code."""
    begin = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(words[0], words, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    shown = []
    try:
        while select.select([terminal], [], [], begin + seconds - time.monotonic())[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
            shown.append((time.monotonic() - begin, part.decode(errors="replace")))
        else:
            os.kill(pid, 9)
    finally:
        os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def picture(lines, title):
    """An SVG of [text, seconds, kind]: each line appears when it stood as it stays."""
    width = round(max(len(text) for text, _, _ in lines) * CHARACTER_WIDTH + 32)
    height = len(lines) * LINE_HEIGHT + 26
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">',
             f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
             f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>']
    for number, (text, seconds, kind) in enumerate(lines):
        if text.strip():
            parts.append(f'<g style="animation-delay: {seconds:.2f}s"><text class="{kind}" x="16" '
                         f'y="{number * LINE_HEIGHT + 24}" xml:space="preserve">{html.escape(text.rstrip())}</text></g>')
    return "\n".join([*parts, "</svg>", ""])

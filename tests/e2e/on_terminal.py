#!/usr/bin/env python3
"""on_terminal.py COMMAND... : runs it on a terminal of its own and types the lines of standard input, each when a prompt
stands there. Prints what the terminal showed; the exit code is the command's."""

import os
import pty
import sys

lines = sys.stdin.read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if lines and shown.endswith(b": "):
        os.write(terminal, lines.pop(0).encode() + b"\n")
print(shown.decode(), end="")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

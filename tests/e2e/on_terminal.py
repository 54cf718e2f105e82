#!/usr/bin/env python3
"""on_terminal.py [--prompt TEXT] COMMAND... : runs it on a terminal of its own and types the lines of standard input, each when
the prompt (": ") stands there once more. Prints what the terminal showed; the exit code is the command's."""

import os
import pty
import sys

prompt, command = b": ", sys.argv[1:]
if command[0] == "--prompt":
    prompt, command = command[1].encode(), command[2:]
lines = sys.stdin.read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown = b""
answered = 0
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    at = shown.find(prompt, answered)
    if lines and at >= 0:
        answered = at + len(prompt)
        os.write(terminal, lines.pop(0).encode() + b"\n")
print(shown.decode(), end="")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

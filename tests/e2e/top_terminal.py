#!/usr/bin/env python3
"""top_terminal.py HOW COMMAND... : runs `starling top` on a terminal of its own, waits for its page, ends it by HOW (q, interrupt,
TERM, HUP), after stopping it once (stop-q), and checks that the terminal is as before. Prints the page."""

import os
import pty
import signal
import sys
import termios

# A page that does not come fails.
signal.alarm(60)
how, command = sys.argv[1], sys.argv[2:]
terminal, inner = pty.openpty()
termios.tcsetwinsize(inner, (20, 100))
before = termios.tcgetattr(inner)
pid = os.fork()
if pid == 0:
    os.close(terminal)
    os.login_tty(inner)
    os.execvp(command[0], command)
shown = b""


def read_until(text, after):
    global shown
    while text not in shown[after:]:
        part = os.read(terminal, 65536)
        assert part, "the terminal has ended"
        shown += part


ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
read_until(b"q quits", 0)
assert shown.startswith(ENTER), shown
assert termios.tcgetattr(inner)[3] & (termios.ICANON | termios.ECHO) == 0, "keys do not count at once"
page = shown
if how.startswith("stop-"):
    os.write(terminal, b"\x1a")
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    at = len(shown)
    read_until(LEAVE, 0)
    assert termios.tcgetattr(inner) == before, "the terminal of a stopped view is another"
    os.kill(pid, signal.SIGCONT)
    read_until(ENTER, at)
    read_until(b"q quits", at)
    how = how[len("stop-"):]
# Another size has the page drawn again at once.
at = len(shown)
termios.tcsetwinsize(terminal, (20, 60))
read_until(b"\x1b[J", at)
lines = [line for line in shown[at:].split(b"\x1b[J")[0].split(b"\r\n")]
if how == "q":
    os.write(terminal, b"xq")
elif how == "interrupt":
    os.write(terminal, b"\x03")
else:
    os.kill(pid, getattr(signal, "SIG" + how))
# Its output is to be read while it ends.
read_until(LEAVE, shown.rfind(ENTER))
status = os.waitpid(pid, 0)[1]
assert os.waitstatus_to_exitcode(status) == 0, status
after = termios.tcgetattr(inner)
assert after == before, (before, after)
print(page.decode(errors="replace"))

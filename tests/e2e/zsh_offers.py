#!/usr/bin/env python3
"""zsh_offers.py DIRECTORY "WORDS": what zsh offers for the last word with DIRECTORY/completion.zsh, one a line.

zsh completes only in its line editor, so it gets a terminal; a hook of its completion system notes what is added.
"""
import os
import pathlib
import pty
import select
import sys
import time

SETUP = """
PS1=ready
fpath=({directory}/zsh $fpath)
autoload -Uz compinit && compinit -u -d {directory}/zsh/dump
compadd() {{
  [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\\ * ]] && {{ builtin compadd "$@"; return }}
  local -a added
  builtin compadd -A added "$@"
  print -rl -- $added >>{directory}/zsh/offers
  builtin compadd "$@"
}}
note() {{ zle complete-word; print -r done >>{directory}/zsh/offers; }}
zle -N note
bindkey '^T' note
cd {directory}
print -r set >{directory}/zsh/is-set
"""


def wait_for(terminal, reached, seconds=20):
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            sys.exit("zsh did not answer")
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)


def main():
    directory, words = sys.argv[1:]
    place = pathlib.Path(directory, "zsh")
    place.mkdir(exist_ok=True)
    place.joinpath("_starling").write_text(pathlib.Path(directory, "completion.zsh").read_text())
    place.joinpath("setup").write_text(SETUP.format(directory=directory))
    offers = place / "offers"
    for old in (offers, place / "is-set"):
        old.unlink(missing_ok=True)
    child, terminal = pty.fork()
    if child == 0:
        os.environ["HOME"] = directory
        os.execvp("zsh", ["zsh", "-f", "-i"])
    os.write(terminal, f"source {place}/setup\n".encode())
    wait_for(terminal, (place / "is-set").exists)
    os.write(terminal, words.encode() + b"\x14")
    wait_for(terminal, lambda: offers.exists() and "done\n" in offers.read_text())
    os.write(terminal, b"\x03exit\n")
    os.close(terminal)
    os.waitpid(child, 0)
    print("\n".join(sorted(set(offers.read_text().splitlines()) - {"done", ""})))


if __name__ == "__main__":
    main()

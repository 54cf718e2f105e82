#!/usr/bin/env python3
"""Records the README's terminal session: a large image from a registry behind a link of 20 ms and 400 Mbit/s, with containerd 2.3
and starlingd of its own. Writes the picture that plays what happened, at the speed at which it happened.
Needs root; images, registry and peers are those of run.py.

  session.py --document docs/session.svg
"""

import argparse
import contextlib
import os
import pathlib
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from harness import images, peers, processes, scenario, servers, systems, terminal  # noqa: E402

TREE = pathlib.Path(__file__).resolve().parents[1]
# As it is shown; the registry of the recording has a port of its own.
IMAGE = "registry.example/ml:1-esgz"
COMMANDS = (
    ("651 MB in a registry, 20 ms and 400 Mbit/s away. What is it?", f"starling check {IMAGE}"),
    ("Pull it: its tables of contents come, and what its author put first.", f"time starling pull {IMAGE}"),
    ("Run it: it trains a model.", f"time ctr run --rm --snapshotter stargz {IMAGE} c1"),
    ("Again, from what is here.", f"time ctr run --rm --snapshotter stargz {IMAGE} c2"),
    ("What has come, and what was waited for?", f"starling status {IMAGE}"),
)
OF_THIS_MACHINE = re.compile(r"WARN\[.*cgroup v1")  # ctr's, where the machine that records has an old hierarchy
READING_SECONDS = 1.5
MOST_LINES = 11  # of one command


class Programs:
    def __init__(self, built, arguments):
        self.starlingd = arguments.starlingd.resolve()
        self.starling = arguments.starling.resolve()
        self.containerd_bin = built.containerd()
        self.netproxy = built.netproxy()
        self.erofs_tools = ""

    def daemon_command(self, _):
        return [str(self.starlingd), "--address", "{address}", "--root", "{root}"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def record(node, reference):
    """The lines of all commands, one after the other."""
    environment = {
        **os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "TIMEFORMAT": "%1R s",
        "PATH": ":".join([str(node.programs.starling.parent), str(node.programs.containerd_bin), os.environ["PATH"]]),
        "CONTAINERD_ADDRESS": str(node.containerd.address), "CONTAINERD_NAMESPACE": servers.NAMESPACE,
        "STARLING_ADDRESS": str(node.daemon.address)}
    lines, now = [], 0.0
    for about, command in COMMANDS:
        screen = terminal.Screen()
        screen.write(f"# {about}\n", now, "about")
        now += READING_SECONDS
        screen.write(f"$ {command}\n", now, "typed")
        say(f"$ {command}")
        shown, code = terminal.run(["bash", "-c", command.replace(IMAGE, reference)], environment)
        for seconds, text in shown:
            screen.write(text.replace("\r\n", "\n"), now + seconds)
        if code != 0:
            raise processes.BenchError(f"{command}: exit code {code}\n" + "\n".join(line[0] for line in screen.lines))
        recorded = [[text.replace(reference, IMAGE), at, kind] for text, at, kind in screen.lines if not OF_THIS_MACHINE.match(text)]
        if len(recorded) > MOST_LINES:
            recorded = recorded[:MOST_LINES - 1] + [["...", recorded[MOST_LINES - 1][1], "about"]]
        lines += recorded + [["", now, ""]]
        now += (shown[-1][0] if shown else 0) + READING_SECONDS
    return lines[:-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", type=pathlib.Path, required=True, help="the SVG to write")
    parser.add_argument("--directory", type=pathlib.Path, default="/var/tmp/starling-bench", help="kept between runs")
    parser.add_argument("--starlingd", type=pathlib.Path, default=TREE / "build/release/apps/starlingd/starlingd")
    parser.add_argument("--starling", type=pathlib.Path, default=TREE / "build/release/apps/starling/starling")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    try:
        programs = Programs(peers.Peers(arguments.directory / "peers", say), arguments)
        system, image = systems.SYSTEMS["starling-landmarks"], images.IMAGES["ml"]
        with contextlib.ExitStack() as stack:
            work = pathlib.Path(tempfile.mkdtemp(prefix="w", dir=arguments.directory))
            stack.callback(processes.remove_tree, work)
            registry = stack.enter_context(servers.Registry(work, arguments.directory / "registry"))
            store = images.ImageStore(arguments.directory, registry, programs.starling, say)
            store.provide(image, system.form)
            node, _, host = stack.enter_context(
                scenario.fresh_node([image], systems.LINKS["wan"], system, programs, store, work))
            lines = record(node, store.reference(image, system.form, host))
        arguments.document.write_text(terminal.picture(
            lines, f"A terminal session, recorded {time.strftime('%Y-%m-%d')}: check, pull, run and status of {IMAGE}"), encoding="utf-8")
    except processes.BenchError as error:
        print(f"session: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

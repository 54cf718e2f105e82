#!/usr/bin/env python3
"""Reads a lazily mounted tree and calls the snapshotter while starlingd's server is killed or replaced.

    kill_loop.py --tree DIR --expected DIR --lock-file FILE --seconds N [--reload] [--reload-by COMMAND] [--no-kill] [--held]
                 [--call COMMAND]... [--call-through COMMAND]...

Eight processes read at random, with descriptors from before and from now: pread, open, stat, readdir, readlink, mmap,
and programs that are executed; each answer is compared with the same file below --expected. Before a read the file's
pages are dropped, so that the server is asked. --held: reads only files named warm*. --reload-by: what has the server
replaced, instead of the signal to the keeper. --lock-file: starlingd's, where it
writes who serves. --call: a shell command that calls starlingd, repeated all the time, {} in it a number; it may fail
when it was under way at a kill. --call-through: the same, but another program (containerd) keeps a connection, and
waits with it as long as it likes. Prints one JSON object; exit code 1 when a read failed or differed, or a call failed
that no kill excuses.
"""
import argparse
import dataclasses
import json
import mmap
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import traceback

READERS = 8
BLOCK = 65536
# A client that lost its connection twice in a row waits before the next: gRPC's first delays.
RECONNECT_SECONDS = 4


class Reader:
    def __init__(self, tree, expected, names, seed):
        self.random = random.Random(seed)
        self.pairs = [(os.path.join(tree, name), os.path.join(expected, name)) for name in names]
        self.old = [(os.open(path, os.O_RDONLY), wanted) for path, wanted in self.random.sample(self.pairs, min(8, len(self.pairs)))]
        self.tree, self.expected = tree, expected
        self.operations = [self.read_old, self.read_new, self.stat, self.list, self.link, self.map, self.execute]
        self.done = {operation.__name__: 0 for operation in self.operations}
        self.slowest = 0.0

    def one(self):
        operation = self.random.choice(self.operations)
        start = time.monotonic()
        operation()
        self.slowest = max(self.slowest, time.monotonic() - start)
        self.done[operation.__name__] += 1

    def compare(self, fd, wanted):
        size = os.path.getsize(wanted)
        offset = self.random.randrange(max(1, size))
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        got = os.pread(fd, BLOCK, offset)
        with open(wanted, "rb") as file:
            file.seek(offset)
            want = file.read(len(got))
        if got != want or len(got) != min(BLOCK, size - offset):
            raise AssertionError(f"{wanted}: other bytes at {offset}")

    def read_old(self):
        self.compare(*self.random.choice(self.old))

    def read_new(self):
        path, wanted = self.random.choice(self.pairs)
        fd = os.open(path, os.O_RDONLY)
        try:
            self.compare(fd, wanted)
        finally:
            os.close(fd)

    def stat(self):
        path, wanted = self.random.choice(self.pairs)
        got, want = os.stat(path), os.stat(wanted)
        if (got.st_size, got.st_mode, int(got.st_mtime)) != (want.st_size, want.st_mode, int(want.st_mtime)):
            raise AssertionError(f"{path}: another stat")

    def list(self):
        if sorted(os.listdir(self.tree + "/many")) != sorted(os.listdir(self.expected + "/many")):
            raise AssertionError("another list of names")

    def link(self):
        if os.readlink(self.tree + "/link") != "many/7":
            raise AssertionError("another link")

    def map(self):
        path, wanted = self.random.choice([pair for pair in self.pairs if os.path.getsize(pair[1]) > 0])
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as pages:
                offset = self.random.randrange(len(pages))
                with open(wanted, "rb") as file:
                    file.seek(offset)
                    if pages[offset:offset + 100] != file.read(100):
                        raise AssertionError(f"{path}: other bytes mapped at {offset}")
        finally:
            os.close(fd)

    def execute(self):
        word = str(self.random.random())
        fd = os.open(self.tree + "/bin/busybox", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        if subprocess.run([self.tree + "/bin/busybox", "echo", word], stdout=subprocess.PIPE, check=True).stdout.decode() != word + "\n":
            raise AssertionError("a program said something else")


def read_all_the_time(make, end, pipe):
    """In a process of its own: reports through `pipe` when `end` has come."""
    result = {"failures": [], "operations": {}, "slowest": 0.0}
    try:
        reader = make()
        while time.monotonic() < end:
            try:
                reader.one()
            except Exception as error:  # a failed read is what is looked for
                result["failures"].append(f"{type(error).__name__}: {error}")
        result["operations"], result["slowest"] = reader.done, reader.slowest
    except Exception:
        result["failures"].append(traceback.format_exc())
    os.write(pipe, json.dumps(result).encode()[:60000])


def serving(lock_file):
    """The keeper and the server that serves or has served last; its place in the file comes when it does."""
    while True:
        lines = pathlib.Path(lock_file).read_text().split()
        if len(lines) == 2:
            return int(lines[0]), int(lines[1])


class Killer(threading.Thread):
    def __init__(self, arguments, end):
        super().__init__()
        self.arguments, self.end = arguments, end
        self.kills = []  # the time before and after each
        self.outages, self.reloads = [], []  # from a kill or a signal until the next server serves
        self.failures = []

    def await_next(self, last):
        """Returns the keeper and the server that serves after `last`."""
        give_up = time.monotonic() + 60
        while (now := serving(self.arguments.lock_file))[1] == last:
            if time.monotonic() > give_up:
                raise AssertionError("no server serves again")
            time.sleep(0.002)
        return now

    def run(self):
        try:
            self.go_on()
        except Exception:
            self.failures.append(traceback.format_exc())

    def go_on(self):
        """Each server lives for 50 to 300 ms after it serves; with reloads, some are replaced instead."""
        choice = random.Random(1)
        keeper, server = serving(self.arguments.lock_file)
        while time.monotonic() < self.end:
            time.sleep(choice.uniform(0.05, 0.3))
            start = time.monotonic()
            is_reload = self.arguments.reload and (self.arguments.no_kill or choice.random() < 0.3)
            if is_reload and self.arguments.reload_by:
                subprocess.run(self.arguments.reload_by, shell=True, check=True, stdout=subprocess.DEVNULL)
            elif is_reload:
                os.kill(keeper, signal.SIGHUP)
                # Some are killed on the way.
                if not self.arguments.no_kill and choice.random() < 0.5:
                    time.sleep(choice.uniform(0, 0.2))
                    self.kill(server)
            else:
                self.kill(server)
            keeper, server = self.await_next(server)
            if is_reload:
                self.reloads.append((start, time.monotonic()))
            else:
                self.outages.append((start, time.monotonic()))

    def kill(self, server):
        before = time.monotonic()
        try:
            os.kill(server, signal.SIGKILL)
            self.kills.append((before, time.monotonic()))
        except ProcessLookupError:
            pass


def overlaps(call, spans):
    return any(call.start <= last and first <= call.end for first, last in spans)


@dataclasses.dataclass
class Call:
    start: float
    end: float
    code: int
    error: str


class Caller(threading.Thread):
    def __init__(self, command, end):
        super().__init__()
        self.command, self.end = command, end
        self.calls = []

    def run(self):
        number = 0
        while time.monotonic() < self.end:
            number += 1
            start = time.monotonic()
            run = subprocess.run(self.command.replace("{}", str(number)), shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.calls.append(Call(start, time.monotonic(), run.returncode, run.stderr.decode(errors="replace").strip()[-300:]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", required=True)
    parser.add_argument("--expected", required=True)
    parser.add_argument("--lock-file", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--reload", action="store_true")
    parser.add_argument("--reload-by")
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("--held", action="store_true")
    parser.add_argument("--call", action="append", default=[])
    parser.add_argument("--call-through", action="append", default=[])
    arguments = parser.parse_args()
    names = [name for name in os.listdir(arguments.expected) if name.startswith("warm" if arguments.held else ("warm", "cold"))]
    end = time.monotonic() + arguments.seconds
    readers = []
    for seed in range(READERS):
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receive)
            read_all_the_time(lambda: Reader(arguments.tree, arguments.expected, names, seed), end, send)
            os._exit(0)
        os.close(send)
        readers.append((pid, receive))
    killer = Killer(arguments, end)
    direct = [Caller(command, end) for command in arguments.call]
    through = [Caller(command, end) for command in arguments.call_through]
    threads = (killer, *direct, *through)
    for thread in threads:
        thread.start()
    failures, operations, slowest = [], {}, 0.0
    for pid, receive in readers:
        text = b""
        while part := os.read(receive, 65536):
            text += part
        os.waitpid(pid, 0)
        result = json.loads(text)
        failures += result["failures"]
        slowest = max(slowest, result["slowest"])
        for name, count in result["operations"].items():
            operations[name] = operations.get(name, 0) + count
    for thread in threads:
        thread.join()
    failures += killer.failures
    wanted = 1 if arguments.seconds >= 1 else 0
    is_good = not failures and sum(operations.values()) >= wanted and len(killer.kills) + len(killer.reloads) >= wanted
    report = {
        "seconds": arguments.seconds, "kills": len(killer.kills), "reloads": len(killer.reloads),
        "slowest-restart-seconds": round(max((last - first for first, last in killer.outages), default=0), 3),
        "slowest-reload-seconds": round(max((last - first for first, last in killer.reloads), default=0), 3),
        "reads": sum(operations.values()), "operations": operations, "slowest-read-seconds": round(slowest, 3),
        "failed-or-wrong-reads": len(failures), "samples": failures[:5]}
    for name, callers in (("calls", direct), ("calls-through", through)):
        calls = [call for caller in callers for call in caller.calls]
        failed = [call for call in calls if call.code != 0]
        # A new connection waits for the next server. One that was there is closed some time after the kill.
        in_flight = [call for call in failed if overlaps(call, killer.kills + killer.reloads + ([] if callers is direct else killer.outages))]
        # The other program's connection broke while it was made, or its server took longer than the second that gRPC gives it
        # at first, and it does not try again yet.
        reconnecting = [] if callers is direct else [
            call for call in failed if call not in in_flight and ("connection error" in call.error or "server handshake" in call.error)
            and any(0 <= call.start - gone <= RECONNECT_SECONDS for gone, _ in killer.kills + killer.reloads)]
        others = [call for call in failed if call not in in_flight and call not in reconnecting]
        is_good = is_good and not others
        report[name] = {"made": len(calls), "failed-in-flight": len(in_flight), "failed-while-reconnecting": len(reconnecting),
                        "failed-otherwise": len(others), "slowest-seconds": round(max((call.end - call.start for call in calls), default=0), 3),
                        "samples": [call.error for call in others[:5]], "errors": sorted({call.error[-120:] for call in failed})[:6]}
    print(json.dumps(report))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""How fast is a fully held layer next to the same files on ext4?

data_plane.py STARLING IMAGE_DIRECTORY WORK_DIRECTORY

Converts layer 2 of `ml` (bench/ml-image.sh) to eStargz, mounts it with `starling mount`, reads it once so that
all of it is held, and measures find (stat of every file) and read-all (every byte) on it and on the same
tar unpacked on the work directory's file system: with cold caches (drop_caches) and warm ones. Every number is the
least of --rounds rounds, both sides interleaved. Prints seconds, ratios and the server's anonymous memory.
Needs root. Runs alone: anything else on the machine shows.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def drop_caches():
    run("sync")
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def seconds(command, directory):
    start = time.perf_counter()
    run("sh", "-c", command, cwd=directory, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


WORKLOADS = {
    "find": "find . -printf %s",
    "read-all": "tar cf - . | cat",
}


def anonymous_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise RuntimeError(f"no RssAnon of {pid}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("starling")
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    starling = os.path.abspath(arguments.starling)
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)

    native = work / "native"
    if not native.exists():
        native.mkdir()
        run("tar", "-C", native, "--xattrs", "--xattrs-include=*", "-xf", arguments.image / "l2.tar")
    layout = work / "oci"
    if not layout.exists():
        run("umoci", "init", "--layout", layout)
        run("umoci", "new", "--image", f"{layout}:plain")
        run("umoci", "raw", "add-layer", "--image", f"{layout}:plain", arguments.image / "l2.tar")
        run(starling, "convert", f"oci:{layout}:plain", f"oci:{layout}:esgz", stdout=subprocess.DEVNULL)

    lazy = work / "lazy"
    lazy.mkdir(exist_ok=True)
    server = subprocess.Popen([starling, "mount", "--foreground", "--root", work / "root",
                               f"oci:{layout}:esgz", lazy])
    try:
        while not os.path.ismount(lazy):
            if server.poll() is not None:
                raise RuntimeError("starling mount failed")
            time.sleep(0.05)
        seconds(WORKLOADS["read-all"], lazy)

        results = {}
        for name, command in WORKLOADS.items():
            for state in ("cold", "warm"):
                best = {"ext4": float("inf"), "starling": float("inf")}
                for _ in range(arguments.rounds):
                    for side, directory in (("ext4", native), ("starling", lazy)):
                        if state == "cold":
                            drop_caches()
                        best[side] = min(best[side], seconds(command, directory))
                best["ratio"] = best["starling"] / best["ext4"]
                results[f"{name} {state}"] = best
        memory = anonymous_kib(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=30)

    if arguments.json:
        print(json.dumps({"seconds": results, "anonymous_kib": memory}))
        return
    print(f"{'':16}{'ext4 s':>10}{'starling s':>12}{'ratio':>8}")
    for name, best in results.items():
        print(f"{name:16}{best['ext4']:>10.3f}{best['starling']:>12.3f}{best['ratio']:>8.2f}")
    print(f"anonymous memory of the server: {memory / 1024:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())

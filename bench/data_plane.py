#!/usr/bin/env python3
"""How fast is a fully held layer next to the same files on ext4?

data_plane.py MOUNT_BENCH TAR WORK_DIRECTORY

Shows TAR (such as layer 2 of `ml`, bench/ml-image.sh) as a layer by each data plane of mount_bench, reads it
once so that all of it is held, and measures find (stat of every file) and read-all (every byte) there and
on the same tar unpacked below the work directory: with cold caches (drop_caches) and warm ones. Every number is
the least of --rounds rounds, all sides interleaved. Prints seconds, ratios to ext4, CPU seconds of the server and
the page cache after a cold read-all. Needs root. Runs alone: anything else on the machine shows.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

WORKLOADS = {
    "find": "find . -printf %s",
    "read-all": "tar cf - . | cat",
}


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def drop_caches():
    run("sync")
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def cached_kib():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Cached:"):
            return int(line.split()[1])
    raise RuntimeError("no Cached in /proc/meminfo")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds(command, directory):
    start = time.perf_counter()
    run("sh", "-c", command, cwd=directory, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def wait_for_another_mount(path, device):
    """A complete layer changes its mount in the background."""
    for _ in range(600):
        if os.stat(path).st_dev != device:
            return
        time.sleep(0.05)
    raise RuntimeError(f"{path} did not go over to the stored files")


def measure(sides, server, rounds):
    """{workload and state: {side: {seconds, cpu, cache_mib}}}, the least of each."""
    results = {}
    for name, command in WORKLOADS.items():
        for state in ("cold", "warm"):
            best = {}
            for _ in range(rounds):
                for side, directory in sides.items():
                    if state == "cold":
                        drop_caches()
                    else:
                        seconds(command, directory)
                    cpu, cache = cpu_seconds(server), cached_kib()
                    one = {
                        "seconds": seconds(command, directory),
                        "cpu": cpu_seconds(server) - cpu,
                        "cache_mib": (cached_kib() - cache) / 1024,
                    }
                    old = best.setdefault(side, one)
                    best[side] = {key: min(value, old[key]) for key, value in one.items()}
            results[f"{name} {state}"] = best
    return results


def print_table(results):
    sides = list(next(iter(results.values())))
    print(f"{'':16}" + "".join(f"{side:>24}" for side in sides))
    for name, best in results.items():
        cells = []
        for side in sides:
            ratio = best[side]["seconds"] / best["ext4"]["seconds"]
            cells.append(f"{best[side]['seconds']:.3f} s {ratio:5.2f} {best[side]['cpu']:5.2f} cpu")
        print(f"{name:16}" + "".join(f"{cell:>24}" for cell in cells))
    cache = results["read-all cold"]
    print("page cache after a cold read-all, MiB: " +
          ", ".join(f"{side} {cache[side]['cache_mib']:.0f}" for side in sides))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mount_bench")
    parser.add_argument("tar", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)

    native = work / "native"
    if not native.exists():
        native.mkdir()
        run("tar", "-C", native, "--xattrs", "--xattrs-include=*", "-xf", arguments.tar)

    server = subprocess.Popen([arguments.mount_bench, arguments.tar, work / "hosts"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        sides = {"ext4": native}
        for _ in range(3):
            name, _, directory = server.stdout.readline().rstrip("\n").partition(" ")
            if not directory:
                raise RuntimeError("mount_bench failed")
            sides[name] = pathlib.Path(directory)
        device = os.stat(sides["stored"]).st_dev
        for name in ("tree", "erofs", "stored"):
            print(f"first read of all, {name}: {seconds(WORKLOADS['read-all'], sides[name]):.2f} s", file=sys.stderr)
        wait_for_another_mount(sides["stored"], device)
        results = measure(sides, server.pid, arguments.rounds)
    finally:
        server.stdin.close()
        server.wait(timeout=60)

    if arguments.json:
        print(json.dumps(results))
    else:
        print_table(results)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""How long until a container works? Starling next to overlayfs and stargz-snapshotter, in one run.

Every measurement starts from nothing: a containerd 2.3 of its own in an empty directory, the system's daemon, an
image in a registry on loopback, directly or behind a link of 20 ms and 400 Mbit/s (bench/netproxy). It pulls, runs
the image's job, again three times, and three times more with a cold page cache. Or it pulls ten images (`services`)
and runs many of their containers at once. Systems take turns; the tables have medians.
Needs root. Runs alone: anything else on the machine shows.

  run.py                                             everything that is not optional, 5 runs, an hour and a half
  run.py --only ml --systems starling,stargz --links wan --runs 1
  run.py --only ml --systems starling-optimized,starling-peer-optimized,stargz-optimized,stargz-peer-optimized --links wan
  run.py --only services --containers 1,50 --systems starling --links wan
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from harness import concurrent, images, peers, processes, report, scenario, servers, summary, systems  # noqa: E402

TREE = pathlib.Path(__file__).resolve().parents[1]


class Programs:
    """The paths of all that is run."""

    def __init__(self, built, arguments, chosen, links):
        self.starlingd = pathlib.Path(arguments.starlingd).resolve()
        self.starling = pathlib.Path(arguments.starling).resolve()
        for program in (self.starlingd, self.starling):
            if not program.exists():
                raise processes.BenchError(f"{program} is missing: make release")
        self.containerd_bin = built.containerd()
        self.netproxy = built.netproxy() if any(link.shaped for link in links) else None
        needs_erofs = any(system.snapshotter == "erofs" for system in chosen)
        self.erofs_tools = built.mkfs_erofs_directory() if needs_erofs else ""
        self.stargz = built.stargz() if any(system.daemon == "stargz" for system in chosen) else None

    def daemon_command(self, daemon):
        if daemon == "stargz":
            return [str(self.stargz), "-address", "{address}", "-root", "{root}"]
        return [str(self.starlingd), "--address", "{address}", "--root", "{root}"]


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


SERVICES = "services"  # in --only: the ten images whose containers start at once


def choose(known, names, what, default):
    if names is None:
        return [known[name] for name in default]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise processes.BenchError(f"no {what} {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in names]


def systems_of(image, names):
    default = systems.DEFAULT_SYSTEMS if image.every_system else systems.MAIN_SYSTEMS
    return choose(systems.SYSTEMS, names, "system", default)


def images_of(names):
    """(the images to measure one by one, those whose containers start at once)"""
    if names is None:
        names = [image.name for image in images.IMAGES.values() if not image.optional]
    singles = choose({**images.IMAGES, SERVICES: None}, names, "image", ())
    return [image for image in singles if image], images.SERVICES if SERVICES in names else ()


def words(text):
    return [word for word in text.split(",") if word]


def counts(text):
    numbers = [int(word) for word in words(text)]
    if not numbers or min(numbers) < 1:
        raise ValueError(text)
    return numbers


def machine():
    cpu = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    cores = len([line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("processor")])
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // (1 << 20)
    commit = subprocess.run(["git", "-C", str(TREE), "describe", "--always", "--dirty", "--abbrev=12"], check=False,
                            capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu, "cores": cores, "memory_gib": memory, "kernel": platform.release(), "commit": commit,
            "date": time.strftime("%Y-%m-%d"), "load": pathlib.Path("/proc/loadavg").read_text().split()[0]}


def measurements(chosen, services, chosen_links, container_counts, layers, programs, store, work):
    """One round: (key, function that measures it, what to say of its numbers)."""
    for image, chosen_systems in chosen:
        for link in chosen_links:
            for system in chosen_systems:
                yield (summary.Key(image.name, link.name, system.name),
                       functools.partial(scenario.measure, image, link, system, layers[image.name, system.form], programs,
                                         store, work),
                       "pull {pull_s:.2f} s, first output {first_output_s:.2f} s, again {again_first_s:.2f} s, "
                       "cold {cold_cache_first_s:.2f} s, {requests} requests, {megabytes:.1f} MB")
    for link in chosen_links:
        for system in services:
            for containers in container_counts:
                yield (concurrent.Key(link.name, system.name, containers),
                       functools.partial(concurrent.measure, images.SERVICES, link, system,
                                         [layers[image.name, system.form] for image in images.SERVICES], containers,
                                         programs, store, work),
                       "pull {pull_s:.2f} s, start {start_s:.2f} s, jobs {jobs_s:.2f} s, read p50 {p50_ms:.2f} ms, "
                       "p99 {p99_ms:.1f} ms, max {max_ms:.1f} ms, {megabytes:.1f} MB")


def measure_all(arguments, chosen_images, service_images, chosen_links, work, stack, runs, failures):
    """Adds each measurement to `runs` (key -> list of numbers), and to `failures` what could not be measured."""
    built = peers.Peers(arguments.directory / "peers", say)
    chosen = [(image, systems_of(image, arguments.systems)) for image in chosen_images]
    services = systems_of(service_images[0], arguments.systems) if service_images else []
    programs = Programs(built, arguments, [system for _, each in chosen for system in each] + services, chosen_links)
    registry = stack.enter_context(servers.Registry(work, arguments.directory / "registry"))
    store = images.ImageStore(arguments.directory, registry, programs.starling, say, built)
    wanted = chosen + [(image, services) for image in service_images]
    layers = {(image.name, form): store.provide(image, form)
              for image, each in wanted for form in sorted({system.form for system in each})}
    for image, each in wanted:
        for form in sorted({system.form for system in each if system.profile}):
            store.attach_profile(image, form)

    deadline = time.monotonic() + arguments.minutes * 60
    for number in range(1, arguments.runs + 1):
        for key, measure, told in measurements(chosen, services, chosen_links, arguments.containers, layers, programs, store,
                                               work):
            if time.monotonic() > deadline:
                failures.append(f"stopped after {arguments.minutes} minutes, in round {number}")
                return
            try:
                numbers = measure()
            except processes.BenchError as error:
                failures.append(f"{key}, round {number}: {error}")
                say(failures[-1])
                continue
            runs.setdefault(key, []).append(numbers)
            say(f"{number}/{arguments.runs} {key}: {told.format(**numbers, megabytes=numbers['bytes'] / 1e6)}")


def earlier_runs(file, commit):
    """What a file of --json has, to go on from: its runs and the commands that made them."""
    if not file or not file.exists():
        return {}, []
    found = json.loads(file.read_text())
    if found["machine"]["commit"] != commit:
        raise processes.BenchError(f"{file} is of commit {found['machine']['commit']}, this is {commit}")
    runs = {}
    for name, kind in (("runs", summary.Key), ("concurrent", concurrent.Key)):
        for each in found.get(name, []):
            numbers = each.pop("runs")
            runs[kind(**each)] = numbers
    return runs, found["commands"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=words, help=f"images: {','.join([*images.IMAGES, SERVICES])}")
    parser.add_argument("--systems", type=words, help=f"of {','.join(systems.SYSTEMS)}")
    parser.add_argument("--links", type=words, help=f"of {','.join(systems.LINKS)}")
    parser.add_argument("--containers", type=counts, default=[1, 10, 50],
                        help="of services: how many at once; 1,10,50 if not said")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=180, help="no new measurement after that time")
    parser.add_argument("--directory", type=pathlib.Path, default="/var/tmp/starling-bench",
                        help="images, registry and peers, kept between runs")
    parser.add_argument("--starlingd", default=TREE / "build/release/apps/starlingd/starlingd")
    parser.add_argument("--starling", default=TREE / "build/release/apps/starling/starling")
    parser.add_argument("--json", type=pathlib.Path, help="also write every number of every run there")
    parser.add_argument("--add", action="store_true", help="to the runs that the --json file has, of the same commit")
    parser.add_argument("--document", type=pathlib.Path,
                        help="also replace the generated part of that page, and its plot")
    arguments = parser.parse_args()
    arguments.directory = arguments.directory.resolve()
    if arguments.document:
        try:
            report.replace_generated(arguments.document.read_text(), "")
        except (OSError, ValueError) as error:
            parser.error(f"--document: {error}")
    return arguments


def main():
    arguments = parse_arguments()

    def stop(*_):
        # Once is enough: what follows is the cleaning up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    facts, runs, commands, failures, stopped = machine(), {}, [], [], False
    try:
        chosen_images, service_images = images_of(arguments.only)
        chosen_links = choose(systems.LINKS, arguments.links, "link", systems.LINKS)
        runs, commands = earlier_runs(arguments.json, facts["commit"]) if arguments.add else ({}, [])
        commands.append(sys.argv[1:])
        arguments.directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            work = pathlib.Path(tempfile.mkdtemp(prefix="w", dir=arguments.directory))
            stack.callback(processes.remove_tree, work)
            processes.spread(work)
            measure_all(arguments, chosen_images, service_images, chosen_links, work, stack, runs, failures)
    except KeyboardInterrupt:
        failures.append("stopped")
        stopped = True
    except processes.BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1

    order = [summary.Key(image, link, system) for image in images.IMAGES for link in systems.LINKS
             for system in systems.SYSTEMS]
    results = {key: summary.medians(runs[key]) for key in order if key in runs}
    at_once = {key: summary.medians(runs[key]) for key in concurrent.ordered(runs)}
    if results or at_once:
        print_results(arguments, facts, commands, results, at_once, runs, failures, stopped)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 130 if stopped else 1 if failures else 0


def print_results(arguments, facts, commands, results, at_once, runs, failures, stopped):
    if arguments.json:
        arguments.json.write_text(json.dumps({
            "machine": facts, "commands": commands,
            "runs": [{**dataclasses.asdict(key), "runs": runs[key]} for key in results],
            "concurrent": [{**dataclasses.asdict(key), "runs": runs[key]} for key in at_once],
            "failures": failures}, indent=1))
    if arguments.document and not stopped:
        report.write(arguments.document,
                     report.generated(results, at_once, runs, facts, commands, failures,
                                      arguments.document.with_suffix(".svg").name), report.plot(results))
    print(f"commit {facts['commit']}, kernel {facts['kernel']}, {facts['cores']} cores {facts['cpu']}, load before "
          f"{facts['load']}; medians of up to {arguments.runs} runs")
    for rows in [summary.table(results)] * bool(results) + [concurrent.table(at_once)] * bool(at_once):
        print(summary.as_text(rows))


if __name__ == "__main__":
    sys.exit(main())

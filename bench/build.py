#!/usr/bin/env python3
"""How long does a build take? `starling build` next to buildkitd v0.25.0, with its overlayfs and its stargz worker.

Every case starts from empty stores: a registry on loopback, directly or behind a link of 20 ms and 400 Mbit/s
(bench/netproxy), and a containerd 2.3 with starlingd, or a buildkitd, of its own. All write eStargz. Systems take
turns; the table has medians and ratios. Needs root and the images of bench/run.py. Runs alone.

  build.py                                    all cases, 3 rounds
  build.py --only ml,runs --runs 1
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from harness import images, peers, processes, servers, systems  # noqa: E402

TREE = pathlib.Path(__file__).resolve().parents[1]


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


class Starling:
    """starlingd, containerd and the command line."""

    name = "starling"

    def __init__(self, stack, work, programs):
        self.work, self.starling = work, programs.starling
        daemon = stack.enter_context(servers.SnapshotterDaemon(
            work, "starlingd", [str(programs.starlingd), "--address", "{address}", "--root", "{root}"]))
        self.containerd = stack.enter_context(servers.Containerd(work, programs.containerd_bin, daemon))

    def build(self, context, dockerfile, name, push, no_cache=False):
        command = [self.starling, "build", "-q", "--address", self.containerd.address, "--state-dir", self.work / "state",
                   "-f", dockerfile, "-t", name, *(["--push"] if push else []), *(["--no-cache"] if no_cache else []), context]
        processes.run(*command, timeout=900)


class BuildkitServer(servers.Server):
    name = "buildkitd"

    def __init__(self, directory, bin_directory, snapshotter, hosts):
        super().__init__(directory)
        self.bin, self.snapshotter, self.hosts = bin_directory, snapshotter, hosts
        self.address = f"unix://{self.directory}/buildkitd.sock"

    def start(self):
        configuration = self.directory / "buildkitd.toml"
        configuration.write_text("".join(f'[registry."{host}"]\n  http = true\n' for host in self.hosts))
        self.process = processes.start(
            self.log, self.bin / "buildkitd", "--addr", self.address, "--root", self.directory / "buildkit",
            "--config", configuration, "--oci-worker=true", "--containerd-worker=false",
            f"--oci-worker-snapshotter={self.snapshotter}")
        processes.wait_until("buildkitd's first answer", 60, self.answers, self.process)

    def __exit__(self, *_):
        super().__exit__()
        # Its stargz worker leaves its mounts behind.
        for mount in reversed(processes.mounts_below(self.directory)):
            processes.run("umount", "--lazy", mount)

    def answers(self):
        with contextlib.suppress(processes.BenchError):
            processes.run(self.bin / "buildctl", "--addr", self.address, "debug", "workers")
            return True
        return False


class Buildkit:
    """buildkitd and buildctl."""

    def __init__(self, stack, work, programs, snapshotter):
        self.server = stack.enter_context(BuildkitServer(work, programs.buildkit, snapshotter, programs.hosts))

    def build(self, context, dockerfile, name, push, no_cache=False):
        output = (f"type=image,name={name},compression=estargz,oci-mediatypes=true,registry.insecure=true,"
                  f"push={'true' if push else 'false'}")
        processes.run(self.server.bin / "buildctl", "--addr", self.server.address, "build", "--progress=plain",
                      "--frontend=dockerfile.v0", f"--local=context={context}", f"--local=dockerfile={dockerfile.parent}",
                      f"--opt=filename={dockerfile.name}", f"--output={output}", *(["--no-cache"] if no_cache else []),
                      timeout=900)


SYSTEMS = {
    "starling": lambda stack, work, programs: Starling(stack, work, programs),
    "buildkit": lambda stack, work, programs: Buildkit(stack, work, programs, "overlayfs"),
    "buildkit-stargz": lambda stack, work, programs: Buildkit(stack, work, programs, "stargz"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """`lines` of a Dockerfile; BASE is the image `ml`, SMALL is `layers3`. The time of the last of `builds` builds."""

    about: str
    lines: str
    push: bool = False
    link: str = "loopback"
    builds: int = 1
    files: int = 0  # in the context
    change: bool = False  # of one file, before the last build


CASES = {
    "ml": Case("FROM the eStargz `ml`, one RUN of python3, one COPY, push; shaped link, empty stores",
               "FROM BASE\nRUN python3 -c 'print(1)'\nCOPY file /file\n", push=True, link="wan", files=1),
    "runs": Case("30 tiny RUN", "FROM SMALL\n" + "".join(f"RUN echo {number} >/f{number}\n" for number in range(30))),
    "nothing": Case("the same once more", "FROM SMALL\n" + "".join(f"RUN echo {number} >/f{number}\n" for number in range(30)),
                    builds=2),
    "commit": Case("RUN that writes 500 MB in 20,000 files, committed as eStargz",
                   "FROM SMALL\nRUN mkdir /d && cd /d && head -c 25000 /dev/urandom >/seed && "
                   "for d in $(seq 200); do mkdir $d; for f in $(seq 100); do cp /seed $d/$f; done; done\n", push=True),
    "context": Case("50,000 files in the context, one changed", "FROM scratch\nCOPY . /c\n", builds=2, files=50_000, change=True),
}


def make_context(directory, files):
    directory.mkdir()
    for number in range(files):
        folder = directory if files == 1 else directory / str(number // 100)
        folder.mkdir(exist_ok=True)
        (folder / ("file" if files == 1 else str(number % 100))).write_text(f"file {number}\n" * 20)


def measure(case, system, programs, registry, store_work):
    """Seconds of the last build, and requests and bytes of the registry's answers since it began."""
    with tempfile.TemporaryDirectory(prefix="build-", dir=store_work) as directory, contextlib.ExitStack() as stack:
        work = pathlib.Path(directory)
        processes.spread(work)
        link = systems.LINKS[case.link]
        host = registry.host
        if link.shaped:
            host = stack.enter_context(servers.NetProxy(work, programs.netproxy, registry.host, link)).host
        programs.hosts = [host]
        context = work / "context"
        make_context(context, case.files)
        dockerfile = work / "Dockerfile"
        dockerfile.write_text(case.lines.replace("BASE", programs.reference("ml", host))
                              .replace("SMALL", programs.reference("layers3", host)))
        (work / "server").mkdir()
        built = SYSTEMS[system](stack, work / "server", programs)
        for number in range(case.builds):
            if number + 1 == case.builds and case.change:
                (context / "7" / "7").write_text("changed\n")
            mark = registry.mark()
            begun = time.monotonic()
            # A repository of its own each time: a push finds nothing there.
            built.build(context, dockerfile, f"{host}/build/{system}-{time.time_ns()}:1", case.push)
            seconds = time.monotonic() - begun
        requests, size = registry.cost_since(mark)
        return {"seconds": seconds, "requests": requests, "bytes": size}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path("/var/tmp/starling-bench"))
    parser.add_argument("--only", default=",".join(CASES), help="cases")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--starling", type=pathlib.Path, default=TREE / "build/release/apps/starling/starling")
    parser.add_argument("--starlingd", type=pathlib.Path, default=TREE / "build/release/apps/starlingd/starlingd")
    parser.add_argument("--json", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    cases = options.only.split(",")
    names = options.systems.split(",")
    results = {}
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="builds-", dir=options.directory)))
        built = peers.Peers(options.directory / "peers", say)
        programs = argparse.Namespace(starling=options.starling.resolve(), starlingd=options.starlingd.resolve(),
                                      containerd_bin=built.containerd(), netproxy=built.netproxy(), hosts=[],
                                      buildkit=built.buildkit() if any("buildkit" in name for name in names) else None)
        registry = stack.enter_context(servers.Registry(work, options.directory / "registry"))
        store = images.ImageStore(options.directory, registry, programs.starling, say)
        programs.reference = lambda name, host: store.reference(images.IMAGES[name], "esgz", host)
        for image in ("ml", "layers3"):
            store.provide(images.IMAGES[image], "esgz")
        for number in range(options.runs):
            for case in cases:
                for system in names:
                    try:
                        numbers = measure(CASES[case], system, programs, registry, work)
                    except processes.BenchError as error:
                        say(f"{case} {system}: {error}")
                        continue
                    results.setdefault(case, {}).setdefault(system, []).append(numbers)
                    say(f"{number + 1}/{options.runs} {case} {system}: {numbers['seconds']:.2f} s, "
                        f"{numbers['requests']} requests, {numbers['bytes'] / 1e6:.2f} MB")
    print("| case | " + " | ".join(names) + " | of the best peer |\n|---|" + "---|" * (len(names) + 1))
    for case in cases:
        medians = {system: statistics.median(run["seconds"] for run in runs)
                   for system, runs in results.get(case, {}).items()}
        others = [seconds for system, seconds in medians.items() if system != "starling"]
        ratio = f"{medians['starling'] / min(others):.2f}" if others and "starling" in medians else "-"
        print(f"| {CASES[case].about} | " + " | ".join(f"{medians[name]:.2f} s" if name in medians else "failed"
                                                        for name in names) + f" | {ratio} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

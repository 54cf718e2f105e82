#!/usr/bin/env python3
"""Builds each case of the tables with buildah and with `starling build`, and compares the files and the configuration.

build_cases.py --tables DIR --registry HOST:PORT --containerd SOCKET --work DIR [--only REGEX] [--jobs N]

What differs on purpose stands in build_deviations.py with the reason; a deviation that is none any more is a failure, too.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tarfile
import time

import build_contexts
import build_deviations

BASES = {
    "mirror.gcr.io/busybox": "busybox",
    "mirror.gcr.io/alpine": "alpine",
    "quay.io/libpod/centos:7": "centos",
}
CONFIG_FIELDS = ("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal",
                 "User", "Volumes", "WorkingDir")
SECONDS_PER_BUILD = 60


class Builders:
    """The two builders, with everything that they keep in a directory of its own. buildah's has one for each that runs at once:
    to remove an image there is to take away layers that another build is about to use."""

    def __init__(self, options):
        self.registry = options.registry
        self.containerd = options.containerd
        self.work = pathlib.Path(options.work)
        self.policy = self.work / "policy.json"
        self.policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.storages = queue.SimpleQueue()
        for number in range(options.jobs):
            self.storages.put(self.work / f"storage{number}")
        self.registries = self.work / "registries.conf"
        self.registries.write_text(f'[[registry]]\nlocation = "{self.registry}"\ninsecure = true\n')

    def with_bases_here(self, text):
        for name, here in BASES.items():
            text = re.sub(re.escape(name) + r"(@sha256:[0-9a-f]{64})?", f"{self.registry}/{here}", text)
        return text

    def buildah(self, case):
        storage = self.storages.get()
        try:
            return self.buildah_in(storage, case)
        finally:
            self.storages.put(storage)

    def buildah_in(self, storage, case):
        """The listed files and the configuration, or what buildah says of its failure."""
        environment = dict(os.environ, CONTAINERS_REGISTRIES_CONF=str(self.registries), TMPDIR=str(case.directory))
        base = ["buildah", "--root", storage, "--runroot", f"{storage}.run", "--storage-driver", "vfs"]
        tar, image = case.directory / "buildah.tar", case.directory / "buildah.id"
        command = [*base, "bud", "--isolation", "chroot", "--format", "docker", "--layers=false", "--identity-label=false",
                   "--tls-verify=false", "--signature-policy", self.policy, "--iidfile", image, "--output", f"type=tar,dest={tar}",
                   "-f", case.dockerfile, *case.arguments, case.context]
        ended = run(command, environment)
        if ended.returncode != 0:
            return None, None, ended.stderr
        identity = image.read_text().strip()
        described = json.loads(run([*base, "inspect", "--type", "image", identity], environment).stdout)
        files = list_tar(tar)
        tar.unlink()
        run([*base, "rmi", "-f", identity], environment)
        return files, described["Docker"]["config"], ended.stderr

    def starling(self, case):
        base = ["starling", "build", "--address", self.containerd, "--state-dir", self.work / "state",
                "--plain-http", self.registry, "-f", case.dockerfile, *case.arguments]
        tar = case.directory / "starling.tar"
        ended = run([*base, "--progress", "plain", "--output", f"type=tar,dest={tar}", case.context])
        if ended.returncode != 0:
            return None, None, ended.stderr
        printed = run([*base, "--print", "config", case.context])
        if printed.returncode != 0:
            return None, None, printed.stderr
        files = list_tar(tar)
        tar.unlink()
        return files, json.loads(printed.stdout).get("config") or {}, ended.stderr


class Case:
    """One row of the table as files: a Dockerfile, a context, and arguments that both builders know."""

    def __init__(self, row, name, tables, builders):
        self.name = name
        self.must_fail = "shouldFailAt" in row
        self.directory = builders.work / re.sub(r"\W+", "-", name)
        self.directory.mkdir()
        original = tables / "conformance/testdata" / row.get("contextDir", "")
        self.context = self.directory / "context"
        # The tables' modes are those of whoever unpacked them.
        if "dockerfile" in row or "contextDir" in row:
            copy_with_usual_modes(original, self.context)
        else:
            self.context.mkdir()
        build_contexts.PREPARED.get(name, lambda context: None)(self.context)
        text = row.get("dockerfileContents")
        if isinstance(text, dict):
            text = build_contexts.DOCKERFILES[name]
        if not text:
            text = (original / row.get("dockerfile", "Dockerfile")).read_text()
        text = text.replace(*build_contexts.CORRECTED.get(name, ("", "")))
        self.dockerfile = self.directory / "Dockerfile"
        self.dockerfile.write_text(builders.with_bases_here(text))
        self.arguments = []
        for key, value in row.get("buildArgs", {}).items():
            self.arguments += ["--build-arg", f"{key}={builders.with_bases_here(value)}"]


def copy_with_usual_modes(source, target):
    shutil.copytree(source, target, symlinks=True)
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def run(command, environment=None):
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, env=environment, timeout=SECONDS_PER_BUILD)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"took longer than {SECONDS_PER_BUILD} s")


def shown(content):
    """Short text as it is, so that a difference can be seen; the digest of anything else."""
    if len(content) <= 300:
        try:
            return content.decode()
        except UnicodeDecodeError:
            pass
    return "sha256:" + hashlib.sha256(content).hexdigest()


def list_tar(path):
    """Path -> what is compared of it. A hard link is what it links to, and the first path of its group."""
    files, same = {}, {}
    with tarfile.open(path) as tar:
        for member in tar:
            name = os.path.normpath(member.name.lstrip("/"))
            if name == ".":
                continue
            if member.islnk():
                same.setdefault(os.path.normpath(member.linkname.lstrip("/")), []).append(name)
                continue
            entry = {"type": member.type.decode(), "mode": oct(member.mode & 0o7777),
                     "owner": f"{member.uid}:{member.gid}"}
            if member.issym():
                entry["target"] = member.linkname
                del entry["mode"]
            if member.isreg():
                entry["type"] = "0"
                entry["content"] = shown(tar.extractfile(member).read())
            if member.ischr() or member.isblk():
                entry["device"] = f"{member.devmajor}:{member.devminor}"
            entry.update({key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")})
            files[name] = entry
    for target, names in same.items():
        group = sorted([target, *names])
        for name in group:
            files[name] = dict(files[target], links=",".join(group))
    return files


def differences(want, got):
    """Lines: a path or field of the configuration, what buildah has, what Starling has."""
    lines = []
    (want_files, want_config), (got_files, got_config) = want, got
    for name in sorted({*want_files, *got_files}):
        theirs, ours = want_files.get(name), got_files.get(name)
        if theirs is None or ours is None:
            lines.append(f"/{name}: {'only Starling' if theirs is None else 'only buildah'} has it")
            continue
        for key in sorted({*theirs, *ours}):
            if theirs.get(key) != ours.get(key):
                lines.append(f"/{name} {key}: buildah {theirs.get(key)!r}, Starling {ours.get(key)!r}".replace("'", ""))
    for field in CONFIG_FIELDS:
        theirs, ours = want_config.get(field) or None, got_config.get(field) or None
        if theirs != ours:
            lines.append(f"config {field}: buildah {json.dumps(theirs)}, Starling {json.dumps(ours)}")
    return [line for line in lines if not any(re.search(rule, line) for rule in build_deviations.EVERYWHERE)]


def last_line(text):
    return (text.strip().split("\n") or [""])[-1][:600]


def judge(case, builders):
    """What is wrong with the case, "" if nothing is; and the seconds of each builder."""
    begin = time.monotonic()
    got = builders.starling(case)
    seconds = [time.monotonic() - begin, 0]
    expected = build_deviations.EXPECTED.get(case.name)
    if case.must_fail and expected is None:
        return "" if got[0] is None else "Starling builds what must not be built", seconds
    if got[0] is None:
        return f"Starling fails: {last_line(got[2])}", seconds
    if expected is not None:
        return expected(got[0]), seconds
    begin = time.monotonic()
    want = builders.buildah(case)
    seconds[1] = time.monotonic() - begin
    if want[0] is None:
        return f"buildah fails: {last_line(want[2])}", seconds
    return "\n".join(differences(want[:2], got[:2])), seconds


def main():
    parser = argparse.ArgumentParser()
    for name in ("tables", "registry", "containerd", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    pathlib.Path(options.work).mkdir(parents=True)
    tables = pathlib.Path(options.tables)
    builders = Builders(options)
    counts = {}
    cases = []
    rows = [*json.loads((tables / "conformance/cases.json").read_text()), *build_contexts.MORE_CASES]
    for row in rows:
        number = counts[row["name"]] = counts.get(row["name"], 0) + 1
        name = row["name"] + (f"#{number}" if number > 1 else "")
        if re.search(options.only, name) and name not in build_deviations.NOT_RUN:
            cases.append((row, name))

    def work(item):
        case = Case(*item, tables, builders)
        problem, seconds = judge(case, builders)
        shutil.rmtree(case.directory)
        return case.name, problem, seconds

    names = {name for _, name in cases} | {*build_deviations.NOT_RUN}
    listed = {*build_deviations.EXPECTED, *build_deviations.DEVIATIONS, *build_contexts.PREPARED, *build_contexts.CORRECTED}
    unknown = set() if options.only else listed - names
    same, known, bad = 0, 0, len(unknown)
    for name in sorted(unknown):
        print(f"FAIL: {name} is no case of the table")
    begin = time.monotonic()
    total = [0, 0]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, problem, seconds in pool.map(work, cases):
            total = [a + b for a, b in zip(total, seconds)]
            deviation = build_deviations.DEVIATIONS.get(name)
            if deviation is None:
                verdict = problem
            elif not problem:
                verdict = "no longer differs: remove it from build_deviations.py"
            else:
                verdict = "\n".join(line for line in problem.split("\n") if not re.search(deviation[1], line))
            if verdict:
                bad += 1
                print(f"FAIL: {name}\n" + "\n".join("    " + line for line in verdict.split("\n")), flush=True)
            elif deviation:
                known += 1
            else:
                same += 1
    print(f"{same} cases as expected, {known} differ for a known reason, {bad} fail, "
          f"{len(build_deviations.NOT_RUN)} not run; {sum(name in build_deviations.EXPECTED for _, name in cases)} judged by "
          f"what is written down instead of by buildah; {time.monotonic() - begin:.0f} s, {options.jobs} at once: "
          f"{total[0]:.0f} s of starling, {total[1]:.0f} s of buildah")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()

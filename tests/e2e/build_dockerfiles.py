#!/usr/bin/env python3
"""Builds the Dockerfiles of BuildKit's integration tests, whose RUN steps check what they got, with `starling build`.

build_dockerfiles.py --tables DIR --registry HOST:PORT --containerd SOCKET --work DIR [--only REGEX] [--jobs N]

A row of the table is a test: Dockerfiles, and how its context is made as far as that is data.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

SECONDS_PER_BUILD = 60

# What the tests pass to the builder.
SECRET = ["--secret", "id=mysecret,src={work}/secret"]
ALPINE_FOR_BUSYBOX = ["--build-context", "busybox=docker-image://{registry}/alpine"]
ARGUMENTS = {
    "testCopyChownCreateDest": ["--build-arg", "group=user"],
    "testDeviceRunEnv": ["--cdi-spec-dir", "{work}/cdi"],
    "testDockerfileAddChownExpand": ["--build-arg", "group=nobody"],
    "testGlobalArg": ["--build-arg", "tag=latest"],
    "testNamedImageContext#1": ALPINE_FOR_BUSYBOX,
    "testNamedImageContext#4": ["--build-context", "base=docker-image://{registry}/alpine"],
    "testSecretFileParams": SECRET,
    "testSecretAsEnviron": SECRET,
    "testSecretAsEnvironWithFileMount": SECRET,
    "testSSHSocketParams": ["--ssh", "default={work}/agent"],
}

# Tests that build each stage; with the others it is the last.
EACH_STAGE = ("testCopyParentsMissingDirectory", "testCopyRelativeParents")

# What must fail, and with which words.
NO_MODE = "is no mode"
FAIL = {
    "testAddInvalidChmod#1": NO_MODE,
    "testAddInvalidChmod#2": NO_MODE,
    "testCopyInvalidChmod#1": NO_MODE,
    "testCopyInvalidChmod#2": NO_MODE,
    "testCacheMountSourceEscape": "can't open '/victim/hostname'",
    "testCopyParentsMissingDirectory:nonexistentfile": "/test/nonexistent-file: not found",
    "testDockerfileCopyFromArgs": "is empty",
    "testDockerfileInvalidCommand": "exit code 127",
    "testDockerfileInvalidInstruction": "did you mean ENTRYPOINT",
    "testDockerignoreInvalid": "line 1: '!' needs a pattern",
    "testFrontendEvaluate": "/badfile: not found",
    "testHistoryError": "/notexist: not found",
    "testInvalidDefaultArgInFrom#2": "has no name",
    "testInvalidDefaultArgInFrom#3": "is not a tag",
    "testInvalidJSONCommands#1": "exit code 127",
    "testMountInvalid#1": "did you mean --mount",
    "testMountInvalid#2": "did you mean type",
    "testMountInvalid#3": "did you mean tmpfs",
    "testSecretRequiredWithoutValue": "secret mysecret is required",
    "testUndeclaredArg#7": "is empty",
    "testWarningsBeforeError": ":4:1: error: unknown instruction BADCMD",
    "testErrorsSourceMap#1": ":2:1: error",
    "testErrorsSourceMap#3": "Dockerfile:3\n",
    "testErrorsSourceMap#4": "Dockerfile:3\n",
    "testErrorsSourceMap#5": ":3:6: error: unknown flag --foo",
    "testErrorsSourceMap#6": ":3:6: error",
    "testErrorsSourceMap#7": "Dockerfile:2\n",
}

# Tests that need more than a Dockerfile and a context.
CLIENT = "its client makes contexts of its own"
FRAGMENT = "it is a piece of a text or a template"
NETWORK = "it needs an image that is not there"
NOT_RUN = {
    "testAddGit": FRAGMENT,
    "testAddGitChecksumCache": FRAGMENT,
    "testCopyChownExistingDir": FRAGMENT,
    "testDefaultPathEnvOnWindows": NETWORK,
    "testDockerfileCheckHostname": "it gives the steps a name of the host",
    "testExcludedFilesOnCopy#2": FRAGMENT,
    "testExcludedFilesOnCopy#3": FRAGMENT,
    "testFrontendInputs": CLIENT,
    "testFromPlatformFlagConstDisallowed#2": FRAGMENT,
    "testFromPlatformFlagConstDisallowed#3": FRAGMENT,
    "testGatewayProvenanceNestedInputProducer": CLIENT,
    "testGatewayProvenancePlainLLBInputFallback": CLIENT,
    "testGitProvenanceAttestation": CLIENT,
    "testGitQueryString": FRAGMENT,
    "testInsecureDevicesWhitelist": NETWORK,
    "testLinuxResources": "it needs the second version of control groups",
    "testLocalCustomSessionID": CLIENT,
    "testNamedImageContext#3": NETWORK,
    "testNamedInputContext#2": CLIENT,
    "testNamedMultiplatformInputContext#2": CLIENT,
    "testNamedOCILayoutContext": CLIENT,
    "testNamedOCILayoutContextExport#2": CLIENT,
    "testOCILayoutProvenance": CLIENT,
    "testOnBuildNamedContext": CLIENT,
    "testOutlineArgs": "it is looked at, not built",
    "testPlatformWithOSVersion": FRAGMENT,
    "testPullScratch#2": NETWORK,
    "testReproSourceDateEpoch": NETWORK,
    "testRunSecurityInsecure": "it needs every capability of the machine",
    "testSourceDateEpochContextHTTPLastModified": CLIENT,
    "testSourcePolicyWithNamedContext": CLIENT,
    "testTargetsList": "it is looked at, not built",
    "testUndeclaredArg#8": FRAGMENT,
    "testUndeclaredArg#9": FRAGMENT,
    "testUndeclaredArg#11": FRAGMENT,
    "testUndeclaredArg#13": FRAGMENT,
}

# Expressions in a context that stand for the Dockerfile or for all permissions.
KNOWN_EXPRESSION = re.compile(r"(?i)^(tc\.|dockerui\.Default|oci)?Dockerfile(\d|Name)?$|^fs\.ModePerm$")


def make_context(directory, operations):
    directory.mkdir(parents=True)
    for operation in operations or []:
        name, rest = operation["args"][0], operation["args"][1:]
        if isinstance(name, dict):
            continue
        if operation["op"] == "CreateDir":
            (directory / name).mkdir(exist_ok=True)
        elif operation["op"] == "Symlink":
            # fstest's order: what it leads to, then its name.
            (directory / rest[0]).symlink_to(name)
        elif not isinstance(rest[0], dict):
            path = directory / name
            if path.is_dir():
                continue
            path.write_text(rest[0] or "")
            path.chmod(rest[1] if isinstance(rest[1], int) else 0o777)


def why_not(test, text):
    """Why a Dockerfile of the table is not whole, or ""."""
    if re.search(r"(?<!%)%(\[\d\])?[sdvq]", text):
        return "its text is made in code"
    for operation in test["context"] or []:
        if any(isinstance(argument, dict) and not KNOWN_EXPRESSION.match(argument["$expr"]) for argument in operation["args"]):
            return "its context is made in code"
    return ""


def build(case, options):
    name, test, text, target = case
    directory = pathlib.Path(options.work) / re.sub(r"\W+", "-", name)
    context = directory / "context"
    make_context(context, test["context"])
    (context / "Dockerfile").unlink(missing_ok=True)
    (context / "Dockerfile").write_text(text)
    command = ["starling", "build", "--address", options.containerd, "--state-dir", f"{options.work}/state",
               "--plain-http", options.registry, "--progress", "plain", str(context)]
    for base in ("busybox", "busybox:stable", "alpine"):
        command += ["--build-context", f"{base}=docker-image://{options.registry}/{base.split(':')[0]}"]
    command += [argument.format(work=options.work, registry=options.registry) for argument in ARGUMENTS.get(name, [])]
    if target:
        command += ["--target", target]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                               timeout=SECONDS_PER_BUILD)
        code, said = ended.returncode, ended.stderr
    except subprocess.TimeoutExpired:
        code, said = -1, f"took longer than {SECONDS_PER_BUILD} s"
    shutil.rmtree(directory)
    wanted = FAIL.get(name)
    if wanted is None:
        return name, "" if code == 0 else "fails: " + said[-1500:]
    if code == 0:
        return name, f"builds, but should fail: {wanted}"
    return name, "" if re.search(wanted, said) else f"should say {wanted}: {said[-1500:]}"


def main():
    parser = argparse.ArgumentParser()
    for name in ("tables", "registry", "containerd", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    table = json.loads((pathlib.Path(options.tables) / "integration/dockerfiles_by_test.json").read_text())
    cases, left_out = [], {}
    known = set()
    for test in (test for tests in table.values() for test in tests):
        for number, text in enumerate(test["dockerfiles"], 1):
            name = test["test"] + (f"#{number}" if len(test["dockerfiles"]) > 1 else "")
            known.add(name)
            reason = NOT_RUN.get(name) or NOT_RUN.get(test["test"]) or why_not(test, text)
            if reason:
                left_out[reason] = left_out.get(reason, 0) + 1
            elif not re.search(options.only, name):
                continue
            elif name in EACH_STAGE:
                cases += [(f"{name}:{stage}", test, text, stage) for stage in re.findall(r"(?im)^FROM .* AS (.*)$", text)]
            else:
                cases.append((name, test, text, ""))
    known |= {name for name, *_ in cases} | {test["test"] for tests in table.values() for test in tests}
    work = pathlib.Path(options.work)
    work.mkdir(parents=True)
    (work / "secret").write_text("pw")
    (work / "cdi").mkdir()
    (work / "cdi" / "vendor1.json").write_text(json.dumps({
        "cdiVersion": "0.6.0", "kind": "vendor1.com/device", "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
        "devices": [{"name": "foo", "containerEdits": {"env": ["FOO=injected"]}}]}))
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(work / "agent"))
    agent.listen()
    begin = time.monotonic()
    bad = [] if options.only else sorted({*FAIL, *ARGUMENTS, *EACH_STAGE, *NOT_RUN} - known)
    for name in bad:
        print(f"FAIL: {name} is no test of the table")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, problem in pool.map(lambda case: build(case, options), cases):
            if problem:
                bad.append(name)
                print(f"FAIL: {name}: {problem}", flush=True)
    for reason, count in sorted(left_out.items()):
        print(f"{count} not run: {reason}")
    print(f"{len(cases) - len(bad)} of {len(cases)} Dockerfiles as expected in {time.monotonic() - begin:.0f} s, {options.jobs} at once")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

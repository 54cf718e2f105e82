#!/usr/bin/env python3
"""What systemd itself says of the units, as far as it does without being process 1."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
UNITS = ROOT / "systemd"
# Of 10; 9.6 is a service without any of it. What is left: root, CAP_SYS_ADMIN, mounts, the network and the file system.
EXPOSURE = 5.0
# Each gives the service a mount namespace of its own, out of which no mount reaches containerd. Source: systemd.exec(5).
NAMESPACED = (
    "BindPaths", "BindReadOnlyPaths", "DynamicUser", "ExecPaths", "InaccessiblePaths", "MountAPIVFS", "MountFlags", "NoExecPaths",
    "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectControlGroups", "ProtectHome",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadOnlyPaths",
    "ReadWritePaths", "RootDirectory", "RootImage", "TemporaryFileSystem")


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def settings(unit):
    """Every (key, value) of a unit file, in order."""
    lines = (UNITS / unit).read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"\w+=", line)]


def values(unit, key):
    return [value for name, value in settings(unit) if name == key]


def calls_of(group):
    """The system calls of "@group", or of one name."""
    if not group.startswith("@"):
        return {group}
    listed = analyze("syscall-filter", group)
    words = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return set().union(*(calls_of(word) for word in words if word and not word.startswith("#")))


class Units(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.units = [pathlib.Path(self.directory.name) / unit.name for unit in sorted(UNITS.iterdir())]
        for unit in self.units:
            # It need not be installed here.
            unit.write_text((UNITS / unit.name).read_text().replace("/usr/local/bin/starlingd", "/bin/true"))

    def test_systemd_understands_every_line(self):
        verified = analyze("verify", "--man=no", *map(str, self.units))
        self.assertEqual((verified.returncode, verified.stderr), (0, ""))

    def test_little_is_exposed(self):
        rated = analyze("security", "--offline=true", str(pathlib.Path(self.directory.name) / "starling.service"))
        overall = re.search(r"Overall exposure level for starling.service: (\d+\.\d)", rated.stdout)
        self.assertIsNotNone(overall, rated.stderr)
        self.assertLessEqual(float(overall[1]), EXPOSURE, rated.stdout)

    def test_mounts_reach_containerd(self):
        self.assertEqual([key for key, _ in settings("starling.service") if key in NAMESPACED], [])

    def test_the_server_may_use_what_its_own_limits_allow(self):
        allowed, refused = set(), set()
        for value in values("starling.service", "SystemCallFilter"):
            calls = set().union(*map(calls_of, value.lstrip("~").split()))
            (refused if value.startswith("~") else allowed).update(calls)
        source = (ROOT / "confine/system_calls.cc").read_text()
        table = source[source.index("kAllowed[] = {"):source.index("};")]
        own = set(" ".join(re.findall(r'"([^"]*)"', table)).split())
        self.assertGreater(len(own), 200)
        # Of systemd's groups; the calls that the architecture lacks are in none.
        self.assertEqual(own - allowed | own & refused, {"waitpid"} - allowed)

    def test_only_root_reaches_the_socket(self):
        self.assertEqual(values("starling.socket", "SocketMode"), ["0600"])
        self.assertEqual(values("starling.service", "UMask"), ["0077"])
        self.assertEqual(values("starling.service", "StateDirectoryMode"), ["0700"])


if __name__ == "__main__":
    if shutil.which("systemd-analyze") is None:
        print("needs systemd-analyze")
        sys.exit(77)
    unittest.main()

"""Builds what is measured against, from the Go module proxy, once: into <cache>/bin."""

import os
import pathlib
import shutil

from harness import processes

BENCH = pathlib.Path(__file__).resolve().parents[1]
TREE = BENCH.parent


class Peers:
    """Paths of the built programs. Sources that are ours are built each time; Go's own cache makes that quick."""

    def __init__(self, directory, say):
        self.bin = pathlib.Path(directory) / "bin"
        self.bin.mkdir(parents=True, exist_ok=True)
        self.say = say
        self.go = processes.run(TREE / "packaging/go.sh").strip()

    def _build(self, name, source, package="."):
        self.say(f"building {name}")
        (self.bin / name).parent.mkdir(exist_ok=True)
        processes.run(self.go, "build", "-trimpath", "-o", self.bin / name, package, cwd=source, timeout=1200,
                      env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"})
        return self.bin / name

    def netproxy(self):
        return self._build("netproxy", BENCH / "netproxy")

    def stargz(self):
        return self._build("stargz", BENCH / "peers/stargz")

    def stargz_optimize(self):
        return self._build("stargz-optimize", BENCH / "peers/stargz", "./optimize")

    def buildkit(self):
        """The directory with buildkitd and buildctl."""
        for program in ("buildkitd", "buildctl"):
            self._build(f"buildkit/{program}", BENCH / "peers/buildkit", f"github.com/moby/buildkit/cmd/{program}")
        return self.bin / "buildkit"

    def mkfs_erofs_directory(self):
        """To be put into containerd's PATH; "" where the machine's own mkfs.erofs can do the work."""
        if shutil.which("mkfs.erofs") and "--tar" in processes.run("mkfs.erofs", "--help"):
            return ""
        return self._build("erofs/mkfs.erofs", BENCH / "peers/mkfs.erofs").parent

    def containerd(self):
        """The directory with containerd 2.3, its ctr and its shim, shared with the end-to-end tests."""
        self.say("building containerd 2.3")
        return pathlib.Path(processes.run(TREE / "tests/e2e/tools.sh", timeout=1800).strip().splitlines()[-1])

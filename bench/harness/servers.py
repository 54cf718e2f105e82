"""The servers of one measurement. Each is a context manager: started and answering inside, gone after."""

import contextlib
import json
import mmap
import os
import pathlib
import subprocess
import urllib.request

from harness import processes


# Of containerd, and the name of its containers' cgroup: unlike any other program's.
NAMESPACE = f"bench-{os.getpid()}"
MAP_LOCKED = 0x2000  # mmap(2); the module mmap has no name for it


class Server:
    """Base: a process, its log, its end."""

    name = ""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.log = self.directory / f"{self.name}.log"
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process is not None:
            processes.stop(self.process)

    def last_lines(self, count=8):
        if not self.log.exists():
            return ""
        return "\n".join(line[:400] for line in self.log.read_text(errors="replace").splitlines()[-count:])


class Registry(Server):
    """docker-registry on loopback; its log counts requests and bytes."""

    name = "registry"

    def __init__(self, directory, storage):
        super().__init__(directory)
        self.storage = pathlib.Path(storage)
        self.port = 0

    def start(self):
        self.port = processes.free_port()
        configuration = self.directory / "registry.yml"
        configuration.write_text(
            "version: 0.1\n"
            "log: {accesslog: {disabled: true}, formatter: json}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.storage}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'}}\n")
        self.process = processes.start(self.log, "docker-registry", "serve", configuration)
        processes.wait_until("the registry's first answer", 20, lambda: processes.answers(self.port), self.process)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def mark(self):
        return self.log.stat().st_size

    def cost_since(self, mark):
        """(requests, bytes of bodies) of the answers since then."""
        with open(self.log, "rb") as log:
            log.seek(mark)
            return count_answers(log)

    @contextlib.contextmanager
    def in_memory(self, repository):
        """Locks its blobs into the page cache meanwhile: the registry's disk is not what is measured."""
        root = self.storage / "docker/registry/v2"
        maps = []
        try:
            for link in root.glob(f"repositories/{repository}/_layers/sha256/*/link"):
                digest = link.read_text().strip().removeprefix("sha256:")
                with open(root / "blobs/sha256" / digest[:2] / digest / "data", "rb") as data:
                    maps.append(mmap.mmap(data.fileno(), 0, mmap.MAP_SHARED | mmap.MAP_POPULATE | MAP_LOCKED,
                                          mmap.PROT_READ))
            yield
        finally:
            for each in maps:
                each.close()


def count_answers(lines):
    requests = body_bytes = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the last line may be half written
        if entry.get("msg", "").startswith("response completed"):
            requests += 1
            body_bytes += entry.get("http.response.written", 0)
    return requests, body_bytes


class NetProxy(Server):
    """bench/netproxy before the registry."""

    name = "netproxy"

    def __init__(self, directory, program, target, link):
        super().__init__(directory)
        self.program, self.target, self.link = program, target, link
        self.host = self.control = ""

    def start(self):
        self.process = processes.start(
            self.log, self.program, "-target", self.target, "-rtt", f"{self.link.rtt_ms}ms", "-mbit",
            self.link.megabits, stdout=subprocess.PIPE)
        self.host = self.process.stdout.readline().decode().strip()
        self.control = self.process.stdout.readline().decode().strip()
        if not self.control:
            raise processes.BenchError(f"netproxy did not start: {self.last_lines()}")

    def stats(self):
        with urllib.request.urlopen(f"http://{self.control}/stats", timeout=5) as answer:
            return json.load(answer)


class SnapshotterDaemon(Server):
    """A proxy plugin on a unix socket."""

    def __init__(self, directory, name, command):
        self.name = name
        super().__init__(directory)
        self.root = self.directory / "snapshots"
        self.address = self.directory / "snapshotter.sock"
        self.command = [word.format(root=self.root, address=self.address) for word in command]

    def start(self):
        self.process = processes.start(self.log, *self.command)
        processes.wait_until(f"{self.name}'s first answer", 20, lambda: processes.answers_at(self.address), self.process)


class Containerd(Server):
    """containerd 2.3 of its own, with `snapshotter` as the proxy plugin `stargz` if there is one."""

    name = "containerd"
    plugin_name = "stargz"

    def __init__(self, directory, bin_directory, snapshotter=None, transfer=None, unpack=(), plugins="", tools=""):
        super().__init__(directory)
        self.bin = pathlib.Path(bin_directory)
        self.snapshotter = snapshotter
        self.transfer = transfer or {}
        self.unpack = unpack
        self.plugins = plugins
        self.tools = tools  # a directory of programs that it prefers to the machine's
        self.address = self.directory / "containerd.sock"
        self.root = self.directory / "containerd-root"

    def configuration(self):
        disabled = ["cri.v1.images", "cri.v1.runtime", "grpc.v1.cri", "nri.v1.nri"] + [
            f"snapshotter.v1.{name}" for name in ("btrfs", "zfs", "devmapper", "blockfile")]
        if "erofs" not in [snapshotter for snapshotter, _ in self.unpack]:
            disabled += ["snapshotter.v1.erofs", "differ.v1.erofs"]
        lines = ["version = 3", f'root = "{self.root}"', f'state = "{self.directory}/containerd-state"',
                 "disabled_plugins = " + json.dumps([f"io.containerd.{name}" for name in disabled]),
                 "[grpc]", f'  address = "{self.address}"', "[debug]", f'  address = "{self.directory}/debug.sock"',
                 '[plugins."io.containerd.transfer.v1.local"]']
        lines += [f"  {key} = {value}" for key, value in self.transfer.items()]
        for snapshotter, differ in self.unpack:
            lines += ['[[plugins."io.containerd.transfer.v1.local".unpack_config]]', '  platform = "linux"',
                      f'  snapshotter = "{snapshotter}"']
            lines += [f'  differ = "{differ}"'] if differ else []
        if self.snapshotter is not None:
            lines += [f"[proxy_plugins.{self.plugin_name}]", '  type = "snapshot"',
                      f'  address = "{self.snapshotter.address}"', f"  [proxy_plugins.{self.plugin_name}.exports]",
                      f'    root = "{self.snapshotter.root}"', '    enable_remote_snapshot_annotations = "true"']
        return "\n".join(lines) + "\n" + self.plugins

    def start(self):
        file = self.directory / "containerd.toml"
        file.write_text(self.configuration())
        search = [str(self.bin)] + ([str(self.tools)] if self.tools else []) + [os.environ["PATH"]]
        environment = {**os.environ, "PATH": ":".join(search)}
        self.process = processes.start(self.log, self.bin / "containerd", "-c", file, environment=environment,
                                       cwd=self.directory)
        processes.wait_until("containerd's first answer", 30, self.answers, self.process)

    def answers(self):
        return subprocess.run(self.ctr("version"), check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True).returncode == 0

    def has_blob(self, digest):
        """Whether it fetched that blob itself."""
        return (self.root / "io.containerd.content.v1.content/blobs" / digest.replace(":", "/")).exists()

    def ctr(self, *words):
        return [str(self.bin / "ctr"), "-a", str(self.address), "-n", NAMESPACE, *map(str, words)]

    def __exit__(self, *_):
        super().__exit__()
        processes.kill_shims(self.directory)

"""One measurement: from nothing on the node to the job's output, then the job again."""

import contextlib
import pathlib
import re
import select
import statistics
import subprocess
import tempfile
import time

from harness import processes, servers

PULL_SECONDS = 300
JOB_SECONDS = 300
# Of starts of what the node has: one takes less than a second, and the same one a fifth more or less on a machine that
# shares its processor.
STARTS = 3


def drop_caches():
    processes.run("sync")
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


class Node:
    """A containerd of its own, with the system's snapshotter daemon, in a directory of its own."""

    def __init__(self, directory, system, programs):
        self.directory = pathlib.Path(directory)
        self.system = system
        self.programs = programs
        self.daemon = None
        self.containerd = None
        self.containers = 0
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            if self.system.daemon:
                self.daemon = stack.enter_context(servers.SnapshotterDaemon(
                    self.directory, self.system.daemon, self.programs.daemon_command(self.system.daemon)))
            self.containerd = stack.enter_context(servers.Containerd(
                self.directory, self.programs.containerd_bin, self.daemon, transfer=dict(self.system.transfer),
                unpack=[("overlayfs", "")] + ([(self.system.snapshotter, self.system.differ)]
                                              if self.system.snapshotter != "overlayfs" else []),
                plugins=self.system.plugins,
                tools=self.programs.erofs_tools if self.system.snapshotter == "erofs" else ""))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def servers(self):
        """The snapshotter first: the daemon, or containerd where that is the snapshotter."""
        return [server for server in (self.daemon, self.containerd) if server is not None]

    def anonymous_bytes(self):
        """Of the snapshotter."""
        return processes.anonymous_bytes(self.servers()[0].process.pid)

    def disk_bytes(self):
        roots = [self.containerd.root] + ([self.daemon.root] if self.daemon else [])
        return sum(processes.disk_bytes(root) for root in roots if root.exists())

    def pull(self, reference):
        if self.system.daemon == "starling":
            command = [self.programs.starling, "pull", "--address", self.containerd.address, "--namespace",
                       servers.NAMESPACE, "--snapshotter", self.system.snapshotter, reference]
        else:
            command = self.containerd.ctr("images", "pull", "--plain-http", "--snapshotter", self.system.snapshotter,
                                          reference)
        processes.run(*command, timeout=PULL_SECONDS)

    def take_profile(self, reference):
        processes.run(self.programs.starling, "profile", "pull", "--root", self.daemon.root, reference)

    def job(self, reference, expected):
        """Runs the image's program. Seconds until its first output, and until its end."""
        self.containers += 1
        command = self.containerd.ctr("run", "--rm", "--snapshotter", self.system.snapshotter, reference,
                                      f"job-{self.containers}")
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   start_new_session=True)
        try:
            readable, _, _ = select.select([process.stdout], [], [], JOB_SECONDS)
            first = time.monotonic() - begin
            if not readable:
                raise processes.BenchError(f"the job said nothing for {JOB_SECONDS} s")
            # communicate() would read through a buffer of its own; the pipe's first byte is still in it.
            output, errors = process.communicate(timeout=JOB_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise processes.BenchError(f"the job did not end within {JOB_SECONDS} s") from error
        finally:
            if process.poll() is None:
                processes.stop(process, 2)
        end = time.monotonic() - begin
        text = output.decode(errors="replace")
        if process.returncode != 0 or not re.search(expected, text):
            said = (text + errors.decode(errors="replace"))[-500:]
            raise processes.BenchError(f"the job failed with code {process.returncode}: {said!r}")
        return first, end


def why_not_lazy(layers, containerd_has, pulled_bytes):
    """What shows that a pull did not go without its layers, or None. `containerd_has`: of a digest, whether containerd
    fetched it. Bytes alone say little: the daemon may use the pull's own waits to fetch in the background."""
    fetched = sum(map(containerd_has, layers.sizes))
    if fetched:
        return f"containerd fetched {fetched} of {len(layers.sizes)} layers"
    if pulled_bytes >= layers.size_bytes:
        return f"all of the {layers.size_bytes} bytes came before it ended"
    return None


def measure(image, link, system, layers, programs, store, work):
    """A dictionary of numbers: seconds, bytes and counts. Raises BenchError with the servers' last lines."""
    with fresh_node([image], link, system, programs, store, work) as (node, traffic, host):
        numbers = measure_on(node, traffic, store.reference(image, system.form, host), image, layers)
        return {**numbers, "link_s": link.seconds(numbers["bytes"])}


@contextlib.contextmanager
def fresh_node(images, link, system, programs, store, work):
    """(Node that has nothing, Traffic from now on, host of the registry as the node sees it)"""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="n", dir=work))
    try:
        with contextlib.ExitStack() as stack:
            proxy, host = None, store.registry.host
            if link.shaped:
                proxy = stack.enter_context(servers.NetProxy(directory, programs.netproxy, host, link))
                host = proxy.host
            for image in images:
                stack.enter_context(store.registry.in_memory(store.repository(image)))
            node = stack.enter_context(Node(directory, system, programs))
            if system.profile:
                for image in images:
                    node.take_profile(store.reference(image, system.form, host))
            processes.run("sync")
            try:
                yield node, Traffic(store.registry, proxy), host
            except processes.BenchError as error:
                ends = "\n".join(f"--- {server.log.name}\n{server.last_lines()}" for server in node.servers())
                raise processes.BenchError(f"{error}\n{ends}") from error
    finally:
        processes.kill_shims(directory)
        processes.remove_cgroups(servers.NAMESPACE)
        processes.remove_tree(directory)


class Traffic:
    """What the registry was asked and what it moved since this object was made. The line's own count where there
    is a proxy: the registry also counts what still was in a buffer when the client hung up."""

    def __init__(self, registry, proxy):
        self.registry, self.proxy = registry, proxy
        self.mark = registry.mark()

    def so_far(self):
        """(requests, bytes)"""
        requests, body_bytes = self.registry.cost_since(self.mark)
        return requests, self.proxy.stats()["bytes_down"] if self.proxy else body_bytes


def measure_on(node, traffic, reference, image, layers):
    cpu_before = [processes.cpu_seconds(server.process.pid) for server in node.servers()]
    begin = time.monotonic()
    node.pull(reference)
    pull = time.monotonic() - begin
    pull_requests, pull_bytes = traffic.so_far()
    if node.system.lazy and (why := why_not_lazy(layers, node.containerd.has_blob, pull_bytes)):
        raise processes.BenchError(f"the pull was not lazy: {why}")
    memory = [node.anonymous_bytes()]

    first, end = node.job(reference, image.expected)
    requests, moved = traffic.so_far()
    cpu = [processes.cpu_seconds(server.process.pid) - before for server, before in zip(node.servers(), cpu_before)]
    memory.append(node.anonymous_bytes())
    disk = node.disk_bytes()

    again_first = [node.job(reference, image.expected)[0] for _ in range(STARTS)]
    memory.append(node.anonymous_bytes())
    cold_first = []
    for _ in range(STARTS):
        drop_caches()
        cold_first.append(node.job(reference, image.expected)[0])
    end_requests, end_moved = traffic.so_far()
    return {
        "pull_s": pull, "run1_first_s": first, "run1_s": end, "first_output_s": pull + first,
        "run2_first_s": again_first[0], "again_first_s": statistics.median(again_first),
        "cold_cache_first_s": statistics.median(cold_first),
        "pull_requests": pull_requests, "pull_bytes": pull_bytes, "requests": requests, "bytes": moved,
        "end_requests": end_requests, "end_bytes": end_moved,
        "cpu_s": sum(cpu), "snapshotter_cpu_s": cpu[0], "anonymous_bytes": max(memory), "disk_bytes": disk,
        "layer_bytes": layers.size_bytes,
    }

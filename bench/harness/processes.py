"""Processes, mounts and counters of the machine, and their orderly end."""

import os
import pathlib
import signal
import socket
import subprocess
import time

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something that ends one measurement, said to the user as it is."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, seconds, condition, process=None):
    """Polls, because the servers announce readiness by answering only."""
    end = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise BenchError(f"{what}: the program ended with code {process.returncode}")
        if time.monotonic() > end:
            raise BenchError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def answers_at(path):
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
            return True
        except OSError:
            return False


def start(log, *command, environment=None, cwd=None, stdout=None):
    """A server in a session of its own, so that a ^C reaches it through us only."""
    with open(log, "ab") as output:
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=stdout or output,
                                stderr=output, cwd=cwd, env=environment, start_new_session=True)


def stop(process, seconds=20):
    """SIGTERM, then SIGKILL. False when it needed the second."""
    if process.poll() is not None:
        return True
    process.terminate()
    try:
        process.wait(timeout=seconds)
        return True
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise  # interrupted: who cleans up goes on
        return False


def run(*command, timeout=600, **options):
    """Runs to the end; the error carries the last lines that the command wrote."""
    try:
        done = subprocess.run([str(word) for word in command], check=False, timeout=timeout, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True, **options)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} took more than {timeout} s") from error
    if done.returncode != 0:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-5:])
        raise BenchError(f"{' '.join(map(str, command[:6]))}: exit code {done.returncode}\n  {tail}")
    return done.stdout


def of_one_program(pid):
    """The process and those of its children that run the same program: a daemon may be two processes."""
    found = [pid]
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if os.readlink(f"/proc/{child}/exe") == program:
                found.append(int(child))
    except OSError:
        pass  # ended in between
    return found


def cpu_seconds(pid):
    """User and system time of a daemon, and of its children that have ended."""
    total = 0
    for process in of_one_program(pid):
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(int(field) for field in fields[11:15])
    return total / CLOCK_TICKS


def anonymous_bytes(pid):
    """Of a daemon."""
    total = 0
    for process in of_one_program(pid):
        lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
        sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")]
        if not sizes:
            raise BenchError(f"no RssAnon of process {process}")
        total += sizes[0]
    return total


def disk_bytes(directory):
    """Allocated bytes below a directory, on its own file system. What vanishes meanwhile is not counted."""
    done = subprocess.run(["du", "-sx", "--block-size=1", str(directory)], check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=600, start_new_session=True)
    return int(done.stdout.split()[0])


def mounts_below(directory):
    """Mount points there, deepest first."""
    prefix = f"{directory}/"
    points = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(prefix)), reverse=True)


def kill_shims(directory):
    """Ends what a stopped containerd leaves behind: its shims and their containers. A shim is known by the
    directory in its arguments, which no other program uses."""
    marker = f"{directory}/".encode()
    parents, marked = {}, set()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # ended in between
        if b"containerd-shim" in words[0] and any(word.startswith(marker) for word in words[1:]):
            marked.add(int(entry.name))
    for pid in [child for child, parent in parents.items() if parent in marked] + list(marked):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def remove_cgroups(name):
    """Of a containerd namespace. Processes of containers that were killed may take a moment to be gone."""
    end = time.monotonic() + 5
    for group in pathlib.Path("/sys/fs/cgroup").glob(f"**/{name}"):
        while group.exists() and time.monotonic() < end:
            for directory, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    time.sleep(0.02)


def spread(directory):
    """Has ext4 put each directory that is made in it elsewhere on the disk. Near what an earlier measurement left behind each new
    file costs a search past the inodes that were deleted within the last minutes."""
    subprocess.run(["chattr", "+T", str(directory)], check=False, stderr=subprocess.DEVNULL)


def remove_tree(directory):
    """Unmounts what is mounted below and removes all."""
    for point in mounts_below(directory):
        subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)
    if mounts_below(directory):
        raise BenchError(f"still mounted below {directory}: {mounts_below(directory)}")
    subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=False, start_new_session=True)

"""Which files of an image its job opens, in the order of first need: the list for `starling convert --prioritize`."""

import ctypes
import json
import os
import pathlib
import select
import struct
import tempfile
import threading

from harness import processes

FAN_CLOEXEC, FAN_UNLIMITED_QUEUE = 0x1, 0x10
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_OPEN = 0x20
AT_FDCWD = -100
EVENT = struct.Struct("=IBBHqii")  # event length, version, reserved, metadata length, mask, descriptor, process


class OpenRecorder:
    """Records what is opened on one file system, with fanotify(7). A context manager."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.paths = {}  # in order of first need
        self.libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self):
        self.group = self.libc.fanotify_init(FAN_CLOEXEC | FAN_UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
        if self.group < 0:
            raise processes.BenchError(f"fanotify_init: {os.strerror(ctypes.get_errno())}")
        mark = self.libc.fanotify_mark(self.group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, ctypes.c_uint64(FAN_OPEN),
                                       AT_FDCWD, self.directory.encode())
        if mark != 0:
            raise processes.BenchError(f"fanotify_mark: {os.strerror(ctypes.get_errno())}")
        self.wake_reader, self.wake_writer = os.pipe()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()
        return self

    def __exit__(self, *_):
        os.close(self.wake_writer)
        self.thread.join()
        os.close(self.wake_reader)
        os.close(self.group)

    def _read(self):
        while True:
            ready, _, _ = select.select([self.group, self.wake_reader], [], [])
            if self.group not in ready:
                return  # asked to end, and every event was read
            buffer = os.read(self.group, 1 << 16)
            at = 0
            while at < len(buffer):
                length, _, _, _, _, descriptor, _ = EVENT.unpack_from(buffer, at)
                at += length
                if descriptor < 0:
                    continue
                try:
                    path = os.readlink(f"/proc/self/fd/{descriptor}")
                finally:
                    os.close(descriptor)
                if path.startswith(self.directory + "/"):
                    self.paths.setdefault(path[len(self.directory) + 1:])


# A mount namespace of its own: nothing is left mounted, whatever happens.
JOB = """
mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"
"""


def record(layout, tag, work):
    """Paths of regular files that the image's command opens, first need first."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="a", dir=work))
    merged = directory / "merged"
    try:
        for name in ("bundle", "upper", "overlay", "merged"):
            (directory / name).mkdir()
        processes.run("umoci", "raw", "unpack", "--image", f"{layout}:{tag}", directory / "bundle/rootfs")
        command = image_command(layout, tag)
        processes.run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={directory}/bundle/rootfs,"
                      f"upperdir={directory}/upper,workdir={directory}/overlay", merged)
        with OpenRecorder(merged) as recorder:
            processes.run("unshare", "--mount", "sh", "-ec", JOB, merged, *command,
                          env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        return [path for path in recorder.paths if (directory / "bundle/rootfs" / path).is_file()]
    finally:
        processes.remove_tree(directory)


def image_command(layout, tag):
    config = json.loads(processes.run("skopeo", "inspect", "--config", f"oci:{layout}:{tag}"))["config"]
    return config.get("Entrypoint", []) + config["Cmd"]

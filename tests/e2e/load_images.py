#!/usr/bin/env python3
"""Makes the images of load.sh in the OCI layout DIRECTORY, with little time spent on each byte.

load_images.py DIRECTORY deep COUNT     COUNT layers with a file each on top of busybox; tag `deep`
load_images.py DIRECTORY apps COUNT     COUNT images of busybox and 40 files that no other has; tags app0, app1, ...
load_images.py DIRECTORY wide COUNT     COUNT names in one layer on top of busybox, most of them hard links; tag `wide`

Each image has /sums, as `sha256sum -c` reads it, of the files that its containers read.
"""

import gzip
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tarfile

NAMES_A_DIRECTORY = 1000


class Layout:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.blobs = self.directory / "blobs/sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = self.directory / "index.json"
        self.manifests = json.loads(index.read_text())["manifests"] if index.exists() else []

    def add(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def add_image(self, tag, tars):
        """`tars` are layers, bottom first, as bytes."""
        layers, diff_ids = [], []
        for tar in tars:
            diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
            layers.append(self.add(gzip.compress(tar, 1, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"))
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
                  "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                    "layers": layers}
        described = self.add(json.dumps(manifest).encode(), manifest["mediaType"])
        self.manifests.append(described | {"annotations": {"org.opencontainers.image.ref.name": tag}})
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))


def header(name, size=0, mode=0o644, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = size, mode, kind, target
    return info.tobuf(tarfile.GNU_FORMAT)


def tar_of(files):
    """Of (name, bytes)."""
    parts = []
    for name, data in files:
        parts += [header(name, len(data), 0o755), data, bytes(-len(data) % 512)]
    return b"".join(parts) + bytes(1024)


def sums_of(files):
    return "".join(f"{hashlib.sha256(data).hexdigest()}  /{name}\n" for name, data in files).encode()


def busybox():
    directories = [header(name, mode=0o755, kind=tarfile.DIRTYPE)
                   for name in ("bin", "tmp", "proc", "sys", "dev", "etc", "out")]
    path = subprocess.run(["sh", "-c", "command -v busybox"], check=True, capture_output=True, text=True).stdout
    applets = [header(f"bin/{applet}", mode=0o777, kind=tarfile.SYMTYPE, target="busybox")
               for applet in ("sh", "sha256sum", "find", "wc", "cat", "grep", "ls")]
    programs = tar_of([("bin/busybox", pathlib.Path(path.strip()).read_bytes()),
                       ("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")])
    return b"".join(directories + applets) + programs


def make_deep(layout, count):
    files = [(f"deep/{number}", f"layer {number}\n".encode() * 50) for number in range(count - 2)]
    layout.add_image("deep", [busybox()] + [tar_of([file]) for file in files] + [tar_of([("sums", sums_of(files))])])


def make_apps(layout, count):
    base = busybox()
    for number in range(count):
        generator = random.Random(number)
        files = [(f"app/{name}", generator.randbytes(50_000 + 7 * name)) for name in range(40)]
        layout.add_image(f"app{number}", [base, tar_of(files + [("sums", sums_of(files))])])


def make_wide(layout, count):
    directories = (count + NAMES_A_DIRECTORY - 1) // NAMES_A_DIRECTORY
    parts, files = [], []
    for directory in range(directories):
        parts.append(header(f"wide/{directory}/", mode=0o755, kind=tarfile.DIRTYPE))
        first, data = f"wide/{directory}/first", f"{directory}\n".encode()
        files.append((first, data))
        parts += [header(first, len(data)), data, bytes(-len(data) % 512)]
        # The header of a link with another name and sum: a million of them are made in seconds.
        link = bytearray(header("wide/", kind=tarfile.LNKTYPE, target=first))
        for number in range(NAMES_A_DIRECTORY - 2):
            name = f"wide/{directory}/{number}".encode()
            link[0:100] = name.ljust(100, b"\0")
            link[148:156] = b" " * 8
            link[148:156] = b"%06o\0 " % sum(link)
            parts.append(bytes(link))
    layout.add_image("wide", [busybox(), b"".join(parts) + tar_of([("sums", sums_of(files[::10]))])])


def main():
    directory, shape, count = sys.argv[1:]
    {"deep": make_deep, "apps": make_apps, "wide": make_wide}[shape](Layout(directory), int(count))


if __name__ == "__main__":
    main()

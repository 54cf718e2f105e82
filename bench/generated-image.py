#!/usr/bin/env python3
"""Makes benchmark images whose shape is the point, as the OCI layout DIRECTORY/oci with the directory's name as tag.

generated-image.py DIRECTORY layers COUNT BASE_TAR   the files of BASE_TAR (Debian, python3) spread over COUNT layers;
                                                     the job reads 300 files from all over them
generated-image.py DIRECTORY files COUNT             busybox and COUNT small files; the job finds all and reads 1 %
generated-image.py DIRECTORY weights GIB             busybox and one file of random bytes; the job reads all of it
generated-image.py DIRECTORY service NUMBER BASE_TAR the files of BASE_TAR and 100 MB that no other NUMBER has; the job
                                                     prints how long each of 300 first reads took
Does nothing when the layout is there.
"""

import argparse
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile

FILES_A_DIRECTORY = 200
FILES_NEEDED = 300
# Of a service: as many directories as a program has packages, of which it needs a few, and half of each.
PACKAGES, FILES_A_PACKAGE, PACKAGES_NEEDED = 160, 40, 15


def run(*command):
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def entry(name, size=0, mode=0o644, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname, info.mtime = size, mode, kind, target, 1700000000
    return info


def add_bytes(tar, name, data, mode=0o644):
    tar.addfile(entry(name, len(data), mode), io.BytesIO(data))


def busybox_layer(path, script):
    with tarfile.open(path, "w") as tar:
        for name in ("bin", "tmp", "proc", "sys", "dev", "etc"):
            tar.addfile(entry(name, mode=0o755, kind=tarfile.DIRTYPE))
        add_bytes(tar, "bin/busybox", pathlib.Path("/bin/busybox").read_bytes(), 0o755)
        for applet in ("sh", "find", "wc", "cat", "echo", "dd"):
            tar.addfile(entry(f"bin/{applet}", kind=tarfile.SYMTYPE, target="busybox"))
        add_bytes(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        add_bytes(tar, "job.sh", script.encode(), 0o755)


def layer_of(path, count):
    """Which layer a path of the base belongs to: the same for all runs, and spread evenly."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big") % count


def spread_layers(directory, count, base):
    """The layers' tar files. A directory is in every layer that has something below it; a hard link is with its
    target."""
    tars = [directory / f"{number}.tar" for number in range(count)]
    outputs = [tarfile.open(path, "w", format=tarfile.PAX_FORMAT) for path in tars]
    written = [set() for _ in range(count)]
    with tarfile.open(base) as source:
        members = source.getmembers()
        directories = {os.path.normpath(member.name): member for member in members if member.isdir()}

        def add(number, member):
            name = os.path.normpath(member.name)
            for parent in [str(parent) for parent in reversed(pathlib.PurePosixPath(name).parents)] + [name]:
                if parent in directories and parent not in written[number]:
                    written[number].add(parent)
                    outputs[number].addfile(directories[parent])
            if not member.isdir():
                outputs[number].addfile(member, source.extractfile(member) if member.isreg() else None)

        for member in members:
            name = os.path.normpath(member.linkname if member.islnk() else member.name)
            add(layer_of(name, count), member)
        regular = sorted(os.path.normpath(member.name) for member in members
                         if member.isreg() and 0 < member.size < 1 << 20)
        # Chosen by hash, so that a job's need is spread over all layers.
        wanted = sorted(regular, key=lambda name: hashlib.sha256(b"need" + name.encode()).digest())[:FILES_NEEDED]
        job = (f"total = 0\nfor name in {json.dumps(wanted)}:\n    with open('/' + name, 'rb') as data:\n"
               "        total += len(data.read())\nprint('read', total, flush=True)\n")
        add_bytes(outputs[-1], "job.py", job.encode())
    for output in outputs:
        output.close()
    return tars


def file_layers(directory, count):
    first = directory / "0.tar"
    busybox_layer(first, "#!/bin/sh\nn=$(find /data -type f | wc -l)\n"
                         "b=$(cat /data/?1?/f0[01]? | wc -c)\necho $n files $b bytes\n")
    generator = random.Random(1)
    lines = [bytes(generator.choices(b"abcdefghijklmnopqrstuvwxyz  (){};=_.\n", k=64)) for _ in range(4096)]
    second = directory / "1.tar"
    with tarfile.open(second, "w") as tar:
        tar.addfile(entry("data", mode=0o755, kind=tarfile.DIRTYPE))
        for number in range(count):
            folder = f"data/{number // FILES_A_DIRECTORY:03}"
            if number % FILES_A_DIRECTORY == 0:
                tar.addfile(entry(folder, mode=0o755, kind=tarfile.DIRTYPE))
            data = b"".join(generator.choices(lines, k=generator.randint(2, 48)))
            add_bytes(tar, f"{folder}/f{number % FILES_A_DIRECTORY:03}", data)
    return [first, second]


def weight_layers(directory, gib):
    first = directory / "0.tar"
    busybox_layer(first, "#!/bin/sh\nexec dd if=/models/weights of=/dev/null bs=1M 2>&1\n")
    raw = directory / "weights"
    run("dd", "if=/dev/urandom", f"of={raw}", "bs=4M", f"count={gib * 256}", "status=none")
    second = directory / "1.tar"
    with tarfile.open(second, "w") as tar:
        tar.addfile(entry("models", mode=0o755, kind=tarfile.DIRTYPE))
        with open(raw, "rb") as data:
            tar.addfile(entry("models/weights", raw.stat().st_size), data)
    raw.unlink()
    return [first, second]


# Needs no more of Python than Debian's python3-minimal has.
SERVICE = """import os, time
# Begins with the others: where /start is, when go appears in it.
print("ready", flush=True)
while os.path.isdir("/start") and not os.path.exists("/start/go"):
    time.sleep(0.01)
begin, milliseconds, total = time.perf_counter(), [], 0
for name in open("/srv/wanted"):
    before = time.perf_counter()
    with open(name[:-1], "rb") as data:
        total += len(data.read())
    milliseconds.append(f"{(time.perf_counter() - before) * 1000:.3f}")
    time.sleep(0.005)  # what a program does with what it read
seconds = time.perf_counter() - begin
print(f'{{"seconds": {seconds:.3f}, "read": {total}, "milliseconds": [{", ".join(milliseconds)}]}}', flush=True)
"""


def service_layers(directory, number, base):
    """The base as it is, and a layer of files as packages have them: many small ones, few large ones, half of the
    bytes hard to compress."""
    generator = random.Random(number)
    words = [generator.randbytes(generator.randint(2, 9)).hex() for _ in range(1000)]
    text = " ".join(generator.choices(words, k=1 << 18)).encode()
    first, second = directory / "0.tar", directory / "1.tar"
    first.symlink_to(base.resolve())
    wanted = []
    needed = set(generator.sample(range(PACKAGES), PACKAGES_NEEDED))
    with tarfile.open(second, "w") as tar:
        add_bytes(tar, "srv/job.py", SERVICE.encode())
        for package in range(PACKAGES):
            names = [f"srv/lib/package{package:03}/module{file:02}" for file in range(FILES_A_PACKAGE)]
            for name in names:
                size = min(int(generator.lognormvariate(9.5, 1.1)), 1 << 20)
                at = generator.randrange(len(text) - size // 2)
                add_bytes(tar, name, generator.randbytes(size - size // 2) + text[at:at + size // 2])
            if package in needed:
                wanted += [f"/{name}" for name in
                           sorted(generator.sample(names, FILES_NEEDED // PACKAGES_NEEDED))]
        add_bytes(tar, "srv/wanted", "".join(f"{name}\n" for name in wanted).encode())
    return [first, second]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("shape", choices=("layers", "files", "weights", "service"))
    parser.add_argument("count", type=int)
    parser.add_argument("base", type=pathlib.Path, nargs="?")
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    if (directory / "oci/index.json").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    if arguments.shape == "layers":
        tars, command = spread_layers(directory, arguments.count, arguments.base), ("python3", "/job.py")
    elif arguments.shape == "files":
        tars, command = file_layers(directory, arguments.count), ("/job.sh",)
    elif arguments.shape == "service":
        tars, command = service_layers(directory, arguments.count, arguments.base), ("python3", "-S", "/srv/job.py")
    else:
        tars, command = weight_layers(directory, arguments.count), ("/job.sh",)

    layout = directory / "oci.new"
    shutil.rmtree(layout, ignore_errors=True)
    image = f"{layout}:{directory.name}"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", image)
    for tar in tars:
        run("umoci", "raw", "add-layer", "--image", image, tar)
        tar.unlink()
    run("umoci", "config", "--image", image, "--os", "linux", "--architecture", "amd64",
        *[word for part in command for word in ("--config.cmd", part)],
        "--config.env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    layout.rename(directory / "oci")


if __name__ == "__main__":
    sys.exit(main())

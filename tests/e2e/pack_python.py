#!/usr/bin/env python3
"""Packs a Python that a Go module carries unpacked, its large files compressed each, as python-build-standalone releases it.

pack_python.py MODULE_DIRECTORY GO_ARCHITECTURE ARCHIVE
"""

import gzip
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

TIME = 1700000000
GO_DIRECTORY = 1 << 31
GO_LINK = 1 << 27


def stripped(content, architecture):
    if architecture != "amd64":
        return content  # strip knows this machine's alone
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(content)
        file.flush()
        subprocess.run(["strip", "--strip-unneeded", file.name], check=True)
        return pathlib.Path(file.name).read_bytes()


def add_tree(archive, data, prefix, architecture):
    for entry in json.loads((data / "files.json").read_text())["files"]:
        if entry["perm"] & GO_DIRECTORY:
            continue  # releases have none
        info = tarfile.TarInfo(f"{prefix}/{entry['name']}")
        info.mtime = TIME
        if entry["perm"] & GO_LINK:
            info.type = tarfile.SYMTYPE
            info.linkname = entry["symlink"]
            archive.addfile(info)
            continue
        path = data / entry["name"]
        content = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(path.name + ".gz").read_bytes())
        if content.startswith(b"\x7fELF") and entry["name"].startswith("lib/lib"):
            content = stripped(content, architecture)
        info.mode = entry["perm"] & 0o777
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def main():
    module, architecture, target = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    data = module / f"python/internal/data/linux-{architecture}"
    library = next(path.name for path in (data / "lib").glob("python3.*"))
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, 0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w") as archive:
            add_tree(archive, data, "python", architecture)
            add_tree(archive, module / "pip/internal/data", f"python/lib/{library}/site-packages", architecture)


if __name__ == "__main__":
    main()

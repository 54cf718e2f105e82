#!/usr/bin/env python3
"""Lists a tree so that two can be compared with diff: one line a path with type, mode, owner, size, time of
modification, device numbers, link target, hard-link group, xattrs and the SHA-256 of the content.

tree.py DIRECTORY [--no-content]
Directories' sizes and link counts are left out: they belong to the file system, not to the image.
"""

import hashlib
import os
import stat
import sys


def describe(path, name, groups, content):
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    fields = [name, oct(status.st_mode), f"{status.st_uid}:{status.st_gid}", f"mtime={int(status.st_mtime)}"]
    if kind != stat.S_IFDIR:
        fields.append(f"size={status.st_size}")
        # The group's name is its first path, which the walk's order makes the same everywhere.
        fields.append("same-as=" + groups.setdefault((status.st_dev, status.st_ino), name))
        fields.append(f"nlink={status.st_nlink}")
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        fields.append(f"device={os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    if kind == stat.S_IFLNK:
        fields.append("target=" + os.readlink(path))
    for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
        if not attribute.startswith("trusted.overlay."):
            value = os.getxattr(path, attribute, follow_symlinks=False)
            fields.append(f"{attribute}={value.hex()}")
    if kind == stat.S_IFREG and content:
        with open(path, "rb") as file:
            fields.append("sha256=" + hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(fields)


def main():
    root = sys.argv[1]
    content = "--no-content" not in sys.argv[2:]
    groups = {}
    lines = [describe(root, "/", groups, content)]
    for directory, subdirectories, files in os.walk(root):
        subdirectories.sort()
        for name in sorted(subdirectories + files):
            path = os.path.join(directory, name)
            lines.append(describe(path, os.path.relpath(path, root), groups, content))
    sys.stdout.reconfigure(errors="surrogateescape")
    print("\n".join(sorted(lines)))


if __name__ == "__main__":
    main()

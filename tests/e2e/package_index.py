#!/usr/bin/env python3
"""Packages as indexes have them, each a module or file that says its version.

package_index.py wheel DIRECTORY NAME VERSION [REQUIREMENT...]
    adds a wheel to the index of Python packages in DIRECTORY (PEP 503)
package_index.py deb DIRECTORY NAME VERSION [DEPENDENCY...]
    adds a package to the Debian archive in DIRECTORY, of the form "deb [trusted=yes] URL ./"
package_index.py conda DIRECTORY NAME VERSION [DEPENDENCY...]
    adds a package to the conda channel in DIRECTORY
"""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_wheel(index, name, version, requirements):
    directory = index / name
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(zipfile.ZipInfo(file, (2024, 1, 1, 0, 0, 0)), text)
    links = "".join(f'<a href="{w.name}#sha256={digest(w)}">{w.name}</a>\n' for w in sorted(directory.glob("*.whl")))
    (directory / "index.html").write_text("<!DOCTYPE html><html><body>\n" + links + "</body></html>\n")


def add_deb(archive, name, version, dependencies):
    archive.mkdir(parents=True, exist_ok=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: e2e <e2e@host.example>\nDescription: e2e\n"
    if dependencies:
        control += f"Depends: {', '.join(dependencies)}\n"
    deb = archive / f"{name}_{version}_all.deb"
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch, "root")
        (root / "DEBIAN").mkdir(parents=True)
        (root / "usr/share/e2e").mkdir(parents=True)
        root.chmod(0o755)
        (root / "DEBIAN/control").write_text(control)
        (root / "usr/share/e2e" / name).write_text(version + "\n")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, deb], check=True, stdout=subprocess.DEVNULL)
    stanza = f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest(deb)}\n\n"
    with open(archive / "Packages", "a") as packages:
        packages.write(stanza)


def add_conda(channel, name, version, dependencies):
    directory = channel / "noarch"
    directory.mkdir(parents=True, exist_ok=True)
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": dependencies, "subdir": "noarch", "noarch": "generic"}
    file, content = f"share/{name}", f"{version}\n"
    paths = {"path": {"_path": file, "path_type": "hardlink", "sha256": hashlib.sha256(content.encode()).hexdigest(), "size_in_bytes": len(content)}}
    package = directory / f"{name}-{version}-0.tar.bz2"
    with tarfile.open(package, "w:bz2") as tar:
        for path, text in {
            "info/index.json": json.dumps(index),
            "info/paths.json": json.dumps({"paths": list(paths.values()), "paths_version": 1}),
            file: content,
        }.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    # One package a line, for those who read it without a parser.
    repodata = directory / "repodata.json"
    known = json.loads(repodata.read_text())["packages"] if repodata.exists() else {}
    known[package.name] = {**index, "size": package.stat().st_size, "sha256": digest(package)}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(known.items()))
    repodata.write_text(f'{{"info": {{"subdir": "noarch"}}, "packages": {{\n{lines}\n}}, "packages.conda": {{}}, "repodata_version": 1}}\n')


kind, directory, name, version, *needs = sys.argv[1:]
{"wheel": add_wheel, "deb": add_deb, "conda": add_conda}[kind](pathlib.Path(directory), name, version, needs)

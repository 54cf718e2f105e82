#!/usr/bin/env python3
"""sbom.py SOURCE BUILD: what the programs are made of, as an SPDX 2.3 document on the output.

Libraries that they load are found as the loader finds them, headers that they were compiled with as the compiler
noted them; both belong to packages of Debian, which know their versions. The same programs give the same document.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys

PROGRAMS = ("apps/starling/starling", "apps/starlingd/starlingd")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def loaded_libraries(program):
    paths = re.findall(r"=> (/\S+)|^\s*(/\S+) \(", run("ldd", program), re.MULTILINE)
    return {str(pathlib.Path(first or second).resolve()) for first, second in paths}


def included_headers(build):
    return {
        str(pathlib.Path(line.strip()).resolve())
        for line in run("ninja", "-C", build, "-t", "deps").splitlines()
        if line.strip().startswith("/usr/")
    }


def owners(paths):
    """Package -> version, of all files; a file of no package is an error."""
    paths = sorted(paths)
    names = set()
    found = set()
    for begin in range(0, len(paths), 500):
        chunk = paths[begin:begin + 500]
        # A file below /usr may be known by the name that it had before /lib became a link.
        asked = chunk + [path.removeprefix("/usr") for path in chunk if path.startswith("/usr/lib")]
        answer = subprocess.run(["dpkg-query", "-S", *asked], capture_output=True, text=True).stdout
        for line in answer.splitlines():
            packages, _, path = line.rpartition(": ")
            if packages.startswith("diversion by"):
                continue
            names.update(name.strip() for name in packages.split(","))
            found.update((path, "/usr" + path))
    missing = [path for path in paths if path not in found]
    if missing:
        sys.exit(f"sbom.py: no package owns {missing[0]}")
    return {
        name: run("dpkg-query", "-W", "-f", "${Version}", name) for name in sorted(names)
    }


def element(name, version):
    return {
        "SPDXID": "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", name),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{name.partition(':')[0]}@{version}?distro=bookworm",
        }],
    }


def main():
    source, build = sys.argv[1:]
    version, day = run(f"{source}/packaging/version.sh", source).split()
    programs = [f"{build}/{program}" for program in PROGRAMS]
    linked = owners(set().union(*(loaded_libraries(program) for program in programs)))
    included = owners(included_headers(build))
    starling = element("starling", version) | {
        "licenseDeclared": "Apache-2.0",
        "externalRefs": [],
    }
    packages = [starling]
    relationships = [{
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": starling["SPDXID"],
    }]
    for name, its_version in sorted((linked | included).items()):
        package = element(name, its_version)
        packages.append(package)
        relationships.append({
            "spdxElementId": starling["SPDXID"],
            "relationshipType": "DYNAMIC_LINK" if name in linked else "CONTAINS",
            "relatedSpdxElement": package["SPDXID"],
        })
    contents = json.dumps([packages, relationships], sort_keys=True).encode()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"starling-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/starling-{version}-{hashlib.sha256(contents).hexdigest()}",
        "creationInfo": {"created": f"{day}T00:00:00Z", "creators": ["Tool: starling-packaging-sbom"]},
        "packages": packages,
        "relationships": relationships,
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()

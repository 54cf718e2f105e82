#!/usr/bin/env python3
"""Holds the source tree to its own rules.

check.py layering   every include of ours stays within the folder's declared DEPENDS
check.py fences     a third-party library is used only by the modules that own it
check.py diagram    the module graph in ARCHITECTURE.md is the declared one
check.py tests      every .cc has a unit test of its name, or a listed reason
check.py includes   every source begins with its own header, and headers include what builds parse beforehand
Exit code 0 and a count, or 1 and one line per breach.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Not modules: they may include anything.
FREE_FOLDERS = {"apps", "tests", "bench", "build"}

# Header prefix -> modules that may include it.
FENCES = {
    "absl/": {"base"},
    "spdlog/": {"base"},
    "curl/": {"registry", "dockerfile/context"},
    "fuse": {"fuse"},
    "grpc": {"api", "cri", "snapshotter", "containerd", "control", "standalone", "apps"},
    "google/protobuf": {"api", "snapshotter", "containerd", "standalone", "apps"},
    "sqlite3.h": {"snapshotter"},
    "toml++": {"base"},
    "yaml.h": {"yaml"},
    "isa-l/": {"estargz"},
    "zlib.h": {"estargz"},
    "libdeflate.h": {"estargz"},
    "zstd.h": {"estargz"},
    "simdjson": {"estargz"},
    "archive": {"transport", "dockerfile/files"},
    "re2/": {"dockerfile/syntax", "snapshotter"},
    "openssl/": {"credentials", "oci"},
    "seccomp.h": {"confine"},
    "CLI/": {"apps", "manual"},
}

# Sources without a unit test of their own name, and what tests them instead.
UNTESTED = {
    "doctor/client_checks.cc": "tests/unit/doctor/examine_test.cc plants what it finds",
    "doctor/containerd_checks.cc": "tests/unit/doctor/examine_test.cc plants what it finds",
    "doctor/disk_checks.cc": "tests/unit/doctor/examine_test.cc plants what it finds",
    "doctor/kernel_checks.cc": "tests/unit/doctor/examine_test.cc plants what it finds",
    "doctor/starlingd_checks.cc": "tests/unit/doctor/examine_test.cc plants what it finds",
    "dockerfile/build/builder.cc": "tests/kernel/builder_test.cc needs mounts and runc",
    "dockerfile/build/layer_maker.cc": "tests/kernel/builder_test.cc needs mounts",
    "dockerfile/build/private_mounts.cc": "tests/kernel/builder_test.cc needs mounts",
    "dockerfile/build/run_step.cc": "tests/kernel/builder_test.cc needs mounts and runc",
    "dockerfile/build/snapshot_mount.cc": "tests/kernel/builder_test.cc needs mounts",
    "estargz/blob_assembler.cc": "tests/unit/estargz/writer_test.cc sees all that it does",
    "api": "generated code",
    "fuse/connection.cc": "tests/kernel/session_test.cc needs the kernel's side",
    "fuse/layer_table.cc": "tests/unit/fuse/operations_test.cc",
    "fuse/read_ahead.cc": "tests/kernel/session_test.cc",
    "fuse/session.cc": "tests/kernel/session_test.cc",
    "layer/toc_fetch.cc": "tests/unit/layer/layer_opener_test.cc and tests/unit/inspect",
    "mount/chain_mount.cc": "tests/kernel/chain_mount_test.cc needs the kernel's side",
    "mount/erofs_mount.cc": "tests/kernel/erofs_plane_test.cc",
    "mount/erofs_plane.cc": "tests/kernel/erofs_plane_test.cc needs the kernel's side",
    "mount/erofs_probe.cc": "tests/kernel/erofs_plane_test.cc",
    "mount/held_layer_opener.cc": "tests/kernel/layer_host_test.cc opens layers in all of its ways",
    "mount/image_mount.cc": "tests/kernel/image_mount_test.cc",
    "mount/image_process.cc": "tests/kernel/image_process_test.cc needs namespaces",
    "mount/layer_host.cc": "tests/kernel/layer_host_test.cc",
    "mount/layer_view.cc": "tests/kernel/layer_host_test.cc needs the kernel's side",
    "standalone/layer_unpack.cc": "tests/kernel/layer_unpack_test.cc needs mounts",
    "base/clock.cc": "returns the machine's clock",
    "base/temp_dir.cc": "every test that writes files uses it",
    "control/remote_credentials.cc": "tests/unit/control/credentials_service_test.cc calls by it",
    "transport/transports.cc": "chooses a class by a name's kind; each class has its own test",
}

# Of the headers that cmake/ProjectModule.cmake has parsed beforehand: what they give, and who of them gives it.
PRECOMPILED = {
    "algorithm": r"std::(?:sort|find|find_if|any_of|all_of|none_of|transform|copy|fill|min|max|clamp|ranges::\w+)\b",
    "array": r"std::(?:array|to_array)\b",
    "atomic": r"std::(?:atomic\w*|memory_order\w*)\b",
    "charconv": r"std::(?:from_chars|to_chars)\b",
    "chrono": r"std::chrono\b",
    "filesystem": r"std::filesystem\b",
    "fstream": r"std::[io]?fstream\b",
    "functional": r"std::(?:function|reference_wrapper|invoke|bind|ref|cref|less|greater|hash)\b",
    "future": r"std::(?:shared_future|future|promise|packaged_task|async)\b",
    "map": r"std::(?:map|multimap)\b",
    "memory": r"std::(?:unique_ptr|shared_ptr|weak_ptr|make_unique|make_shared|enable_shared_from_this)\b",
    "optional": r"std::(?:optional|nullopt|make_optional)\b",
    "set": r"std::(?:set|multiset)\b",
    "span": r"std::(?:span|as_bytes|as_writable_bytes|dynamic_extent)\b",
    "sstream": r"std::[io]?stringstream\b",
    "stop_token": r"std::(?:stop_token|stop_source|stop_callback)\b",  # <thread> has it
    "string": r"std::(?:string|to_string|getline)\b",
    "string_view": r"std::string_view\b",
    "thread": r"std::(?:thread|jthread|this_thread)\b",
    "utility": r"std::(?:move|pair|make_pair|forward|exchange|swap|as_const|in_place\w*)\b",
    "variant": r"std::(?:variant|monostate|visit|get_if|holds_alternative)\b",
    "vector": r"std::vector\b",
    "absl/status/status.h": r"absl::(?:Status|StatusCode|OkStatus)\b",
    "absl/status/statusor.h": r"absl::StatusOr\b",
}
# Headers that promise the names of others.
GIVES = {
    "map": {"utility"}, "vector": {"utility"}, "optional": {"utility"}, "variant": {"utility"}, "memory": {"utility"},
    "functional": {"utility"}, "set": {"utility"}, "thread": {"stop_token"}, "string": {"string_view"},
    "array": {"utility"}, "unordered_map": {"utility"}, "algorithm": {"utility"}, "span": {"array", "utility"},
    "absl/status/statusor.h": {"absl/status/status.h", "utility"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)
MODULE = re.compile(r"starling_module\((.*?)\)", re.DOTALL)
KEYWORDS = ("NAME", "HEADERS", "SOURCES", "DEPENDS", "LIBRARIES", "PUBLIC_LIBRARIES")


def declared_modules():
    """Module name -> {keyword: [words]} from the CMakeLists of the tree, in no order."""
    modules = {}
    for listfile in ROOT.glob("**/CMakeLists.txt"):
        relative = listfile.relative_to(ROOT).parts
        if relative[0] in FREE_FOLDERS - {"apps"}:
            continue
        for match in MODULE.finditer(listfile.read_text()):
            fields, keyword = {}, None
            for word in re.sub(r"#.*", "", match.group(1)).split():
                if word in KEYWORDS:
                    keyword = word
                    fields.setdefault(keyword, [])
                else:
                    fields[keyword].append(word)
            fields["folder"] = "/".join(relative[:-1])
            modules[fields["NAME"][0]] = fields
    return modules


def module_sources(fields):
    folder = ROOT / fields["folder"]
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".h", ".cc"):
            yield path


def includes_of(path):
    text = path.read_text(errors="replace")
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield line, match.group(1), match.group(2)


def owner(include, modules):
    """The module that an include path belongs to, or None."""
    folder = include.rpartition("/")[0]
    while folder:
        if folder in modules:
            return folder
        folder = folder.rpartition("/")[0]
    return None


def check_layering(modules):
    for name, fields in modules.items():
        allowed = set(fields.get("DEPENDS", [])) | {name}
        for path in module_sources(fields):
            for line, quote, include in includes_of(path):
                module = owner(include, modules)
                if quote == '"' and module is None and not include.endswith((".pb.h", ".grpc.pb.h")):
                    yield f"{path.relative_to(ROOT)}:{line}: \"{include}\" is no path from the root"
                elif module is not None and module not in allowed:
                    yield (f"{path.relative_to(ROOT)}:{line}: {name} includes {include}, but does "
                           f"not declare DEPENDS {module}")


def check_fences(modules):
    folders = {name: fields["folder"] for name, fields in modules.items()}
    folders["apps"] = "apps"
    for name, folder in folders.items():
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            for line, quote, include in includes_of(path):
                for prefix, owners in FENCES.items():
                    if quote == "<" and include.startswith(prefix) and name not in owners:
                        yield (f"{path.relative_to(ROOT)}:{line}: <{include}> belongs to "
                               f"{', '.join(sorted(owners))} only")


def check_diagram(modules):
    text = (ROOT / "ARCHITECTURE.md").read_text()
    block = re.search(r"<!-- modules -->\n```\n(.*?)```", text, re.DOTALL)
    if not block:
        yield "ARCHITECTURE.md: no block after <!-- modules -->"
        return
    drawn = {}
    for line in block.group(1).splitlines():
        if "<-" in line:
            name, _, dependencies = line.partition("<-")
            drawn[name.strip()] = set(dependencies.split())
    for name in sorted(set(drawn) | set(modules)):
        declared = set(modules[name].get("DEPENDS", [])) if name in modules else None
        if name not in drawn:
            yield f"ARCHITECTURE.md: module {name} is not in the diagram"
        elif declared is None:
            yield f"ARCHITECTURE.md: the diagram has {name}, the tree does not"
        elif declared != drawn[name]:
            yield (f"ARCHITECTURE.md: {name} <- {' '.join(sorted(drawn[name]))}, but the tree says "
                   f"{' '.join(sorted(declared))}")


def check_tests(modules):
    for name, fields in modules.items():
        if name in UNTESTED:
            continue
        for source in fields.get("SOURCES", []):
            test = ROOT / "tests/unit" / fields["folder"] / (source.removesuffix(".cc") + "_test.cc")
            key = f"{fields['folder']}/{source}"
            if not test.exists() and key not in UNTESTED:
                yield f"{key}: no {test.relative_to(ROOT)} and no reason in {pathlib.Path(__file__).name}"
            if test.exists() and key in UNTESTED:
                yield f"{key}: has a test now, so remove its reason"


def check_includes(modules):
    """A source includes its own header first, so that this is parsed alone but for what builds parse beforehand."""
    closures = {}

    def given_by(path):
        """Names of headers without quotes that `path` includes, itself or through ours."""
        if path not in closures:
            closures[path] = set()
            for _, quote, include in includes_of(path):
                if quote == "<":
                    closures[path] |= {include} | GIVES.get(include, set())
                elif (ROOT / include).exists():
                    closures[path] |= given_by(ROOT / include)
        return closures[path]

    for fields in modules.values():
        for source in fields.get("SOURCES", []):
            path = ROOT / fields["folder"] / source
            header = path.with_suffix(".h")
            first = next(iter(includes_of(path)), (1, "", ""))
            if header.exists() and first[2] != header.relative_to(ROOT).as_posix():
                yield f"{path.relative_to(ROOT)}:{first[0]}: does not include its own header first"
        for name in fields.get("HEADERS", []):
            path = ROOT / fields["folder"] / name
            text = re.sub(r"//.*", "", path.read_text())
            for wanted, pattern in PRECOMPILED.items():
                used = re.search(pattern, text)
                if used and wanted not in given_by(path):
                    yield f"{path.relative_to(ROOT)}: uses {used.group()} without <{wanted}>"


def main():
    checks = {"layering": check_layering, "fences": check_fences, "diagram": check_diagram,
              "tests": check_tests, "includes": check_includes}
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        print(__doc__, file=sys.stderr)
        return 2
    modules = declared_modules()
    breaches = list(checks[sys.argv[1]](modules))
    for breach in breaches:
        print(breach)
    if not modules:
        print("no modules found")
        return 1
    print(f"{len(modules)} modules, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

"""What `starling build` does otherwise than buildah, and why; and what is right where buildah cannot tell."""

def holds(files, below=""):
    """That there are these files below a directory and no others; directories only around them. {PATH: CONTENT} or "PATH PATH"."""
    if isinstance(files, str):
        files = dict.fromkeys(files.split())

    def check(got):
        problems = []
        there = {name[len(below):]: entry for name, entry in got.items() if name.startswith(below) and entry["type"] != "5"}
        for name in sorted({*files, *there}):
            if name not in there or name not in files:
                problems.append(f"/{below}{name}: {'is missing' if name in files else 'should not be there'}")
            elif files[name] is not None and there[name].get("content") != files[name]:
                problems.append(f"/{below}{name}: holds {there[name].get('content')!r}, should hold {files[name]!r}")
        for name, entry in got.items():
            if name.startswith(below) and entry["type"] == "5" and not any(f"{below}{file}".startswith(name + "/") for file in files):
                problems.append(f"/{name}: a directory that should not be there")
        return "\n".join(problems)
    return check


def all_of(*checks):
    return lambda got: "\n".join(filter(None, (check(got) for check in checks)))


def below(directory, names):
    return " ".join(f"{directory}/{name}" for name in names.split())


# Lines of differences that say nothing about the build.
EVERYWHERE = (
    # Mount points of buildah's chroot isolation.
    r"^/etc/(hostname|hosts|resolv\.conf): only buildah has it$",
    # An image of nothing works in its root, as BuildKit's do; buildah leaves that open, which is the same to who runs it.
    r'^config WorkingDir: buildah null, Starling "/"$',
)

# Cases that cannot be run here: the reason.
NOT_RUN = {
    "add": "fetches from github.com",
    "header-builtin": "needs images of two architectures with programs of theirs",
    "mount": "needs --volume, which Starling has not: RUN --mount does that",
    "transient-mount": "needs --volume, which Starling has not: RUN --mount does that",
}

POPULATED = ("file-a.txt file-b.txt file-c.txt .dotfile-a.txt subdir-b/.dotfile-b.txt subdir-e/file-a.txt subdir-e/file-b.txt "
             "subdir-e/file-n.txt subdir-e/subdir-f/file-a.txt subdir-e/subdir-f/file-n.txt subdir-e/subdir-f/file-o.txt "
             "subdir-e/subdir-f/subdir-g/subdir-b")
POPULATED_C = "subdir-c/file-b.txt subdir-c/file-c.txt"
X = "x/a.txt x/y/a.txt x/y/b.txt x/z/a.txt x/z/b.txt"
Z_WITH_LINKS = "z/a.txt z/b.txt z/symlink-b.txt z/hardlink-a.txt z/hardlink-y-b.txt"
ROBOTS = "(robots content)\nLong file with random text\nRandom line\nHelloWorld\n"
HUMANS = "(humans content)\n"


def heredoc_files():
    """What the documents of heredoc-quoting become: a shell sees all of them as they are, COPY expands those without quotes."""
    empty = [f"run-{name}={value}.{quoting}{number}.txt"
             for quoting in ("unquoted", "quoted") for number in range(1, 5)
             for name, value in (("argA", "argvA2" if number == 4 else "argvA"), ("varA", "valueA2" if number > 2 else "valueA"),
                                 ("varB", "valueB"))]
    files = dict.fromkeys(empty, "")
    for command in ("copy", "add"):
        for quoting, (arg, var, none) in (("unquoted", ("argvA", "valueA", "")), ("quoted", ("$argA", "$varA", "$varB"))):
            for number in range(1, 5):
                head = {1: "", 2: "", 3: "varA=valueA2\n", 4: "argA=argvA2\nvarA=valueA2\n"}[number] + "varB=valueB\n"
                if number == 1:
                    touch = "" if (command, quoting) == ("copy", "quoted") or quoting == "quoted" else "touch /"
                    body = f"{touch}argA={arg}\n{touch}varA={var}\n{touch}varB={none}\n"
                else:
                    body = f'argA="{arg}"\nvarA="{var}"\nvarB="{none}"\n'
                files[f"{command}-{quoting}{number}.txt"] = head + body
    return files


def heredocs_quoted(got):
    return holds(heredoc_files())({name: entry for name, entry in got.items() if name.startswith(("run-", "copy-", "add-"))})


# Cases that Debian's buildah 1.28 cannot build, or that it and BuildKit see differently: what must come of them.
EXPECTED = {
    # --exclude.
    "add--exclude-includes-star": holds(POPULATED, "subdir/"),
    "add--exclude-includes-slash": holds(" ".join(name for name in f"{POPULATED} {POPULATED_C}".split() if "/" in name), "subdir/"),
    "add--exclude-includes-dot": holds(POPULATED, "subdir/"),
    "copy--exclude-includes-subdir-slash": holds(POPULATED, "subdir/"),
    "copy--exclude-includes-dot-slash": holds(f"{POPULATED} {POPULATED_C}", "subdir/"),
    "copy--exclude-includes-slash": holds(f"{POPULATED} {POPULATED_C}", "subdir/"),
    "copy--exclude-subdir-under-source": holds("app/storage/cache/cache_file"),
    "copy--form-and--exclude-subdir-under-source": holds("app/storage/cache/cache_file"),
    "copy--exclude-exception-under-source": holds("app/storage/cache/cache_file app/storage/views/exception"),
    # --parents.
    "copy--parents": holds("no_parents/a.txt parents/x/a.txt parents/y/a.txt"),
    "copy--parents-directories": holds(X, "parents/"),
    "copy--parents-dir-with-links": all_of(
        holds(f"x/a.txt x/y/a.txt x/y/b.txt {below('x', Z_WITH_LINKS)}", "parents/"), holds(Z_WITH_LINKS, "parents_dir_point/")),
    "copy--parents-all-directories": holds(f"{X} y/a.txt y/b.txt", "parents/"),
    "copy--parents-directory-with-parent-directory": holds("x/y/a.txt x/y/b.txt", "parents/"),
    "copy--parents-path-with-star": holds("x/y/a.txt x/z/a.txt x/b.txt y/b.txt".replace("x/b.txt ", ""), "parents/"),
    "copy--parents-two-parent-directories": holds("x/y/a.txt x/y/b.txt", "parents/"),
    "copy--parents-unknown-count-parent-directories": holds(X, "parents/"),
    "copy--parents-directory-limit-parents-unknown-count-parent-directories": holds(X.replace("x/", ""), "parents/"),
    "copy--parents-limit-parents-unknown-count-parent-directories": holds(X.replace("x/", ""), "parents/"),
    "copy--parents-limit-parent-directories": holds("y/a.txt y/b.txt", "parents/"),
    "copy--parents-limit-parent-directories-1": holds("a.txt b.txt", "parents/"),
    # Documents in the Dockerfile.
    "heredoc-copy": all_of(holds({"robots.txt": ROBOTS, "humans.txt": HUMANS, "file": None}, "test/"),
                           holds({"robots.txt": ROBOTS, "humans.txt": HUMANS, "image_file": "helloworld\n"}, "test2/")),
    "heredoc-quoting": heredocs_quoted,
    # Patterns. One that matches nothing is no error. A backslash is gone once variables are expanded, so n\\?pe is n?pe.
    "copy-escape-glob": holds({"app/file.txt": "app/[xyz]/file.txt", "app2/file.txt": "app/[xyz]/[abc]/file.txt", "app3/file.txt": None,
                               "app3/[abc]/file.txt": "app/[xyz]/[abc]/file.txt", "app4/file.txt": "app/nope/file.txt",
                               "app5/file.txt": "app/strauv/file.txt"}),
    "copyglob-4": holds(""),
    "copy-multiple-missing-file-with-nomatch-on-glob": holds(""),
    # What the ignore file includes again is there, wherever it lies.
    "copy-integration1": all_of(holds("sub1.txt", "subdir/"), lambda got: "" if "sub1.txt" in got else "/sub1.txt: is missing"),
    # buildah removes everything after this step.
    "mount-targets-mount": holds("true"),
    # What a stage inherits from the one that it begins with: its arguments, too.
    "quoted and inherited arg": lambda got: holds({"arg-expansion.txt": "".join(
        f"{stage}:\nwords\nwith\nquotes\n" * 2 for stage in ("lower", "upper"))})(
            {name: entry for name, entry in got.items() if name == "arg-expansion.txt"}),
}

# Case -> (the reason, a regular expression for each line of the differences).
AFTER_VOLUME = "what is written to a volume after VOLUME stays in the image, as with BuildKit"
CLEAN_WORKDIR = "WORKDIR is noted without a slash at its end, as by BuildKit"
KEEPS_BITS = "the context's set-id bits stay, as with BuildKit"
NO_REPLACING = "COPY replaces no file by a directory and no directory by a file, as with BuildKit"
INCLUDED_AGAIN = "an ignored directory is searched for what the ignore file includes again, as by BuildKit"
ARGUMENTS = "an ARG after an ENV of its name wins, and a stage inherits the arguments of its base, as with BuildKit"
NO_LEFTOVERS = "mount points that RUN needed are no part of its layer"
DEVIATIONS = {
    "volumerun": (AFTER_VOLUME, r"^/var/www/file3: only Starling has it$"),
    "chown-volume": (AFTER_VOLUME, r"^/volume[abc] owner: buildah 0:0, Starling 1000:1000$"),
    "ci-pipeline-modified": (CLEAN_WORKDIR, r'^config WorkingDir: buildah "(.*)/", Starling "\1"$'),
    "workdir with trailing separator": (CLEAN_WORKDIR, r'^config WorkingDir: buildah "/tmp/", Starling "/tmp"$'),
    "copy-permissions": (KEEPS_BITS, r"^/subdir/below mode: buildah 0o770, Starling 0o2770$"),
    "copy-permissions-implicit": (KEEPS_BITS, r"^/subdir/below mode: buildah 0o770, Starling 0o2770$"),
    "setuid-file-in-context": (KEEPS_BITS, r"^/subdir[12]/set.id-file mode: buildah 0o755, Starling 0o[24]755$"),
    "dockerignore-exclude-deep-subdir-dot#2": (INCLUDED_AGAIN, r"subdir-f(/file-o.txt)?: only Starling has it$"),
    "dockerignore-exclude-deep-subdir-star#2": (INCLUDED_AGAIN, r"subdir-f(/file-o.txt)?: only Starling has it$"),
    "dockerignore-exceptions-skip": (INCLUDED_AGAIN, r"^/volume(/data(/oneline.txt)?)?: only Starling has it$"),
    "dockerignore-exceptions-weirdness-1": (INCLUDED_AGAIN, r"^/newdir/subdir(/sub1.txt)?: only Starling has it$"),
    "tar-g": ("a header for a whole archive is no file", r"^/tmp: only buildah has it$"),
    "replace-symlink-with-directory": (NO_REPLACING, "a directory cannot replace what is there$"),
    "replace-directory-with-symlink": (NO_REPLACING, "a file cannot replace a directory$"),
    "replace-symlink-with-directory-subdir": (NO_REPLACING, "a file cannot replace a directory$"),
    "replace-directory-with-symlink-subdir": (NO_REPLACING, "a directory cannot replace what is there$"),
    "multistage-copyback": ("what a step writes to a bind mount is lost", r"^/base2/2.txt: only buildah has it$"),
    "builtins": ("a build argument is not known before its ARG", r"^/1a.txt owner: buildah 0:0, Starling 1:1$"),
    "mount-targets-new": (NO_LEFTOVERS, r"^/(dev|etc|proc|run|sys): only buildah has it$"),
    "archive over files": ("the owner and mode of an archive's root are not its destination's", r"^/to (mode|owner): "),
    "archives by content": ("ADD --chown also owns what an archive holds, as with BuildKit",
                            r"^/owned/d(/f)? owner: buildah (0:0|5:6), Starling 7:8$"),
    "copies of a tree": ("--chmod is for the directories that it makes, too, as with BuildKit", r"^/g mode: buildah 0o755, Starling 0o600$"),
    "every setting": ("the shell form takes the SHELL of its place, and each port of a range is exposed, as with BuildKit",
                      "^config (Entrypoint|ExposedPorts): "),
    "arguments": (ARGUMENTS, r"^/(kept|args2) content: "),
    "mount-targets-old": (NO_LEFTOVERS, r"^/(dev|etc|proc|run|sys): only buildah has it$"),
}

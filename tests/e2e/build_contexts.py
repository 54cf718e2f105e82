"""What the cases of the tables add to their contexts in code: the tables hold data only. And Dockerfiles made in code."""

import bz2
import gzip
import io
import lzma
import os
import tarfile


def write(context, name, text="", mode=0o644):
    path = context / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def write_tar(context, name, members):
    """members: (path, mode, owner, xattrs); one that ends in / is a directory."""
    with tarfile.open(context / name, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, mode, owner, xattrs in members:
            member = tarfile.TarInfo(path.rstrip("/"))
            member.mode, (member.uid, member.gid) = mode, owner
            member.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in xattrs.items()}
            if path.endswith("/"):
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = len(path)
                tar.addfile(member, io.BytesIO(path.encode()))


def ignoring(*patterns):
    return lambda context: write(context, ".dockerignore", "\n".join(patterns) + "\n")


def glob_characters(context):
    for path in ("app/[xyz]/file.txt", "app/[xyz]/[abc]/file.txt", "app/n?pe/file.txt", "app/nope/file.txt", "app/st*uv/file.txt",
                 "app/strauv/file.txt"):
        write(context, path, path)


def odd_modes(context):
    write(context, "subdir/private", "private", 0o600)
    write(context, "subdir/script", "script", 0o775)
    write(context, "subdir/below/file", "file", 0o640)
    (context / "subdir/below").chmod(0o2770)
    (context / "subdir").chmod(0o751)


def archive_and_directory(context):
    members = [("dir/", 0o751, (0, 0), {}), ("dir/file", 0o640, (0, 0), {}), ("top", 0o606, (12, 34), {})]
    write_tar(context, "archive.tar", members)
    for path, mode, owner, _ in members:
        if path.endswith("/"):
            (context / "archive" / path).mkdir(parents=True)
        else:
            write(context, "archive/" + path, path)
            os.chown(context / "archive" / path, *owner)
        (context / "archive" / path).chmod(mode)
    (context / "archive").chmod(0o711)


def special_modes(context):
    write(context, "setuid-file", "setuid", 0o4755)
    write(context, "setgid-file", "setgid", 0o2755)
    write(context, "sticky-file", "sticky", 0o1755)


def attributes(context):
    os.setxattr(write(context, "xattrs-file", "content"), "user.a", b"attribute")


def special_modes_in_archive(context):
    write_tar(context, "archive.tar", [(f"{name}-{kind}{end}", bit | 0o755, (7, 8), {})
                                       for name, bit in (("setuid", 0o4000), ("setgid", 0o2000), ("sticky", 0o1000))
                                       for kind, end in (("file", ""), ("dir", "/"))])


def static_program(context):
    """A program that ends well and needs no other file: busybox under the name of an applet."""
    for directory in os.environ["PATH"].split(":"):
        if os.path.exists(directory + "/busybox"):
            with open(directory + "/busybox", "rb") as file:
                (context / "true").write_bytes(file.read())
            (context / "true").chmod(0o755)
            return


def archive_of_everything(context):
    """Each kind of entry, over each kind of file that a Dockerfile may have put there."""
    with tarfile.open(context / "all.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, kind=tarfile.REGTYPE, mode=0o644, content=b"", target="", owner=(3, 4)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname, member.size = kind, mode, target, len(content)
            member.uid, member.gid = owner
            tar.addfile(member, io.BytesIO(content))
        add("./", tarfile.DIRTYPE, 0o700)
        for over in ("nothing", "file", "directory", "link", "link-to-directory"):
            add(f"file-over-{over}", content=b"new")
            add(f"directory-over-{over}", tarfile.DIRTYPE, 0o711)
            add(f"directory-over-{over}/in", content=b"in")
            add(f"link-over-{over}", tarfile.SYMTYPE, target="elsewhere")
            add(f"fifo-over-{over}", tarfile.FIFOTYPE, 0o600)
            add(f"hard-over-{over}", tarfile.LNKTYPE, target=f"file-over-{over}")
        add("deep/er/file", content=b"implied parents", mode=0o600)
        add("./dot/./file", content=b"dots")
        add("twice", content=b"1")
        add("twice", content=b"2")
        add("n" * 180 + "/" + "m" * 120, content=b"long")
        add("na\u00efve", content=b"accents")


def archives_by_content(context):
    members = [("d/", 0o750, (0, 0), {}), ("d/f", 0o640, (5, 6), {})]
    write_tar(context, "plain.tar", members)
    plain = (context / "plain.tar").read_bytes()
    (context / "gzip").write_bytes(gzip.compress(plain))
    (context / "bzip2.txt").write_bytes(bz2.compress(plain))
    (context / "xz.zip").write_bytes(lzma.compress(plain))
    (context / "only.gz").write_bytes(gzip.compress(b"no archive in it"))
    write(context, "text.tar", "no archive")


# What a Dockerfile puts where archive_of_everything unpacks.
UNDER_ARCHIVE = "RUN mkdir -p /to/target && cd /to && echo kept > target/kept && " + " && ".join(
    f"echo old > {kind}-over-file && mkdir -p {kind}-over-directory && echo old > {kind}-over-directory/old && "
    f"ln -s nowhere {kind}-over-link && ln -s target {kind}-over-link-to-directory"
    for kind in ("file", "directory", "link", "fifo", "hard"))


def tree_of_everything(context):
    write(context, "tree/file", "file", 0o640)
    write(context, "tree/script", "#!/bin/sh\n", 0o755)
    write(context, "tree/empty")
    write(context, "tree/sub/deep/file", "deep")
    write(context, "tree/.hidden", "hidden")
    write(context, "tree/name with spaces", "spaces")
    write(context, "tree/na\u00efve", "accents")
    os.link(context / "tree/file", context / "tree/hard")
    os.symlink("file", context / "tree/link")
    os.symlink("sub", context / "tree/link-to-directory")
    os.symlink("/nowhere", context / "tree/dangling")
    os.symlink("tree/file", context / "link-to-file")
    os.symlink("tree", context / "link-to-tree")
    (context / "tree/nothing").mkdir()


PREPARED = {
    "archive over files": archive_of_everything,
    "archives by content": archives_by_content,
    "copies of a tree": tree_of_everything,
    "copies of links": tree_of_everything,
    "copies from a stage": tree_of_everything,
    "copies to links": tree_of_everything,
    "copy-escape-glob": glob_characters,
    "add-permissions": archive_and_directory,
    "copy-permissions": odd_modes,
    "copy-permissions-implicit": odd_modes,
    "setuid-file-in-context": special_modes,
    "setuid-file-in-archive": special_modes_in_archive,
    "xattrs-file-in-context": attributes,
    "xattrs-file-in-archive": lambda context: write_tar(context, "archive.tar", [("xattrs-file", 0o644, (0, 0), {"user.a": "attribute"})]),
    "xattrs-file-in-other-stage": attributes,
    "mount-targets-new": static_program,
    "mount-targets-old": static_program,
    "mount-targets-mount": static_program,
    "dockerignore-irrelevant": ignoring("absent", "*/absent/*", "!also-absent"),
    "dockerignore-exceptions-dot": ignoring("!**/*-c", "**/*-a*", "*-b", "!subdir-b/.dotfile-b.txt"),
    "dockerignore-extensions-star": ignoring("**/*.txt", "!subdir-e/*.txt"),
    "dockerignore-includes-dot": ignoring("**", "!**/*-c", "!subdir-e/subdir-f/file-a.txt"),
    "dockerignore-includes-star": ignoring("*", "!*-c*", "!subdir-b"),
    "dockerignore-exclude-plain-dot": ignoring("subdir-c"),
    "dockerignore-exclude-plain-star": ignoring("subdir-c"),
    "dockerignore-exclude-plain-dot#2": ignoring("/subdir-e/", "./file-a.txt"),
    "dockerignore-exclude-plain-star#2": ignoring("/subdir-e/", "./file-a.txt"),
    "dockerignore-exclude-wildcard-dot": ignoring("subdir-*", "file-[ab].txt"),
    "dockerignore-exclude-wildcard-star": ignoring("subdir-*", "file-[ab].txt"),
    "dockerignore-exclude-deep-wildcard-dot": ignoring("**/subdir-*", "**/file-?.txt"),
    "dockerignore-exclude-deep-wildcard-star": ignoring("**/subdir-[f-g]", "**/*-[^a].txt"),
    "dockerignore-exclude-deep-subdir-dot": ignoring("**/subdir-b"),
    "dockerignore-exclude-deep-subdir-star": ignoring("**/subdir-b"),
    "dockerignore-exclude-not-so-deep-subdir-dot": ignoring("*/subdir-f"),
    "dockerignore-exclude-not-so-deep-subdir-star": ignoring("*/subdir-f"),
    "dockerignore-exclude-kind-of-deep-subdir-dot": ignoring("subdir-e/**/subdir-g"),
    "dockerignore-exclude-kind-of-deep-subdir-star": ignoring("subdir-e/**/subdir-g"),
    "dockerignore-exclude-deep-subdir-dot#2": ignoring("**/subdir-f", "!**/subdir-f/file-o.txt"),
    "dockerignore-exclude-deep-subdir-star#2": ignoring("**/subdir-f", "!**/subdir-f/file-o.txt"),
}

DOCKERFILES = {
    "setuid-file-in-context": "FROM scratch\nCOPY . subdir1\nADD . subdir2\n",
    "setuid-file-in-archive": "FROM scratch\nADD archive.tar .\n",
    "setuid-file-in-other-stage": """FROM mirror.gcr.io/busybox
RUN mkdir /a && echo whatever > /a/setuid && chmod u+xs /a/setuid
RUN mkdir /b && echo whatever > /b/setgid && chmod g+xs /b/setgid
RUN mkdir /c && echo whatever > /c/sticky && chmod o+x /c/sticky && chmod +t /c/sticky
FROM scratch
COPY --from=0 /a/setuid /b/setgid /c/sticky /
""",
}

# Steps of the tables that cannot be done as they are written: what stands there, and what should.
CORRECTED = {
    "copy with --chown": ("ls -al /usr/bin/script\n", "ls -al /usr/bin/script.12\n"),
}

# Cases of our own: rows as in the tables.
MORE_CASES = [
    {"name": "archive over files",
     "dockerfileContents": f"FROM mirror.gcr.io/busybox\n{UNDER_ARCHIVE}\nADD all.tar /to/\n"},
    {"name": "archives by content",
     "dockerfileContents": """FROM scratch
ADD plain.tar /plain/
ADD gzip /gzip/
ADD bzip2.txt /bzip2
ADD xz.zip /xz/
ADD only.gz text.tar /kept/
ADD --chown=7:8 plain.tar /owned/
COPY plain.tar gzip /copied/
"""},
    {"name": "copies of a tree",
     "dockerfileContents": """FROM mirror.gcr.io/busybox
COPY tree /a
COPY tree/ /b/
COPY tree /tmp
COPY tree/sub/* /c/
COPY --chown=5:6 tree /d/e/f
COPY --chmod=600 tree/file /g/file
COPY tree/file tree/script /h/
COPY tree/file /i
COPY tree/file /i
COPY ["tree/name with spaces", "/j/"]
COPY tree/sub/../file /k/
COPY /tree//sub/ /l
COPY . /m/
WORKDIR /w
COPY tree/file .
COPY tree/file ./x/
COPY tree/sub y
COPY tree/f*e tree/?cript tree/[e-f]* z/
"""},
    {"name": "copies of links",
     "dockerfileContents": """FROM scratch
COPY link-to-file /a
COPY link-to-tree /b
COPY link-to-tree/file /c
COPY link-to-tree/sub/ /d/
COPY tree/link /e
COPY tree/link-to-directory /f
COPY link-* /g/
"""},
    {"name": "copies to links",
     "dockerfileContents": """FROM mirror.gcr.io/busybox
RUN mkdir -p /real/sub && ln -s real /relative && ln -s /real /absolute && ln -s ../../../../real /root/up && ln -s absolute /twice
COPY tree/file /relative/1
COPY tree/file /absolute/2
COPY tree/file /root/up/3
COPY tree/sub /twice/
COPY tree/file tree/script /relative/
WORKDIR /absolute/made
COPY tree/file .
"""},
    {"name": "copies from a stage",
     "dockerfileContents": """FROM mirror.gcr.io/busybox AS from
COPY tree /tree
RUN cd /tree && chown 11:12 script && chown -h 13:14 link && mkfifo fifo && chmod 2770 nothing && chmod 1777 sub && ln -s /tree/file absolute
RUN rm -r /tree/sub/deep /var/spool && rm /etc/group && mkdir /tree/sub/deep && echo new > /tree/sub/deep/new && rm -r /tmp && echo file > /tmp
FROM scratch
COPY --from=from /tree /all/
COPY --from=from /tree/script /tree/absolute /some/
COPY --from=from --chown=0:21 /tree/sub /owned
COPY --from=from /var /var
COPY --from=from /tmp /tmp
"""},
    {"name": "removals",
     "dockerfileContents": """FROM mirror.gcr.io/busybox
RUN rm -r /var/spool /home && mkdir /home && echo x > /home/x
RUN rm /etc/nsswitch.conf && mkdir /etc/nsswitch.conf && echo x > /etc/nsswitch.conf/x
RUN rm -r /etc/nsswitch.conf && ln -s group /etc/nsswitch.conf
RUN mkdir -p /a/b/c && echo 1 > /a/b/c/1
RUN rm -r /a/b && mkdir -p /a/b && echo 2 > /a/b/2
RUN mv /a /moved && chmod 700 /moved && touch /.wh.x /moved/.wh.y && rm /.wh.x /moved/.wh.y
RUN ln /moved/b/2 /moved/hard && ln -s 2 /moved/b/s && rm /moved/b/2
"""},
    {"name": "every setting",
     "dockerfileContents": """FROM mirror.gcr.io/busybox
ARG from_arg=arg
ENV A=1 B="two words" C=$A-$from_arg D=${none:-default} E=${A:+set}
LABEL one=1 "two words"="a b" three=$A
LABEL one=again multi="line \\
 continued"
EXPOSE 80 443/tcp 53/udp 8000-8002
VOLUME ["/v1", "/v 2"]
VOLUME /v3 /v4
USER 1:2
WORKDIR /absolute
WORKDIR relative/$A
WORKDIR ../up
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --retries=4 CMD test -e /x
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT echo "$A"
CMD ["a", "b c"]
ONBUILD RUN echo onbuild > /onbuild
"""},
    {"name": "settings that are inherited",
     "dockerfileContents": """FROM mirror.gcr.io/busybox AS parent
ENV A=1 PATH=/bin:/usr/bin
LABEL a=1 b=2
ENTRYPOINT ["/bin/true"]
CMD ["x"]
USER 7
VOLUME /v
EXPOSE 1
HEALTHCHECK NONE
FROM parent
ENV A=2 B=$A
LABEL b=3
ENTRYPOINT ["/bin/false"]
USER root
"""},
    {"name": "triggers",
     "dockerfileContents": """FROM mirror.gcr.io/busybox AS parent
ENV NAME=parent
ONBUILD ENV TRIGGERED=$NAME
ONBUILD RUN echo $NAME > /triggered
ONBUILD WORKDIR /on/build
FROM parent
RUN pwd > /pwd
"""},
    {"name": "commands and users",
     "dockerfileContents": """FROM mirror.gcr.io/busybox
RUN id > /id0 && umask > /umask && pwd > /pwd0
RUN ["/bin/sh", "-c", "echo $0 $1 > /words", "zero one", "$two"]
WORKDIR /tmp
USER lp
RUN id > id1 && echo $HOME > home1
USER 8
RUN id > id2 && echo $HOME > home2
USER daemon:mail
RUN id > id3
USER 1234:5678
RUN id > id4 && echo $HOME > home4
USER root
RUN echo a && \\
    # a comment within
    echo b > /joined
RUN set -e; for i in 1 2 3; do echo $i; done > /loop
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo "with spaces" 'and $quotes' > /shell
"""},
    {"name": "arguments",
     "buildArgs": {"GIVEN": "given", "UNUSED_HERE": "x", "EMPTY": ""},
     "dockerfileContents": """ARG GLOBAL=global
ARG GIVEN=default
FROM mirror.gcr.io/busybox AS one
ARG GLOBAL
ARG GIVEN
ARG EMPTY=default
ARG LOCAL=$GLOBAL-$GIVEN
ENV KEPT=$LOCAL
RUN echo "$GLOBAL,$GIVEN,$EMPTY,$LOCAL,$KEPT" > /args
ARG KEPT=not-this
RUN echo "$KEPT" > /kept
FROM one
RUN echo "$GLOBAL,$GIVEN,$KEPT" > /args2
"""},
]

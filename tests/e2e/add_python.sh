#!/bin/bash
# Promise: add_python puts a released Python on a base that has none: chosen by the base's C library, checked against its digest,
# with pip and a working compiler's configuration, as one layer that all images share; and refuses where none can run.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

archives=$("$here/python_archives.sh")
debian=$("$here/debian.sh")
start_registry "$work"
start_starlingd "$work"
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
common=(--progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state")
export STARLING_PYTHON_SOURCE=$archives STARLING_PYTHON_TABLE=$archives/SHA256SUMS
empty=$work/empty
mkdir "$empty"

# build NAME ARGUMENTS...: $REGISTRY/NAME, pushed; what was said is in $work/NAME.log.
build() {
  local name=$1 log
  shift
  log=$work/${name//[:\/]/-}.log
  starling "$@" "${common[@]}" -t "$REGISTRY/$name" --push >"$work/digest" 2>"$log" ||
    fail "$name: $(tail -n 20 "$log")"
}
# refused WHAT REGEX ARGUMENTS...: not built, and why.
refused() {
  local what=$1 regex=$2
  shift 2
  if starling "$@" "${common[@]}" >"$work/refused.out" 2>"$work/refused.log"; then
    fail "$what was built"
  fi
  expect_match "$what" "$(cat "$work/refused.log")" "$regex"
}
# in_image NAME COMMAND...: its output.
in_image() {
  local name=$1
  shift
  ctr -a "$CONTAINERD_ADDRESS" run --rm --snapshotter stargz "$REGISTRY/$name" "add-python-$BASHPID" "$@"
}
PATH=$bin:$PATH

# Two bases that are not the same image, one of them with another file.
cp "$debian" "$empty/root.tar"
cat >"$work/Dockerfile" <<'D'
FROM scratch AS one
ADD root.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
FROM one AS two
RUN echo two >/two
D
build base:1 build -f "$work/Dockerfile" --target one "$empty"
build base:2 build -f "$work/Dockerfile" "$empty"
expect "Python in the base" "$(in_image base:1 sh -c 'command -v python3 || command -v python || command -v pip || echo none')" none

build one:1 image from-registry "$REGISTRY/base:1" --add-python 3.12 \
  --run 'python -c "import ssl, sqlite3, sysconfig, ctypes, lzma, bz2, uuid"' --run 'pip --version >/pip'
expect_match "where it came from" "$(cat "$work/one-1.log")" "Python from $archives/cpython-3.12.3\+20240415-x86_64-unknown-linux-gnu"
expect_match "pip" "$(in_image one:1 cat /pip)" "^pip [0-9.]+ from /usr/local/lib/python3.12/site-packages/pip \(python 3.12\)"
expect "by its names" "$(in_image one:1 sh -c 'for n in python python3 pip pip3 python3-config; do command -v $n; done' | xargs)" \
  "/usr/local/bin/python /usr/local/bin/python3 /usr/local/bin/pip /usr/local/bin/pip3 /usr/local/bin/python3-config"
expect "its version" "$(in_image one:1 python -V)" "Python 3.12.3"
expect "certificates are looked for where Debian has them" \
  "$(in_image one:1 python -c 'import ssl; print(ssl.get_default_verify_paths().openssl_capath)')" /etc/ssl/certs
expect "descriptions of terminals" \
  "$(in_image one:1 env TERM=xterm python -c 'import curses; curses.setupterm(); print(curses.tigetnum("colors"))')" 8

# What compiles an extension says, it can do.
cat >"$work/extension.py" <<'P'
import pathlib, re, subprocess, sysconfig, tempfile, sys
v = sysconfig.get_config_var
for name in sysconfig.get_config_vars():
    value = str(v(name))
    assert not re.search(r"(^|[\s'=])/install\b|/llvm/bin/(clang|llvm-ar)|\bclang(\+\+)?(\s|$)", value), (name, value)
directory = pathlib.Path(tempfile.mkdtemp())
(directory / "ext.c").write_text("""
static int answer(void) { return 42; }
struct { long refs; void *type, *init; long index; void *copy; const char *name, *doc; long size; void *rest[5]; }
    module = {1, 0, 0, 0, 0, "ext", 0, -1, {0}};
extern void *PyModule_Create2(void *, int);
extern int PyModule_AddIntConstant(void *, const char *, long);
void *PyInit_ext(void) {
  void *made = PyModule_Create2(&module, 1013);
  PyModule_AddIntConstant(made, "answer", answer());
  return made;
}
""")
target = directory / ("ext" + v("EXT_SUFFIX"))
words = f"{v('CC')} {v('CFLAGS')} {v('CCSHARED')}".split()
subprocess.run([*words, "-c", directory / "ext.c", "-o", directory / "ext.o"], check=True)
subprocess.run([*v("LDSHARED").split(), directory / "ext.o", "-o", target], check=True)
sys.path.insert(0, str(directory))
import ext
print(ext.answer, v("CC").split()[0], v("prefix"), v("LIBDIR"))
P
expect "an extension that is compiled by what sysconfig says" \
  "$(ctr -a "$CONTAINERD_ADDRESS" run --rm --snapshotter stargz --mount "type=bind,src=$work,dst=/w,options=rbind:ro" "$REGISTRY/one:1" "add-python-$BASHPID" python /w/extension.py)" \
  "42 cc /usr/local /usr/local/lib"
expect_match "python3-config" "$(in_image one:1 python3-config --ldflags --embed)" "-L/usr/local/lib"

# What Python's start needs comes first in the layer, to be fetched ahead.
curl -s "http://$REGISTRY/v2/one/blobs/$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/one:1" | jq -r '.layers[1].digest')" >"$work/layer"
expect "the first files" "$(tar -tzf "$work/layer" | sed '/landmark/q' | grep -v '/$' | xargs)" \
  "usr/local/bin/python3.12 usr/local/lib/libpython3.12.so.1.0 usr/local/lib/python3.12/encodings/__init__.py usr/local/lib/python3.12/encodings/aliases.py usr/local/lib/python3.12/encodings/utf_8.py usr/local/lib/python3.12/site-packages/starling-certificates.pth .prefetch.landmark"

# The layer is the same on every base: nothing is unpacked, compressed or sent again.
layer_of() {
  skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/$1" | jq -r ".layers[$2].digest"
}
build two:1 image from-registry "$REGISTRY/base:2" --add-python 3.12.3 --run 'python -V'
expect "the layer of another base" "$(layer_of two:1 2)" "$(layer_of one:1 1)"
expect "what is fetched for it" "$(grep -c 'Python from' "$work/two-1.log" || true)" 0
layer_bytes=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/one:1" | jq '.layers[1].size')
mark=$(registry_mark "$work")
stored=$(du -sb "$work/registry" | cut -f 1)
for number in 1 2 3 4 5 6 7 8; do
  build two:1 image from-registry "$REGISTRY/base:2" --add-python 3.12.3 --run "echo $number >/number"
done
grown=$(($(du -sb "$work/registry" | cut -f 1) - stored))
echo "eight more images with a layer of $layer_bytes bytes add $grown bytes to the registry"
[ "$grown" -lt $((layer_bytes / 20)) ] || fail "eight more images add $grown bytes to the registry"
expect "the layer in eight more images is sent" \
  "$(registry_requests "$work" "$mark" | grep -cE "PUT .*digest=$(layer_of one:1 1 | sed s/:/%3A/)" || true)" 0
"$bin/ctr" -a "$CONTAINERD_ADDRESS" image ls -q | xargs -r "$bin/ctr" -a "$CONTAINERD_ADDRESS" image rm --sync >/dev/null
starling build prune --pythons --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" >"$work/pruned"
expect_match "what is pruned" "$(cat "$work/pruned")" "1 Pythons removed, 0 tools"
# containerd may collect what nobody needs any more while this goes on.
build again:1 image from-registry "$REGISTRY/base:1" --add-python 3.12.3
expect "the layer that is made anew" "$(layer_of again:1 1)" "$(layer_of one:1 1)"

# The newest of a series that the source has; a Dockerfile can have one, too.
printf 'FROM %s\nCOPY --link --from=p /python/. /usr/local\nRUN python -V >/version\n' "$REGISTRY/base:1" >"$work/Dockerfile.p"
build three:1 build -f "$work/Dockerfile.p" --build-context p=python://3.11 "$empty"
expect "the newest of a series" "$(in_image three:1 cat /version)" "Python 3.11.6"

# From a mirror, which has the form of the project's own releases.
mkdir -p "$work/mirror/20231002"
ln -s "$archives"/cpython-3.11.6*x86_64* "$work/mirror/20231002"
port=$(free_port)
start_process "$work/mirror.log" python3 -m http.server --bind 127.0.0.1 --directory "$work/mirror" "$port"
wait_until 20 "the mirror's first answer" curl -s "http://127.0.0.1:$port/"
starling build prune --pythons --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" >/dev/null
build six:1 image from-registry "$REGISTRY/base:1" --add-python 3.11.6 --python-source "http://127.0.0.1:$port"
expect_match "where it came from" "$(cat "$work/six-1.log")" "Python from http://127.0.0.1:$port/20231002/cpython-3.11.6%2B20231002-x86_64"
expect "the layer from a mirror" "$(layer_of six:1 1)" "$(layer_of three:1 1)"

# On what steps make of nothing; and from Python.
printf 'FROM scratch\nADD root.tar /\nCOPY --link --from=p /python/. /usr/local\n' >"$work/Dockerfile.p"
build four:1 build -f "$work/Dockerfile.p" --build-context p=python://3.12.3 --python-cpu native "$empty"
expect "the layer on a base that was built" "$(layer_of four:1 1)" "$(layer_of one:1 1)"
cd "$work"
PYTHONPATH=$here/../../python/src python3 -B - "$REGISTRY/base:1" "$REGISTRY/five:1" "${common[@]:2}" <<'P' >"$work/five.out" 2>"$work/five.log" ||
import sys

import starling

starling.Image.from_registry(sys.argv[1], add_python="3.12").run_commands("python -V >/version").push(
    sys.argv[2], lock="starling.lock", options=sys.argv[3:])
P
  fail "$(tail -n 20 "$work/five.log")"
expect "an image from Python" "$(in_image five:1 cat /version)" "Python 3.12.3"
expect "its layer" "$(layer_of five:1 1)" "$(layer_of one:1 1)"
# Its lock names the release, so that it may be used without a table, and no other.
python_file=$(basename "$archives"/cpython-3.12.3+20240415-x86_64-unknown-linux-gnu*)
expect "the release in the lock" "$(jq -c .pythons starling.lock)" \
  "{\"3.12 amd64 gnu v1\":{\"file\":\"$python_file\",\"digest\":\"sha256:$(sha256sum "$archives/$python_file" | cut -d' ' -f1)\"}}"
(
  unset STARLING_PYTHON_TABLE
  refused "a release that is in no table" "3.12" image from-registry "$REGISTRY/base:1" --add-python 3.12
  build locked:1 image from-registry "$REGISTRY/base:1" --add-python 3.12 --locked
)
expect "the layer of the lock" "$(layer_of locked:1 1)" "$(layer_of one:1 1)"
refused "a version that the lock does not have" "Python 3.11 amd64 gnu v1 is not in starling.lock; build once with --lock" \
  image from-registry "$REGISTRY/base:1" --add-python 3.11 --locked
sed "s/\"digest\": \"sha256:...../\"digest\": \"sha256:00000/" starling.lock >other.lock
refused "a release with another digest than the table's" "other.lock: .*${python_file/+/.} is known with another digest" \
  image from-registry "$REGISTRY/base:1" --add-python 3.12 --locked --lock other.lock

# For another machine than this one: no step of it runs.
mkdir -p "$work/arm/lib" && touch "$work/arm/lib/ld-linux-aarch64.so.1"
printf 'FROM scratch\nCOPY . /\n' >"$work/Dockerfile.plain"
build arm:1 build -f "$work/Dockerfile.plain" --platform linux/arm64 "$work/arm"
build arm:2 image from-registry "$REGISTRY/arm:1" --platform linux/arm64 --add-python 3.11.6
expect_match "where it came from" "$(cat "$work/arm-2.log")" "cpython-3.11.6\+20231002-aarch64-unknown-linux-gnu"
curl -s "http://$REGISTRY/v2/arm/blobs/$(layer_of arm:2 1)" >"$work/layer"
expect "the program's machine" "$(tar -xzOf "$work/layer" usr/local/bin/python3.11 | od -An -tx2 -j 18 -N 2 | xargs)" 00b7

# On a base that has a Python of its own: at the same place, and in a directory in front of it.
build own:1 image from-registry "$REGISTRY/one:1" --add-python 3.11 --run 'python -V >/version && python3 -m pip --version >>/version'
expect "instead of the base's own Python" "$(in_image own:1 cat /version | cut -d' ' -f1,2)" $'Python 3.11.6\npip '"$(in_image own:1 pip --version | cut -d' ' -f2)"
build own:2 image from-registry "$REGISTRY/two:1" --run 'mkdir /own && printf "#!/bin/sh\necho own\n" >/own/python && chmod 755 /own/python' \
  --env PATH=/own:/usr/local/bin:/usr/bin:/bin --add-python 3.11
expect "beside one in front" "$(in_image own:2 sh -c 'python -V; python3 -V' | xargs)" "own Python 3.11.6"

# Where the base has certificates elsewhere; a variable of the image goes before.
certificates=$(in_image five:1 sh -c 'mkdir -p /etc/pki/tls/certs && touch /etc/pki/tls/certs/ca-bundle.crt &&
  python -c "import ssl; print(ssl.get_default_verify_paths().cafile)" && SSL_CERT_FILE=/etc/passwd python -c "import ssl; print(ssl.get_default_verify_paths().cafile)"' | xargs)
expect "certificates of Fedora, and of a user" "$certificates" "/etc/pki/tls/certs/ca-bundle.crt /etc/passwd"

# On a node that has nothing: only what is read comes, as background work would bring the rest while the container starts.
mkdir "$work/cold"
starlingd_settings=$'[fetch]\nbackground = false'
size=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/one:1" | jq '[.layers[].size] | add')
start_starlingd "$work/cold"
start_containerd "$work/cold" "$bin"
mark=$(registry_mark "$work")
starling pull --address "$CONTAINERD_ADDRESS" "$REGISTRY/one:1" >/dev/null 2>&1
expect "a run on a cold node" "$(in_image one:1 python -c 'print(6 * 7)')" 42
read -r requests bytes < <(registry_cost "$work" "$mark")
echo "a cold run reads $bytes of $size bytes in $requests requests"
# A sixth where the machine does nothing else. The slower the registry seems to be, the more comes with a miss.
[ "$bytes" -lt $((size * 3 / 4)) ] || fail "a cold run reads $bytes of $size bytes"
CONTAINERD_ADDRESS=$work/containerd.sock

# Where it cannot work.
make_image "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/busybox:1" >/dev/null 2>&1
refused "a base without a C library" "the base has no C library for amd64" image from-registry "$REGISTRY/busybox:1" --add-python 3.12.3
refused "nothing at all" "the base has no C library for amd64" image from-scratch --add-python 3.12.3
mkdir -p "$work/musl/lib" && touch "$work/musl/lib/ld-musl-x86_64.so.1"
build musl:1 build -f "$work/Dockerfile.plain" "$work/musl"
# The same version for musl is taken there, of two that the source has. Its Python is another program.
mkdir -p "$work/both/python/bin" "$work/both/python/lib/python3.12"
cp /bin/true "$work/both/python/bin/python3.12"
ln -s python3.12 "$work/both/python/bin/python3"
musl_file=cpython-3.12.3+20240415-x86_64-unknown-linux-musl-install_only.tar.gz
tar -C "$work/both" -czf "$work/both/$musl_file" python
ln -s "$archives"/*.tar.gz "$work/both/"
(cd "$work/both" && sha256sum "$musl_file" >"$work/musl.sums")
build musl:2 image from-registry "$REGISTRY/musl:1" --env PATH=/usr/local/bin --add-python 3.12 --python-source "$work/both" \
  --python-table "$archives/SHA256SUMS" --python-table "$work/musl.sums"
expect_match "the musl build" "$(cat "$work/musl-2.log")" "Python from $work/both/${musl_file/+/.}"
refused "a version for another C library" "Python 3.12.3 for amd64 musl: this version is known for amd64 gnu alone" \
  image from-registry "$REGISTRY/musl:1" --add-python 3.12.3
refused "a version that is not known" "Python 3.12.77 for amd64 gnu: known are .*3.12.3" \
  image from-registry "$REGISTRY/base:1" --add-python 3.12.77
refused "a version that the source has not" "the source has no file of it, such as cpython-3.14" \
  image from-registry "$REGISTRY/base:1" --add-python 3.14
refused "a level that is none" "--python-cpu: 'v9' is not one of baseline" \
  image from-registry "$REGISTRY/base:1" --add-python 3.12.3 --python-cpu v9
refused "a PATH without it" "/usr/local/bin is not in the image's PATH" \
  image from-registry "$REGISTRY/base:1" --add-python 3.12.3 --env PATH=/bin
mkdir "$work/broken"
head -c 1000 "$archives"/cpython-3.12.3*.tar.gz >"$work/broken/$(basename "$archives"/cpython-3.12.3*.tar.gz)"
rm -rf "$work/state/python"
refused "a file with another digest" "its digest is sha256:[0-9a-f]+, not sha256:$(grep 3.12.3 "$archives/SHA256SUMS" | cut -c 1-64)" \
  image from-registry "$REGISTRY/base:1" --add-python 3.12.3 --python-source "$work/broken"
expect "what is left of it" "$(ls "$work/state/python/trees" 2>/dev/null || true)" ""
echo PASS

#!/bin/bash
# Promise: `starling build` builds a Dockerfile on a base that stays in the registry, gives containerd an image that runs at once,
# pushes it without its base's bytes, does nothing twice, and leaves nothing behind, however it ends.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
. "$here/image.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

make_image "$work"
start_registry "$work"
starling convert "oci:$work/oci:plain" "docker://$REGISTRY/t/base:1" >/dev/null 2>&1
start_starlingd "$work"
bin=$("$here/tools.sh")
start_containerd "$work" "$bin"
export CONTAINERD_ADDRESS
mkdir "$work/context"
cd "$work/context"
app=$REGISTRY/t/app

# build ARGUMENTS...: the image's digest.
build() {
  local log=$work/build.log.$BASHPID
  starling build -q --progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" "$@" 2>"$log" ||
    fail "starling build $*: $(tail -n 20 "$log")"
}
# built ARGUMENTS...: the same, with all that it says.
built() {
  starling build --progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" "$@" >"$work/build.out" 2>"$work/build.log" ||
    fail "starling build $*: $(tail -n 20 "$work/build.log")"
}
# run IMAGE COMMAND...: what it prints.
run() {
  local image=$1
  shift
  "$bin/ctr" run --rm --log-uri "file://$work/run.log" --snapshotter stargz "$image" c1 "$@" >/dev/null && cat "$work/run.log" && rm "$work/run.log"
}
leftovers() {
  grep -c starling-build /proc/self/mounts || true
  "$bin/ctr" snapshots --snapshotter stargz ls | grep -c Active || true
  "$bin/ctr" leases ls -q | wc -l
  "$bin/ctr" content active | tail -n +2 | wc -l
  find "$work/state/sources" "$work/state/contexts" -mindepth 1 | wc -l
}

cat >Dockerfile <<D
FROM $REGISTRY/t/base:1 AS base
ARG WHO=world
ENV GREETING="hello \$WHO"
WORKDIR /app
RUN echo "\$GREETING" >greeting && ls /data/kept
COPY hello.txt sub/ /app/
RUN <<E
set -e
test "\$(cat hello.txt)" = hi
echo "from a heredoc" >script
E

FROM base
COPY --link --chmod=u=rwx,go=rx <<E /app/entry
#!/bin/sh
exec "\\\$@"
E
LABEL who=\$WHO
ENTRYPOINT ["/app/entry"]
CMD ["cat", "/app/greeting", "/app/script", "/app/s"]
D
echo hi >hello.txt
mkdir sub
echo sub >sub/s
mark=$(registry_mark "$work")
digest=$(build -t "$app:1" .)
expect_match "the image's digest" "$digest" '^sha256:[0-9a-f]{64}$'
# Nothing of the base comes that no step reads, though starlingd completes layers in the background, until a container is started.
expect_match "requests and bytes of the base" "$(registry_cost "$work" "$mark")" '^[0-9]+ [1-7]?[0-9]{1,6}$'
# modes: how starlingd fetches the base's layers.
modes() {
  starling status --address "$work/starling.sock" "$REGISTRY/t/base:1" --json | jq -c '[.images[0].layers[].reason] | unique'
}
expect "how the base's layers are fetched" "$(modes)" '["only builds read it"]'
expect "what it prints under containerd" "$(run "$app:1")" $'hello world\nfrom a heredoc\nsub'
expect "layers that are still fetched for builds alone" "$(modes | grep -c 'only builds' || true)" 0
# Complete, and looked at: a checked layer's diff ID is kept.
is_complete() {
  local layers
  layers=$(starling status --address "$work/starling.sock" "$REGISTRY/t/base:1" --json | jq -e '[.images[0].layers[].complete] | select(all) | length') &&
    test "$(find "$work/starling/store" -name diffid | wc -l)" -ge "$layers"
}
wait_until 30 "a complete base" is_complete
"$bin/ctr" content get "$("$bin/ctr" content get "$digest" | jq -r .config.digest)" >"$work/config.json"
expect "its configuration" \
  "$(jq -c '[.config.WorkingDir, .config.Labels, (.config.Env | map(select(startswith("GREETING")))), .os]' "$work/config.json")" \
  '["/app",{"who":"world"},["GREETING=hello world"],"linux"]'
expect "its history" "$(jq -r '.history[-1].created_by' "$work/config.json")" 'CMD ["cat" "/app/greeting" "/app/script" "/app/s"]'
expect "what is left behind" "$(leftovers | tr '\n' ' ')" "0 0 0 0 0 "

# Mount points are no part of any layer.
layer=$("$bin/ctr" content get "$digest" | jq -r '.layers[4].digest')
expect "the files of a RUN's layer" "$("$bin/ctr" content get "$layer" | tar tz | grep -v -e '\.landmark$' -e stargz.index.json)" \
  $'app/\napp/greeting'

# Nothing is done twice, and it can be told why something is.
built -t "$app:1" .
expect "steps that ran again" "$(grep -c 'DONE.*s$' "$work/build.log" || true) $(grep -c CACHED "$work/build.log")" "1 5"
expect "the digest" "$(cat "$work/build.out")" "$digest"
echo more >>hello.txt
sed -i 's/= hi$/= "hi\nmore"/' Dockerfile
built --explain --json .
expect "what has changed" "$(jq -r '[.[] | select(.cached | not)][0].changed[0]' "$work/build.out" | cut -d: -f1)" "files of hello.txt"
git -C "$work/context" init -q . 2>/dev/null
echo hi >hello.txt
sed -i 's/= "hi$/= hi/; /^more"$/d' Dockerfile
expect "the old content is known again" "$(build -t "$app:1" .)" "$digest"

# A push takes the base's layers from where they are.
"$bin/ctr" images rm --sync "$app:1" >/dev/null
mark=$(registry_mark "$work")
build -t "$app:1" --push . >/dev/null
large=$(registry_requests "$work" "$mark" | awk '$1 == "GET" && $4 > 100000' | wc -l)
expect "blobs of the base that were read for the push" "$large" 0
expect "blobs that were mounted" "$(registry_requests "$work" "$mark" | grep -c 'POST.*mount=sha256.* 201 ')" 3
skopeo copy -q --src-tls-verify=false "docker://$app:1" "oci:$work/pulled:1"
umoci unpack --image "$work/pulled:1" "$work/bundle" >/dev/null
expect "its files, pulled by others" "$(cat "$work/bundle/rootfs/app/greeting" "$work/bundle/rootfs/app/s")" $'hello world\nsub'
expect "a mode set by letters" "$(stat -c %a "$work/bundle/rootfs/app/entry")" 755
build -o "type=local,dest=$work/local" . >/dev/null
# tree DIRECTORY: what is in it, without what belongs to the format alone.
tree() {
  "$here/tree.py" "$1" | grep -v -e '^/ ' -e '^\.no\.prefetch\.landmark ' -e '^stargz\.index\.json '
}
expect "the same as a directory" "$(tree "$work/local" | sha256sum)" "$(tree "$work/bundle/rootfs" | sha256sum)"
build -o type=tar,dest=- . | tar t >"$work/names"
expect "and as a tar" "$(grep -c '^app/greeting$' "$work/names")" 1
build -t "$app:1" -o "type=oci,dest=$work/archive.tar" . >/dev/null
expect "and as an OCI archive" "$(skopeo inspect "oci-archive:$work/archive.tar" | jq -r .Digest)" "$digest"

# Layers of a base in the format of the own ones, written once.
skopeo copy -q --dest-tls-verify=false "oci:$work/oci:plain" "docker://$REGISTRY/t/plain:1"
printf 'FROM %s\nRUN echo own >/own\n' "$REGISTRY/t/plain:1" >Dockerfile.forced
base_diff_ids=$(skopeo inspect --config "oci:$work/oci:plain" | jq -c .rootfs.diff_ids)
for format in zstd estargz; do
  output=type=image,compression=$format,force-compression=true
  digest=$(build -t "$app:$format" --push -o "$output" -f Dockerfile.forced .)
  expect "what an image of $format layers prints" "$(run "$app:$format" cat /data/kept /own)" $'changed\nown'
  mark=$(registry_mark "$work")
  expect "its digest once more" "$(build -t "$app:$format" --push -o "$output" -f Dockerfile.forced .)" "$digest"
  expect "large blobs read for that" "$(registry_requests "$work" "$mark" | awk '$1 == "GET" && $4 > 100000' | wc -l)" 0
  starling inspect --json "docker://$app:$format" >"$work/inspect.json"
  skopeo inspect --tls-verify=false --config "docker://$app:$format" >"$work/config.json"
  if [ "$format" = zstd ]; then
    expect "its types" "$(skopeo inspect --tls-verify=false --raw "docker://$app:$format" | jq -r '[.layers[].mediaType] | unique | join(",")')" \
      application/vnd.oci.image.layer.v1.tar+zstd
    expect "diff IDs of the base" "$(jq -c --argjson base "$base_diff_ids" '.rootfs.diff_ids[:$base | length] == $base' "$work/config.json")" true
  else
    expect "its lazy layers" "$(jq -c '[.layers[].lazy] | unique' "$work/inspect.json")" "[true]"
    skopeo copy -q --src-tls-verify=false "docker://$app:$format" "oci:$work/pulled:forced"
    umoci unpack --image "$work/pulled:forced" "$work/forced" >/dev/null
    umoci unpack --image "$work/oci:plain" "$work/plain" >/dev/null
    expect "what differs in its files" "$(diff <(tree "$work/plain/rootfs") <(tree "$work/forced/rootfs") | grep '^[<>]' | cut -d' ' -f1,2)" "> own"
  fi
done
rm Dockerfile.forced

# RUN's mounts, and what it may reach.
cat >Dockerfile.mounts <<D
FROM $REGISTRY/t/base:1 AS tools
RUN echo tool >/tool
FROM $REGISTRY/t/base:1
RUN --mount=type=secret,id=token --mount=type=secret,id=pass,env=PASS cp /run/secrets/token /tmp/seen && test "\${#PASS}" = 10 && rm /tmp/seen
RUN --mount=type=cache,target=/cache,sharing=locked echo run >>/cache/runs && wc -l </cache/runs >/runs
RUN --mount=type=bind,target=/src,rw echo x >/src/new && cat /src/hello.txt >/from-context
RUN --mount=type=bind,from=tools,source=/tool,target=/tool cat /tool >/from-tools
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x && ls -A /scratch >/scratch-was
RUN --network=none ip addr >/net 2>&1 || true; ! grep -q 'eth0' /net
RUN adduser -D -u 1000 me 2>/dev/null || echo 'me:x:1000:1000::/:/bin/sh' >>/etc/passwd
USER me
RUN id -u >/tmp/uid
D
echo s3cret-token >"$work/token"
PASS=pa55-value build -t "$app:mounts" -f Dockerfile.mounts --secret "id=token,src=$work/token" --secret id=pass,env=PASS . >/dev/null
expect "what the mounts gave" "$(run "$app:mounts" cat /runs /from-context /from-tools /scratch-was /tmp/uid)" $'1\nhi\ntool\nx\n1000'
expect "what they left" "$(run "$app:mounts" sh -c 'ls -dA /cache /src /tool /scratch /run/secrets /new 2>&1; true' | grep -c 'No such file')" 6
expect "files in the context" "$(ls)" $'Dockerfile\nDockerfile.mounts\nhello.txt\nsub'
"$bin/ctr" content ls -q | while read -r blob; do "$bin/ctr" content get "$blob" | gzip -dcf 2>/dev/null || true; done >"$work/all-content"
expect "secrets in what containerd holds" "$(grep -c -a -e s3cret-token -e pa55-value "$work/all-content" || true)" 0
sed -i 's/^USER me/RUN --mount=type=cache,target=\/cache echo again >>\/cache\/runs \&\& wc -l <\/cache\/runs >\/runs\n&/' Dockerfile.mounts
PASS=pa55-value build -t "$app:mounts" -f Dockerfile.mounts --secret "id=token,src=$work/token" --secret id=pass,env=PASS . >/dev/null
expect "a cache outlives its build" "$(run "$app:mounts" cat /runs)" 2

# Devices, as their vendors describe them.
mkdir "$work/cdi"
cat >"$work/cdi/v.yaml" <<'D'
cdiVersion: "0.6.0"
kind: vendor.test/thing
devices:
- name: one
  containerEdits:
    env: [THING=one]
    deviceNodes: [{path: /dev/thing, hostPath: /dev/full}]
D
printf 'FROM %s\nRUN --device=vendor.test/thing,required echo "$THING" >/thing; ls /dev/thing >>/thing\n' "$REGISTRY/t/base:1" >Dockerfile.device
build -t "$app:device" -f Dockerfile.device --cdi-spec-dir "$work/cdi" --allow device=vendor.test/thing=one . >/dev/null
expect "what a step has of a device, and what is left of it" "$(run "$app:device" sh -c 'cat /thing; ls /dev/thing 2>/dev/null; true')" $'one\n/dev/thing'
! starling build --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" -f Dockerfile.device --cdi-spec-dir "$work/cdi" . >"$work/out" 2>"$work/error" || fail "a device that is not allowed"
expect_match "its place" "$(cat "$work/error")" 'Dockerfile.device:2'
expect_match "how to allow it" "$(tail -n 1 "$work/error")" 'device vendor.test/thing=one is not allowed; build with --allow device=vendor.test/thing=one'
rm Dockerfile.device

# What an image was made of and how, beside it.
index=$(PASS=pa55-value build -t "$app:told" --push --provenance=mode=max --metadata-file "$work/metadata.json" --build-arg "https_proxy=http://me:pr0xy-secret@p" \
  -f Dockerfile.mounts --secret "id=token,src=$work/token" --secret id=pass,env=PASS .)
expect "an image with its provenance, run" "$(run "$app:told" cat /from-context)" hi
skopeo inspect --tls-verify=false --raw "docker://$app:told" >"$work/index.json"
expect "its index" "sha256:$(sha256sum <"$work/index.json" | cut -d' ' -f1)" "$index"
expect "its entries" "$(jq -c '[.manifests[] | [.platform.os, .annotations["vnd.docker.reference.type"]]]' "$work/index.json")" \
  '[["linux",null],["unknown","attestation-manifest"]]'
image=$(jq -r '.manifests[0].digest' "$work/index.json")
expect "what the second speaks of" "$(jq -r '.manifests[1].annotations["vnd.docker.reference.digest"]' "$work/index.json")" "$image"
curl -s "http://$REGISTRY/v2/t/app/manifests/$(jq -r '.manifests[1].digest' "$work/index.json")" -H 'Accept: application/vnd.oci.image.manifest.v1+json' >"$work/attestation.json"
curl -s "http://$REGISTRY/v2/t/app/blobs/$(jq -r '.layers[0].digest' "$work/attestation.json")" >"$work/statement.json"
expect "its subject" "$(jq -r '.subject[0].digest.sha256' "$work/statement.json")" "${image#sha256:}"
expect "its base" "$(jq -r '.predicate.buildDefinition.resolvedDependencies[].uri' "$work/statement.json" | cut -d'?' -f1)" "pkg:docker/$REGISTRY/t/base@1"
expect "names of secrets, and no value" "$(jq -c '.predicate.buildDefinition.externalParameters.request.secrets' "$work/statement.json") \
$(grep -c -e s3cret-token -e pa55-value -e pr0xy-secret "$work/statement.json")" '["pass","token"] 0'
expect "the same in the metadata" "$(jq -c '."buildx.build.provenance"' "$work/metadata.json" | sha256sum)" "$(jq -c .predicate "$work/statement.json" | sha256sum)"
starling copy "docker://$app:told" "oci:$work/pulled:told" >/dev/null 2>&1
expect "the same in a copy" "$(sha256sum <"$work/pulled/blobs/sha256/$(jq -r '.layers[0].digest' "$work/attestation.json" | cut -d: -f2)")" \
  "$(sha256sum <"$work/statement.json")"

# One image for each platform, however often it is named, behind one index.
printf 'FROM scratch\nARG TARGETARCH\nCOPY hello.txt /$TARGETARCH\n' >Dockerfile.platforms
build -t "$app:many" --push -f Dockerfile.platforms --platform linux/amd64,linux/arm64 --platform linux/amd64 . >/dev/null
expect "the platforms of an image" "$(skopeo inspect --tls-verify=false --raw "docker://$app:many" | jq -c '[.manifests[].platform.architecture]')" '["amd64","arm64"]'
rm Dockerfile.platforms

# Failures say where and why.
cat >Dockerfile.bad <<D
FROM $REGISTRY/t/base:1
RUN echo before; echo the reason >&2; exit 7
D
status=0
starling build --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" -f Dockerfile.bad . >"$work/out" 2>"$work/error" || status=$?
expect "exit code of a failed step" "$status" 1
expect_match "its place" "$(cat "$work/error")" 'Dockerfile.bad:2'
expect_match "its last words" "$(cat "$work/error")" 'the reason'
expect_match "its end" "$(tail -n 1 "$work/error")" 'exit code 7'

# A shell in the place of what failed, with its files, mounts, user and environment.
cat >Dockerfile.debug <<D
FROM $REGISTRY/t/base:1
RUN mkdir -m 777 /open
ENV PLACE=here PS1=prompt:
WORKDIR /work
USER 1000
RUN --mount=type=secret,id=token,uid=1000 --mount=type=tmpfs,target=/scratch --network=none echo half >/open/done && exit 7
D
debug="starling build --debug-shell --address $CONTAINERD_ADDRESS --state-dir $work/state -f Dockerfile.debug --secret id=token,src=$work/token"
"$here/on_terminal.py" --prompt prompt: sh -c "$debug . >$work/out 2>$work/error; echo status \$?; stty -a" >"$work/shown" <<'D'
echo "$PLACE $(pwd) $(id -u) $(cat /open/done) $(cat /run/secrets/token) $(grep -c ' /scratch tmpfs' /proc/mounts)"
ls /sys/class/net; tty; stty size; exit 3
D
shown=$(tr -d '\r' <"$work/shown")
expect_match "what the shell sees" "$shown" $'\nhere /work 1000 half s3cret-token 1\n'
expect_match "its network and its terminal" "$shown" $'\nlo\n/dev/pts/[0-9]+\n'
expect_match "the end of the build behind it" "$(tail -n 1 "$work/error")" 'exit code 7'
expect_match "its exit code, and the terminal after it" "$shown" $'\nstatus 1\n.* icanon .* echo '
expect "what the shell left" "$(leftovers | tr '\n' ' ')" "0 0 0 0 0 "
# shellcheck disable=SC2086
expect_refusal "a shell without a terminal" 'there is no terminal' setsid $debug .
expect_refusal "a push of nothing that has a name" '--push: name the image with -t' starling build --push .

printf 'FROM scratch\nCOPY missing /\n' >Dockerfile.missing
expect_failure() {
  local what=$1 regex=$2
  shift 2
  ! starling build --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" "$@" >"$work/out" 2>"$work/error" || fail "$what did not fail"
  expect_match "$what" "$(cat "$work/error")" "$regex"
}
expect_failure "a missing file" 'missing: not found' -f Dockerfile.missing .
expect_failure "a missing secret" 'secret token is required' -f <(printf 'FROM %s\nRUN --mount=type=secret,id=token,required true\n' "$REGISTRY/t/base:1") .
expect_failure "an unknown owner" "no user is called 'nobody-here'" -f <(printf 'FROM %s\nCOPY --chown=nobody-here hello.txt /\n' "$REGISTRY/t/base:1") .
expect_failure "another attestation" 'not type=provenance' --attest type=sbom .
expect_failure "provenance of a directory" 'attached to an image' --provenance=true -o "type=local,dest=$work/none" .
expect "what failures left" "$(leftovers | tr '\n' ' ')" "0 0 0 0 0 "

# Stopped, and killed.
cat >Dockerfile.slow <<D
FROM $REGISTRY/t/base:1
RUN echo started; sleep 1234
D
for signal in INT KILL; do
  starling build --progress plain --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" -f Dockerfile.slow . >"$work/slow.out" 2>"$work/slow.log" &
  slow=$!
  wait_until 20 "the slow step's start" grep -q ' started$' "$work/slow.log"
  kill -"$signal" "$slow"
  wait "$slow" 2>/dev/null && fail "a build that got SIG$signal succeeded"
  wait_until 20 "the end of its processes after SIG$signal" sh -c '! pgrep -f "[s]leep 1234" >/dev/null'
  [ "$signal" = KILL ] || expect "what SIG$signal left" "$(leftovers | tr '\n' ' ')" "0 0 0 0 0 "
done
build -f Dockerfile.mounts --secret "id=token,src=$work/token" --secret id=pass,src="$work/token" --target tools . >/dev/null
expect "mounts that the killed build left" "$(grep -c starling-build /proc/self/mounts || true)" 0

# The same step of two builds runs once.
cat >Dockerfile.once <<D
FROM $REGISTRY/t/base:1
RUN --mount=type=cache,target=/c echo once >>/c/count; sleep 1; wc -l </c/count >/count
D
build -t "$app:once1" -f Dockerfile.once . >"$work/once" &
first=$!
build -t "$app:once2" -f Dockerfile.once . >"$work/once"
wait "$first"
expect "two builds at once" "$(run "$app:once1" cat /count) $(run "$app:once2" cat /count)" "1 1"

# The same bytes from the same files, on any day.
export SOURCE_DATE_EPOCH=1700000000
printf 'FROM scratch\nCOPY hello.txt sub /x/\n' >Dockerfile.reproducible
first=$(build --no-cache -f Dockerfile.reproducible .)
touch hello.txt sub/s
expect "digests of two builds" "$(build --no-cache -f Dockerfile.reproducible .)" "$first"
unset SOURCE_DATE_EPOCH

starling build prune --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" --cache-mounts >"$work/pruned"
expect_match "pruned" "$(cat "$work/pruned")" '[1-9][0-9]* results of steps removed.*[1-9] cache mounts removed'
echo PASS

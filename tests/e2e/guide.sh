#!/bin/bash
# Promise: what a guide to existing images shows works as it is written, with registries that stand for Docker Hub, ECR, Google's,
# GitHub's and the public ones: public and private images, the latter by a Secret alone; packages on them; a Dockerfile; an
# ENTRYPOINT that ends as its command; and an eStargz image is pulled lazily, with its progress.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
work=$(mktemp -d /tmp/starling-e2e.XXXXXX)
trap 'release_all "$work"' EXIT

archives=$("$here/python_archives.sh")
debian=$("$here/debian.sh")
bin=$("$here/tools.sh")
PATH=$bin:$PATH

# An index of packages: each is a module that says its name.
mkdir -p "$work/index" "$work/empty" "$work/cloud" "$work/home" "$work/project/src"
python3 - "$work/index" torch huggingface foo <<'P'
import pathlib, sys, zipfile
index = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    (index / name).mkdir()
    file = index / name / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{name}.py", f"def say():\n    return '{name}'\n")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
P
start_process "$work/index.log" python3 "$here/file_server.py" "$work/index" "$work/empty"
wait_until 20 "the index's start" test -s "$work/index.log"
index=$(head -n 1 "$work/index.log")

# The image that all of these registries have: Debian with a Python.
start_starlingd "$work"
start_containerd "$work" "$bin"
export STARLING_PYTHON_SOURCE=$archives STARLING_PYTHON_TABLE=$archives/SHA256SUMS
cp "$debian" "$work/empty/root.tar"
cat >"$work/Dockerfile" <<D
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PIP_INDEX_URL=http://$index/ PIP_ROOT_USER_ACTION=ignore
COPY --link --from=p /python/. /usr/local
D
starling build --address "$CONTAINERD_ADDRESS" --state-dir "$work/state" -q -f "$work/Dockerfile" --build-context p=python://3.12.3 \
  -t host.example/image:esgz -o "type=oci,dest=$work/oci,tar=false" "$work/empty" >/dev/null 2>"$work/base.log" ||
  fail "$(tail -n 20 "$work/base.log")"
stop_process "$CONTAINERD_PID"
stop_process "$STARLINGD_PID"

# The world outside, which is a proxy; nobody else is spoken to.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/google.pem" 2>/dev/null
openssl pkey -in "$work/google.pem" -pubout -out "$work/cloud/google.pub"
echo 'my-dockerhub-username:recognisable-dockerhub-token' >"$work/cloud/accounts"
start_process "$work/cloud.log" python3 "$here/cloud_registry.py" "$work/oci" esgz "$work/cloud"
wait_until 20 "the cloud's start" test -s "$work/cloud.log"
cloud=$(head -n 1 "$work/cloud.log")
export HOME=$work/home http_proxy=http://$cloud no_proxy=127.0.0.1 AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL_ECR=http://$cloud/ecr
unset DOCKER_CONFIG
hosts=(docker.io registry-1.docker.io 000000000000.dkr.ecr.eu-west-1.amazonaws.com europe-docker.pkg.dev ghcr.io public.ecr.aws nvcr.io)
mkdir "$work/node"
starlingd_settings=$'[fetch]\nprefetch = false\nbackground = false\n[registry]\nplain_http_hosts = ['$(printf '"%s", ' "${hosts[@]}" | sed 's/, $//')']'
start_starlingd "$work/node"
start_containerd "$work/node" "$bin"
export STARLING_ADDRESS=$work/node/starling.sock
options=(--address "$CONTAINERD_ADDRESS" --state-dir "$work/node/state" --progress plain)
for host in "${hosts[@]}"; do options+=(--plain-http "$host"); done

# Secrets, as the guide keeps them: by name, not in code.
mkdir -p "$HOME/.config/starling/secrets"
printf 'REGISTRY_USERNAME=my-dockerhub-username\nREGISTRY_PASSWORD=recognisable-dockerhub-token\n' >"$HOME/.config/starling/secrets/my-dockerhub-secret.env"
printf 'AWS_ACCESS_KEY_ID=AKIDSTATIC\nAWS_SECRET_ACCESS_KEY=static-secret-key\nAWS_REGION=eu-west-1\n' >"$HOME/.config/starling/secrets/my-aws-secret.env"
jq -n --rawfile key "$work/google.pem" --arg uri "http://$cloud/google" \
  '{type: "service_account", client_email: "me@project.example", private_key: $key, token_uri: $uri}' >"$work/key.json"

cd "$work/project"
printf '#!/usr/bin/env bash\n\n# Your custom startup commands here.\n\nexec "$@" # Runs the command passed to the entrypoint script.\n' >my_entrypoint.sh
chmod 755 my_entrypoint.sh
printf 'FROM huanjason/scikit-learn\nCOPY my_entrypoint.sh /usr/bin/my_entrypoint.sh\nENTRYPOINT ["/usr/bin/my_entrypoint.sh"]\n' >Dockerfile
cp Dockerfile src/Dockerfile
cat >guide.py <<'P'
import os
import sys

import starling

options = sys.argv[1:]


def says(image, *modules):
    """What the modules say in the image, each built and run."""
    sys.stdout.flush()
    code = f"import {', '.join(modules)}; print(*({'+'.join(f'[{m}.say()]' for m in modules)}))" if modules else "print('python')"
    image.run("python", "-c", code, options=options)


sklearn_image = starling.Image.from_registry("huanjason/scikit-learn")
custom_image = starling.Image.from_dockerfile("./src/Dockerfile")
says(sklearn_image)
says(custom_image)
says(sklearn_image.pip_install("foo"), "foo")

dockerhub_image = starling.Image.from_registry("private/scikit-learn", secret=starling.Secret.from_name("my-dockerhub-secret"))
says(dockerhub_image)

aws_secret = starling.Secret.from_name("my-aws-secret")
image = (
    starling.Image.from_aws_ecr(
        "000000000000.dkr.ecr.eu-west-1.amazonaws.com/my-private-registry:latest",
        secret=aws_secret,
    )
    .pip_install("torch", "huggingface")
)
says(image, "torch", "huggingface")

with open(os.environ["KEY"]) as file:
    gcp_secret = starling.Secret.from_dict({"SERVICE_ACCOUNT_JSON": file.read()})
says(starling.Image.from_gcp_artifact_registry("europe-docker.pkg.dev/my-project/my-repo/my-image:latest", secret=gcp_secret))
says(starling.Image.from_registry("ghcr.io/me/image:1"))
says(starling.Image.from_registry("nvcr.io/nvidia/image:1"))

dockerfile_image = starling.Image.from_dockerfile("Dockerfile")
dockerfile_image.build("entry:1", options=[*options, "--check-entrypoint", "--verify-entrypoint"])
image = (
    starling.Image.from_registry("huanjason/scikit-learn")
    .add_local_file("my_entrypoint.sh", "/usr/bin/my_entrypoint.sh", copy=True)
    .pip_install("foo")
    .entrypoint(["/usr/bin/my_entrypoint.sh"])
)
image.build("entry:2", options=[*options, "--check-entrypoint", "--verify-entrypoint"])
P
PYTHONPATH=$here/../../python/src KEY=$work/key.json python3 -B guide.py "${options[@]}" >"$work/guide.out" 2>"$work/guide.log" ||
  fail "$(tail -n 20 "$work/guide.log")"
expect "what the images say" "$(cat "$work/guide.out" | grep -v ^sha256: | xargs)" "python python foo python torch huggingface python python python"
expect "entrypoints" "$(grep -c '^entrypoint: /usr/bin/my_entrypoint.sh executes the command behind it: line 5: exec' "$work/guide.log")" 2
expect "who was asked" "$(awk '$4 == 200 { print $2 }' "$work/cloud.log" | grep -v 127.0.0.1 | sort -u | xargs)" \
  "000000000000.dkr.ecr.eu-west-1.amazonaws.com europe-docker.pkg.dev ghcr.io nvcr.io registry-1.docker.io"

# The fast pull, on a node that has nothing of the image.
"$bin/ctr" -a "$CONTAINERD_ADDRESS" image ls -q | xargs -r "$bin/ctr" -a "$CONTAINERD_ADDRESS" image rm --sync >/dev/null
starling build prune --address "$CONTAINERD_ADDRESS" --state-dir "$work/node/state" >/dev/null
cat >pull.py <<'P'
import sys

import starling

image = starling.Image.from_registry("public.ecr.aws/modal/estargz-example-images:text-generation-v1-esgz")
image.build("pulled:1", options=sys.argv[1:])
P
PYTHONPATH=$here/../../python/src python3 -B pull.py "${options[@]}" >"$work/pull.out" 2>"$work/pull.log" || fail "$(tail -n 20 "$work/pull.log")"
expect_match "the fast pull" "$(cat "$work/pull.log")" \
  "FROM public.ecr.aws/modal/estargz-example-images:text-generation-v1-esgz.*Using estargz to speed up image pull \(index loaded in [0-9.]+s\)\.\.\."

# Without the secrets nothing of the private ones is to be had, and none of them is anywhere.
cat >refused.py <<'P'
import sys

import starling
from starling.exceptions import ProgramError

for make in (
    lambda: starling.Image.from_registry("private/other"),
    lambda: starling.Image.from_aws_ecr("000000000000.dkr.ecr.eu-west-1.amazonaws.com/other:latest"),
    lambda: starling.Image.from_gcp_artifact_registry("europe-docker.pkg.dev/my-project/my-repo/other:latest"),
):
    try:
        make().build(options=sys.argv[1:])
    except ProgramError:
        print("refused")
P
PYTHONPATH=$here/../../python/src python3 -B refused.py "${options[@]}" >"$work/refused.out" 2>"$work/refused.log"
expect "private images without secrets" "$(xargs <"$work/refused.out")" "refused refused refused"
found=$(grep -rlF -e recognisable-dockerhub-token -e static-secret-key -e "$(sed -n 2p "$work/google.pem")" "$work/guide.out" "$work/guide.log" "$work/refused.log" \
  "$work/node/starlingd.log" "$work/node/starling" "$work/node/state" --exclude-dir=l --exclude-dir=e --exclude-dir=x --exclude-dir=m || true)
expect "files with secrets" "$found" ""
echo PASS

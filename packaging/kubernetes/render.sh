#!/bin/bash
# render.sh [NAME=VALUE...]: the chart's manifests, as `helm template starling chart --namespace starling --set ...` makes
# them. starling.yaml is this with nothing said, and a namespace before it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
cat <<'Y'
# Made by render.sh from chart/: kubectl apply -f starling.yaml, with the image that docs/kubernetes.md builds.
apiVersion: v1
kind: Namespace
metadata:
  name: starling
  labels:
    pod-security.kubernetes.io/enforce: privileged
---
Y
"$("$here/../../tests/e2e/go_program.sh" manifests)" render "$here/chart" "$@"

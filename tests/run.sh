#!/bin/bash
# Builds and runs every test: in the development build those of the programs and their surroundings (architecture, tools, kernel,
# integration, conformance, python, e2e); under AddressSanitizer + UndefinedBehaviorSanitizer all that are one program of ours (unit,
# fuzz-replay, and kernel and integration again); under ThreadSanitizer the unit tests of modules with threads.
# The last line counts all of them: "N passed, N failed, N skipped".
# STARLING_TEST_PHASES picks some of: dev asan tsan. Without asan the development build runs the unit tests, too.
set -uo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc)
results=build/test-results
mkdir -p "$results"
rm -f "$results"/*.xml
broken=0

tsan_targets="unit_base_test unit_erofs_test unit_estargz_test unit_estargz_writer_test unit_fuse_test
  unit_layer_test unit_registry_test unit_store_test"

read -ra phases <<<"${STARLING_TEST_PHASES:-dev asan tsan}"
case " ${phases[*]} " in
  *" asan "*) dev_target=system_tests dev_tests=(-LE '^(unit|fuzz-replay)$' -E '_NOT_BUILT$') ;;
  *) dev_target=all dev_tests=() ;;
esac

targets_of() {
  case $1 in
    dev) echo "$dev_target" ;;
    asan) echo sanitized_tests ;;
    tsan) echo "$tsan_targets" ;;
  esac
}

# build PRESET: its errors go to standard error.
build() {
  if ! cmake --preset "$1" >"$results/$1-configure.log" 2>&1; then
    tail -n 40 "$results/$1-configure.log" >&2
    return 1
  fi
  if ! cmake --build --preset "$1" -j"$jobs" --target $(targets_of "$1") >"$results/$1-build.log" 2>&1; then
    grep -E -A 20 'FAILED|error' "$results/$1-build.log" | head -n 60 >&2
    return 1
  fi
}

# run_tests PRESET CTEST_ARGUMENTS...
run_tests() {
  local preset=$1
  shift
  rm -rf "build/$preset/reports"
  echo "== $preset: test"
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j"$jobs" \
    --output-junit "$PWD/$results/$preset.xml" "$@" | grep -v -E '^ *(Start|[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed)'
  [ "${PIPESTATUS[0]}" = 0 ] || broken=1
}

for phase in "${phases[@]}"; do
  [ -n "$(targets_of "$phase")" ] || { echo "unknown phase $phase" >&2; exit 2; }
done
case " ${phases[*]} " in
  *" dev "*)
    echo "== peers: containerd 2.3 and nerdctl"
    tests/e2e/tools.sh >/dev/null || broken=1
    ;;
esac
# End-to-end tests wait more than they compute: what the next phases need is built beside them.
exec {built}< <(
  for phase in "${phases[@]}"; do
    if build "$phase"; then echo "$phase ok"; else echo "$phase failed"; fi
    renice -n 15 $BASHPID >/dev/null
    # architecture.headers says what is wrong with them.
    [ "$phase" != dev ] || flock build/dev/headers.lock cmake --build --preset dev -j"$jobs" --target all_verify_interface_header_sets >/dev/null 2>&1
  done
)
for phase in "${phases[@]}"; do
  echo "== $phase: build"
  read -r _ status <&"$built"
  if [ "$status" != ok ]; then
    broken=1
    continue
  fi
  case $phase in
    dev) run_tests dev "${dev_tests[@]}" ;;
    asan) run_tests asan -L '^(unit|fuzz-replay|kernel|integration)$' ;;
    # The modules with threads of their own. Debian's gRPC and Abseil are not instrumented, so code that
    # passes their objects between threads shows races that are none.
    tsan) run_tests tsan -L '^unit$' -R '^unit\.(base|erofs|estargz|estargz_writer|fuse|layer|registry|store)\.' ;;
  esac
done

python3 - "$results"/*.xml <<'P'
import os
import sys
import xml.etree.ElementTree as tree

passed = failed = skipped = 0


def count(name, status):
    global passed, failed, skipped
    if status == "run":
        passed += 1
    elif status in ("notrun", "disabled"):
        skipped += 1
        print(f"skipped: {name}")
    else:
        failed += 1
        print(f"failed: {name}")


def reported(path):
    """The name and status of each test that GoogleTest's report at `path` has."""
    for case in tree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None:
            yield name, "fail"
        else:
            yield name, "notrun" if case.get("result") == "skipped" else case.get("status")


for path in sys.argv[1:]:
    phase = os.path.basename(path).removesuffix(".xml")
    for case in tree.parse(path).getroot().iter("testcase"):
        name, status = case.get("name"), case.get("status")
        report = f"build/{phase}/reports/{name}.xml"
        tests = list(reported(report)) if os.path.exists(report) else []
        for test in tests:
            count(f"{phase} {name} {test[0]}", test[1])
        # A program that ends badly after all of its tests passed (a leak) has failed all the same.
        if not tests or status not in ("run", "notrun", "disabled") and all(test[1] != "fail" for test in tests):
            count(f"{phase} {name}", status)
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(0 if passed and not failed else 1)
P
counted=$?
exit $((broken || counted))

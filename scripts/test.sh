#!/usr/bin/env bash
# usage: ./dev test [--preset PRESET] [arguments of ctest …]
#
# Builds (preset release) and runs all tests, then says on the last line how many passed and failed. The exit status is
# 0 only if a test ran and none failed.
#
# Examples:
#   ./dev test
#   ./dev test -R Safetensors --verbose
#   ./dev test --preset asan
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=release
if [[ ${1:-} == --preset ]]; then
  preset=${2:?--preset wants a name}
  shift 2
fi
scripts/build.sh "$preset"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
if [[ $preset == asan ]]; then
  # LibTorch is not instrumented, so containers that cross its border look overrun, and what it keeps to the end leaked.
  export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0:${ASAN_OPTIONS:-}
fi
ctest --test-dir "build/$preset" --verbose --no-tests=error --parallel "$(nproc)" "$@" >"$log" 2>&1 || status=$?

# Every line of a program's output begins with its number: "3: [  PASSED  ] 43 tests.". What failed is shown whole.
sum() { sed -nE "s/^[0-9]+: *$1.*/\\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'; }
passed=$(sum '\[  PASSED  \] ([0-9]+) tests?\.')
failed=$(sum '\[  FAILED  \] ([0-9]+) tests?, listed below')
skipped=$(sum '\[  SKIPPED \] ([0-9]+) tests?, listed below')
grep -E '^[0-9]+: (\[  FAILED  \]|.*: Failure$|.*FAILED TEST)' "$log" | sed -E 's/^[0-9]+: //' || true
if ((failed > 0 || status != 0)); then
  cp "$log" "build/$preset/test.log"
  warn "the whole output is in build/$preset/test.log"
fi
# A program that crashed or ran out of time has not counted its tests: it is one failure more.
crashed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .*(\*\*\*Exception|\*\*\*Timeout|\*\*\*Not Run|Subprocess aborted)' "$log" || true)
failed=$((failed + crashed))
grep -E '^ *[0-9]+/[0-9]+ Test +#[0-9]+: ' "$log" || true
if ((passed + failed == 0)); then
  tail -n 20 "$log" >&2
  warn 'no test has run'
  echo '0 passed, 0 failed'
  exit 1
fi
if ((status == 0 && (passed == 0 || failed > 0))); then status=1; fi
if ((skipped > 0)); then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
exit "$status"

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
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel "$(nproc)" "$@" 2>&1 | tee "$log" || status=$?

# "98% tests passed, 2 tests failed out of 100"; tests that skipped themselves are listed as "7 - Name (Skipped)".
summary=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+' "$log" | tail -n 1 || true)
if [[ -z $summary ]]; then
  warn 'ctest ran no test'
  echo '0 passed, 0 failed'
  exit 1
fi
read -r failed total < <(sed -E 's/.*passed, ([0-9]+) tests? failed out of ([0-9]+).*/\1 \2/' <<<"$summary")
skipped=$(grep -cE '^[[:space:]]*[0-9]+ - .* \((Skipped|Disabled)\)' "$log" || true)
passed=$((total - failed - skipped))
if ((status == 0 && passed == 0)); then status=1; fi
if ((skipped > 0)); then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
exit "$status"

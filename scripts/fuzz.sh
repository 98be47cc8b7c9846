#!/usr/bin/env bash
# usage: ./dev fuzz [--seconds N] [TARGET …]
#
# Builds the fuzz targets (fuzz/*.cpp) with clang and sanitizers and runs each (or the named ones) for a minute. What a
# target has learnt stays in build/fuzz/corpus/TARGET; an input that breaks something is written to build/fuzz/findings
# and fails the command: build/fuzz/bin/fuzz_TARGET FILE shows it again.
#
#   --seconds N   time for each target (60)
#
# Example:
#   ./dev fuzz --seconds 600 safetensors
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=60
targets=()
while (($# > 0)); do
  case $1 in
    --seconds)
      [[ ${2:-} =~ ^[0-9]+$ ]] || die_usage '--seconds wants a number'
      seconds=$2
      shift
      ;;
    -*) die_usage "fuzz does not know '$1'; it takes --seconds and targets" ;;
    *) targets+=("$1") ;;
  esac
  shift
done
known=()
for source in fuzz/*.cpp; do known+=("$(basename "$source" .cpp)"); done
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] || die_usage "there is no fuzz target '$target'; there are: ${known[*]}"
done
if ((${#targets[@]} == 0)); then targets=("${known[@]}"); fi

scripts/build.sh fuzz --target "${targets[@]/#/fuzz_}"
# LibTorch is not instrumented: containers that cross its border look overrun, and what it keeps to the end leaked.
export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0
failed=()
mkdir -p build/fuzz/findings
say "fuzz ${#targets[@]} targets, $(duration "$seconds") each"
for target in "${targets[@]}"; do
  corpus=build/fuzz/corpus/$target
  mkdir -p "$corpus"
  seeds=()
  if [[ -d fuzz/seeds/$target ]]; then seeds=("fuzz/seeds/$target"); fi
  log=build/fuzz/$target.log
  # A refused input may cost neither time nor memory out of proportion to its 64 KB.
  result='nothing found'
  "build/fuzz/bin/fuzz_$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 \
    -malloc_limit_mb=512 -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$target-" \
    "$corpus" "${seeds[@]}" >"$log" 2>&1 || result=BROKE
  inputs=$(awk '/^stat::number_of_executed_units/ { n = $2 } /^#[0-9]+/ { last = substr($1, 2) } END { print n ? n : last + 0 }' "$log")
  printf '   %-12s %9d inputs   %s\n' "$target" "$inputs" "$result"
  if [[ $result == BROKE ]]; then
    failed+=("$target")
    grep -E -A 12 'ERROR|SUMMARY|runtime error' "$log" | head -n 40 >&2 || tail -n 30 "$log" >&2
  fi
done
if ((${#failed[@]} > 0)); then die "fuzz targets that broke: ${failed[*]}; the inputs are in build/fuzz/findings, the output in build/fuzz/TARGET.log"; fi
say "no input broke: ${targets[*]}"

#!/usr/bin/env bash
# usage: ./dev build [PRESET] [arguments of cmake --build …]
#
# Sets up what is missing and compiles into build/PRESET. Presets:
#   release   optimised, with tests (the default)
#   dev       optimised with debug information, every file on its own
#   asan      address and undefined-behaviour sanitizers
#   fuzz      the fuzz targets (./dev fuzz builds and runs them)
#   cuda      with LibTorch's CUDA libraries
#
# Examples:
#   ./dev build
#   ./dev build asan --target test_io
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=release
if (($# > 0)) && [[ $1 != -* ]]; then
  preset=$1
  shift
fi
setup=()
case $preset in
  release | dev | asan) ;;
  cuda) setup=(--cuda) ;;
  fuzz) need_packages clang-16 libclang-rt-16-dev ;;
  *) die_usage "there is no preset '$preset'; there are: release, dev, asan, fuzz, cuda" ;;
esac
scripts/setup.sh "${setup[@]}"

# A compiler that sees LibTorch takes up to 2 GB.
if [[ -z ${CMAKE_BUILD_PARALLEL_LEVEL:-} ]]; then
  jobs=$(nproc)
  memory_gb=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
  fitting=$((memory_gb / 2))
  if ((fitting < jobs)); then jobs=$((fitting > 0 ? fitting : 1)); fi
  export CMAKE_BUILD_PARALLEL_LEVEL=$jobs
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset "$preset" >"$log" 2>&1 || {
  cat "$log" >&2
  die "cmake could not configure; if a folder of LibTorch or a package has moved: rm -r build/$preset"
}
timed "build ($preset)" cmake --build --preset "$preset" "$@"

#!/usr/bin/env bash
# usage: ./dev lint [--all | FILE …]
#
# Runs clang-tidy 16 (checks: .clang-tidy) on the named sources, on those that differ from the main branch, or on all.
# A source takes 10 to 60 seconds. The scripts go through shellcheck.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

all=0
files=()
for argument in "$@"; do
  case $argument in
    --all) all=1 ;;
    -*) die_usage "lint does not know '$argument'; it takes --all or files" ;;
    *) files+=("$argument") ;;
  esac
done
need_packages clang-tidy-16 shellcheck
scripts/setup.sh
shellcheck -x dev .ci/run scripts/*.sh tools/*.sh

if ((all == 1)); then
  mapfile -t files < <(git ls-files -- 'lib/*.cpp' 'apps/*.cpp')
elif ((${#files[@]} == 0)); then
  base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null || git rev-parse HEAD)
  mapfile -t files < <({
    git diff --name-only --diff-filter=d "$base" -- 'lib/*.cpp' 'apps/*.cpp'
    git ls-files --others --exclude-standard -- 'lib/*.cpp' 'apps/*.cpp'
  } | sort -u)
fi
if ((${#files[@]} == 0)); then
  say 'no source differs from the main branch; ./dev lint --all looks at every one'
  exit 0
fi
# Only this preset compiles every file on its own, which is what clang-tidy wants to know about.
cmake --preset dev >/dev/null
printf '%s\0' "${files[@]}" |
  timed "clang-tidy on ${#files[@]} sources" xargs -0 -n 1 -P "$(nproc)" \
    clang-tidy-16 -p build/dev --quiet --extra-arg=-Wno-unknown-warning-option

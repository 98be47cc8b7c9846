#!/usr/bin/env bash
# usage: ./dev format [--check] [FILE …]
#
# Lays out the C++ sources as .clang-format says: the named files, or all that git knows.
#   --check   change nothing; name the files that are not laid out so, and fail if there are any
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

check=0
files=()
for argument in "$@"; do
  case $argument in
    --check) check=1 ;;
    -*) die_usage "format does not know '$argument'; it takes --check and files" ;;
    *) files+=("$argument") ;;
  esac
done
need_packages clang-format
if ((${#files[@]} == 0)); then
  mapfile -d '' -t files < <(git ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.h')
fi
if ((check == 0)); then
  clang-format -i "${files[@]}"
  exit 0
fi
wrong=0
for file in "${files[@]}"; do
  if ! clang-format "$file" | cmp -s - "$file"; then
    echo "$file"
    wrong=$((wrong + 1))
  fi
done
if ((wrong > 0)); then die "$wrong of ${#files[@]} files are not laid out as .clang-format says; ./dev format mends them"; fi

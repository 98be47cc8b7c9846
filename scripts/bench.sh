#!/usr/bin/env bash
# usage: ./dev bench TASK [arguments of vlm bench TASK …]
#
# Builds and runs one benchmark of the command: clip-train, clip-embed, caption, ofa-caption, ofa-train, data.
#
# Examples:
#   ./dev bench data --tar shard.tar --workers 1
#   ./dev bench clip-embed --help
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

(($# > 0)) || die_usage 'bench wants a task; ./dev bench --help lists them'
scripts/build.sh release --target vlm_command >&2
exec build/release/bin/vlm bench "$@"

#!/usr/bin/env bash
# Fetches Debian's picture packages (tuxpaint stamps and openclipart, 317 MB) and unpacks them below the user's cache
# folder; nothing is installed. Packages that are installed already are used as they are. Prints two folders: the root of
# the tuxpaint stamps and that of openclipart. Fails where there is neither apt nor a network for them.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(tuxpaint-stamps-default openclipart-png openclipart-svg)
stamps=usr/share/tuxpaint/stamps
clipart=usr/share/openclipart

if [[ -d /$stamps && -d /$clipart/png && -d /$clipart/svg ]]; then
  printf '/%s\n/%s\n' "$stamps" "$clipart"
  exit 0
fi
root=$(cache_folder)/pictures
if [[ ! -f $root/complete ]]; then
  command -v apt-get >/dev/null || die "there is no apt-get to fetch ${packages[*]} with"
  part=$root.part.$$
  trap 'rm -rf "$part"' EXIT
  mkdir -p "$part/packages"
  # Root's apt hands downloads to a user of its own, who must be able to write there.
  if ((EUID == 0)) && getent passwd _apt >/dev/null; then chown _apt "$part/packages" 2>/dev/null || true; fi
  (cd "$part/packages" && apt-get -q download "${packages[@]}") >"$part/log" 2>&1 || {
    tail -n 5 "$part/log" >&2
    die "the picture packages could not be fetched (is the network there? has 'apt-get update' been run?)"
  }
  for package in "$part"/packages/*.deb; do dpkg-deb -x "$package" "$part"; done
  rm -rf "$part/packages" "$part/log"
  touch "$part/complete"
  rm -rf "$root"
  mv "$part" "$root"
fi
printf '%s/%s\n%s/%s\n' "$root" "$stamps" "$root" "$clipart"

# shellcheck shell=bash
# What the commands of ./dev share: messages, times, Debian packages. Sourced, not run.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top" || exit 1

say() { printf '== %s\n' "$*"; }
warn() { printf 'dev: %s\n' "$*" >&2; }
die() {
  warn "$@"
  exit 1
}
die_usage() {
  warn "$@"
  exit 2
}

# 7 s, 3 min 20 s
duration() {
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

# timed "what it is" command…: a line before, a line with the time after, the command's exit status.
timed() {
  local what=$1 begin=$SECONDS status=0
  shift
  say "$what"
  "$@" || status=$?
  if ((status == 0)); then
    say "$what: done in $(duration $((SECONDS - begin)))"
  else
    warn "$what: failed after $(duration $((SECONDS - begin)))"
  fi
  return "$status"
}

cache_folder() {
  local base=${XDG_CACHE_HOME:-}
  if [[ -z $base ]]; then base=${HOME:?HOME is not set; set it or XDG_CACHE_HOME}/.cache; fi
  printf '%s/vlm' "$base"
}

# Those of the named Debian packages that are not installed, one a line.
missing_packages() {
  local installed name
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for name in "$@"; do
    grep -qx "$name installed" <<<"$installed" || printf '%s\n' "$name"
  done
}

# Runs apt-get as root; its output goes to a file that is shown if it fails.
apt_quietly() {
  local log status=0
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "installing packages needs root; as root: apt-get install ${*:2}"
    as_root=(sudo)
  fi
  log=$(mktemp)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)) && [[ ${show_failure:-1} == 1 ]]; then
    tail -n 25 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

# Installs those of the named Debian packages that are missing. Package lists are fetched only where there are none or
# where they turn out to be out of date.
need_packages() {
  command -v dpkg-query >/dev/null || {
    warn "this is not Debian: see to it that there is an equivalent of: $*"
    return 0
  }
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]} > 0)) || return 0
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local lists=(/var/lib/apt/lists/*Packages*)
  if [[ -e ${lists[0]} ]] && show_failure=0 apt_quietly install --no-install-recommends "${missing[@]}"; then
    return 0
  fi
  apt_quietly update || die "apt-get update failed; see the lines above"
  apt_quietly install --no-install-recommends "${missing[@]}" ||
    die "apt-get could not install ${missing[*]}; the project wants Debian 12 (bookworm) or newer"
}

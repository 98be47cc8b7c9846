#!/usr/bin/env bash
# usage: ./dev fresh [--keep] [COMMAND …]
#
# Proves that commands of ./dev (default: demo, then test) work on a bare Debian 12: makes one with debootstrap in a
# folder below ${TMPDIR:-/tmp}, clones HEAD of this checkout into it and runs the commands there, printing what each
# took. The host's apt sources, proxies, certificates and pip settings hold inside as well; nothing else does: every
# package and LibTorch are downloaded anew. Needs root and 8 GB of disk.
#
#   --keep   leave the folder, to look around in it: chroot FOLDER
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

keep=0
commands=()
for argument in "$@"; do
  case $argument in
    --keep) keep=1 ;;
    -*) die_usage "fresh does not know '$argument'; it takes --keep and commands of ./dev" ;;
    *) commands+=("$argument") ;;
  esac
done
if ((${#commands[@]} == 0)); then commands=(demo test); fi
if ((EUID != 0)); then die 'fresh makes a system of its own and needs root for it: sudo ./dev fresh'; fi
need_packages debootstrap debian-archive-keyring git
if [[ -n $(git status --porcelain) ]]; then warn 'what is not committed is not tried: the clone is of HEAD'; fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/vlm-fresh.XXXXXX")
root=$folder/root
free_mb=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
# Mounts are made in a namespace that ends with the command, so that nothing of the host's is mounted in here by now.
# shellcheck disable=SC2317 # called by the trap
clean_up() {
  if ((keep == 1)); then say "kept: $root"; else rm -rf --one-file-system "$folder"; fi
}
trap clean_up EXIT
((free_mb >= 8000)) || die "8000 MB are needed below $folder, and $free_mb MB are free; TMPDIR moves it"

# shellcheck disable=SC2317 # called through timed
bootstrap() {
  local mirror log=$folder/debootstrap.log
  # shellcheck disable=SC2016 # apt-get's own variables
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
  debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >"$log" 2>&1 || {
    tail -n 25 "$log" >&2
    return 1
  }
}

carry_host_settings() {
  local path
  rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"
  for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/trusted.gpg.d /etc/apt/keyrings /etc/apt/auth.conf \
    /etc/apt/auth.conf.d /usr/share/keyrings /usr/local/share/ca-certificates /etc/pip.conf; do
    [[ -e $path ]] || continue
    mkdir -p "$root${path%/*}"
    cp -a "$path" "$root${path%/*}/"
  done
  # How apt reaches its sources, without the hooks of programs that are not installed inside.
  apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90host"
  cat /etc/resolv.conf >"$root/etc/resolv.conf"
  for path in "${HOME:-/root}/.pip/pip.conf" "${HOME:-/root}/.config/pip/pip.conf"; do
    if [[ -f $path ]]; then mkdir -p "$root/root/.config/pip" && cp "$path" "$root/root/.config/pip/pip.conf"; fi
  done
}

# The host's variables that say how the network is reached; folders of the host's mean nothing inside.
environment=(PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}")
while IFS='=' read -r name _; do
  case $name in
    PIP_FIND_LINKS | PIP_CACHE_DIR | PIP_TARGET | PIP_PREFIX) ;;
    http_proxy | https_proxy | ftp_proxy | no_proxy | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | PIP_* | SSL_CERT_* | REQUESTS_CA_BUNDLE)
      environment+=("$name=${!name}")
      ;;
  esac
done < <(env)

inside() {
  # shellcheck disable=SC2016 # $1 belongs to the inner shell
  env -i "${environment[@]}" unshare --mount --propagation private --pid --fork --kill-child bash -euc '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/dev/shm"
    cd "$root"
    exec chroot "$root" "$@"
  ' fresh "$root" "$@"
}

timed 'a bare Debian 12' bootstrap
carry_host_settings
git clone --quiet --no-local "$top" "$root/home/vlm"
say "$(git -C "$root/home/vlm" log -1 --format='HEAD is %h: %s')"

results=()
status=0
for command in "${commands[@]}"; do
  begin=$SECONDS
  say "./dev $command"
  if inside bash -c "cd /home/vlm && ./dev $command" </dev/null; then outcome='done in'; else
    outcome='FAILED after'
    status=1
  fi
  results+=("./dev $command: $outcome $(duration $((SECONDS - begin)))")
done
printf '%s\n' "fresh Debian 12 ($(nproc) processors):" "${results[@]/#/  }"
exit "$status"

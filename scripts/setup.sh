#!/usr/bin/env bash
# usage: ./dev setup [--cuda]
#
# Installs what is missing and does nothing where all is there:
#   - Debian packages (apt-get, with sudo unless root)
#   - LibTorch 2.11.0, out of its PyPI wheel, below ${XDG_CACHE_HOME:-~/.cache}/vlm, shared by all clones;
#     530 MB to download, 550 MB unpacked. pip's settings (index, proxy, certificates) hold.
#
#   --cuda   LibTorch's CUDA libraries as well, with cuBLAS, cuDNN and NCCL (some 3 GB more)
#
# A LibTorch that is already on the machine is used instead when VLM_TORCH_ROOT or Torch_ROOT names its folder (the
# one with include/ and lib/).
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

torch_version=2.11.0
tools=(python3 python3-pip unzip ca-certificates)
packages=(
  g++ cmake ninja-build ccache mold git pkg-config
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev libjpeg62-turbo-dev libgif-dev
  libsentencepiece-dev libutf8proc-dev libpugixml-dev libarchive-dev zlib1g-dev
  libfaiss-dev
  libcli11-dev libyaml-cpp-dev nlohmann-json3-dev
  libgloo-dev
  libgtest-dev
)

cuda=0
for argument in "$@"; do
  case $argument in
    --cuda) cuda=1 ;;
    *) die_usage "setup does not know '$argument'; it takes --cuda" ;;
  esac
done

cache=$(cache_folder)
wheels=$cache/wheels
# pip takes a platform to the letter: one that a wheel for an older glibc carries must be named as well.
platforms=()
for glibc in {28..17}; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64)
libtorch=$cache/libtorch-$torch_version

# A LibTorch that the user named: 0 if it will do, 1 if none was named.
given_libtorch() {
  local root=${VLM_TORCH_ROOT:-${Torch_ROOT:-}}
  [[ -n $root ]] || return 1
  [[ -f $root/include/ATen/core/Tensor.h && -f $root/lib/libtorch_cpu.so ]] ||
    die "VLM_TORCH_ROOT or Torch_ROOT is $root, which has no include/ATen/core/Tensor.h or no lib/libtorch_cpu.so"
}

# Folders are renamed into place when they are whole, so that to be there is to be whole.
have_libtorch() {
  [[ -f $libtorch/torch/lib/libtorch_cpu.so && -f $libtorch/nvidia/cu13/lib/libcudart.so.13 ]] || return 1
  ((cuda == 0)) || [[ -f $libtorch/torch/lib/libtorch_cuda.so && -d $libtorch/nvidia/cudnn ]]
}

# download_wheels [--deps] REQUIREMENT…: into $wheels. pip writes elsewhere first, so that half a wheel is never found.
download_wheels() {
  local dependencies=(--no-deps)
  if [[ $1 == --deps ]]; then
    dependencies=()
    shift
  fi
  local partial
  partial=$(mktemp -d "$wheels/partial.XXXXXX") && mkdir "$partial/tmp" || return 1
  TMPDIR=$partial/tmp python3 -m pip download --quiet --no-cache-dir --disable-pip-version-check \
    "${dependencies[@]}" --only-binary=:all: --python-version 3.11 "${platforms[@]}" \
    --dest "$partial/whole" "$@" || {
    rm -rf "$partial"
    return 1
  }
  mv -f "$partial/whole"/*.whl "$wheels/" && rm -rf "$partial"
}

newest_wheel() { compgen -G "$wheels/$1" | sort -V | tail -n 1; }
have_wheel() { compgen -G "$wheels/$1" >/dev/null; }

download_libtorch() {
  local wanted=()
  have_wheel "torch-$torch_version-cp311-*.whl" || wanted+=("torch==$torch_version")
  have_wheel 'nvidia_cuda_runtime-13.*.whl' || wanted+=('nvidia-cuda-runtime==13.*')
  have_wheel 'nvidia_cuda_cupti-13.*.whl' || wanted+=('nvidia-cuda-cupti==13.*')
  if ((${#wanted[@]} > 0)); then
    say "downloading LibTorch $torch_version (530 MB)"
    download_wheels "${wanted[@]}" || return 1
  fi
  if ((cuda == 1)) && ! have_wheel 'nvidia_cudnn_cu13-*.whl'; then
    local requirements
    # The versions that LibTorch was built with stand in its wheel: "Requires-Dist: nvidia-nccl-cu13==2.28; marker".
    mapfile -t requirements < <(unzip -p "$(newest_wheel "torch-$torch_version-cp311-*.whl")" '*.dist-info/METADATA' |
      sed -nE 's/^Requires-Dist: ((nvidia|cuda-toolkit)[^;]*).*$/\1/p' | tr -d ' ')
    say "downloading CUDA libraries (3 GB): ${requirements[*]}"
    download_wheels --deps "${requirements[@]}" || return 1
  fi
}

unpack_libtorch() {
  say "unpacking LibTorch $torch_version to $libtorch"
  local fresh wheel
  fresh=$(mktemp -d "$cache/unpack.XXXXXX")
  local without=('torch/lib/libtorch_python*' 'torch/lib/libshm*')
  if ((cuda == 0)); then
    without+=('torch/lib/*cuda*' 'torch/lib/*nvrtc*' 'torch/lib/*nvshmem*')
  fi
  unzip -q -d "$fresh/new" "$(newest_wheel "torch-$torch_version-cp311-*.whl")" \
    'torch/include/*' 'torch/lib/*' -x "${without[@]}"
  if ((cuda == 0)); then
    unzip -q -d "$fresh/new" "$(newest_wheel 'nvidia_cuda_runtime-13.*.whl')" 'nvidia/cu13/lib/libcudart.so.13'
    unzip -q -d "$fresh/new" "$(newest_wheel 'nvidia_cuda_cupti-13.*.whl')" 'nvidia/cu13/lib/libcupti.so.13'
  else
    # In order of version, so that of two wheels of one library the newer one stays.
    while read -r wheel; do
      unzip -q -o -d "$fresh/new" "$wheel" 'nvidia/*/lib/*.so*' 'nvidia/*/include/*' || (($? == 11))
    done < <(printf '%s\n' "$wheels"/nvidia_*.whl | sort -V)
  fi
  if [[ -d $libtorch ]]; then mv "$libtorch" "$fresh/old"; fi
  mv "$fresh/new" "$libtorch"
  rm -rf "$fresh"
}

# One setup at a time; what an interrupted one has left lying is swept up by the next.
install_libtorch() {
  mkdir -p "$wheels"
  exec 9>"$cache/setup.lock"
  flock -n 9 || {
    say 'waiting for another setup to finish'
    flock 9
  }
  if have_libtorch; then return 0; fi
  rm -rf "$cache"/unpack.* "$wheels"/partial.*
  local free_mb needed_mb=$((cuda == 1 ? 12000 : 2000))
  free_mb=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
  ((free_mb >= needed_mb)) || die "LibTorch needs $needed_mb MB below $cache, and $free_mb MB are free; XDG_CACHE_HOME moves it"
  download_libtorch || die 'pip could not download LibTorch; see the lines above (pip honours PIP_INDEX_URL and pip.conf)'
  unpack_libtorch
}

[[ $(uname -sm) == 'Linux x86_64' ]] || die "the wheel of LibTorch is for Linux on x86-64, and this is $(uname -sm)"
begin=$SECONDS
if given_libtorch || have_libtorch; then
  need_packages "${tools[@]}" "${packages[@]}"
else
  need_packages "${tools[@]}"
  # The wheel comes while apt is at work.
  # (set -m gives the download a process group of its own, which ends with the script however that ends.)
  set -m
  install_libtorch </dev/null &
  download=$!
  set +m
  trap 'kill -- "-$download" 2>/dev/null || true' EXIT
  need_packages "${packages[@]}"
  wait "$download" || exit 1
  trap - EXIT
fi
if ((SECONDS - begin > 1)); then say "setup: done in $(duration $((SECONDS - begin)))"; fi

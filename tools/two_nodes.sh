#!/usr/bin/env bash
# usage: tools/two_nodes.sh [--keep] [KEY=VALUE …]
#
# Two nodes on one machine: two network namespaces joined by a pair of virtual interfaces, one rank in each, started by
# `vlm launch`. Trains a small CLIP on drawn scenes; after the first checkpoint it kills all of node 1 (SIGKILL), waits until
# node 0 has noticed, starts node 1 again, and checks that the run goes on from its checkpoint and that metrics.jsonl has every
# step once. Then it trains the same run undisturbed and compares both curves.
#
#   --keep      leave the folder with logs and run behind, and say where it is
#   KEY=VALUE   keys of the recipe to change (train.epochs=20)
#
# Needs root, ip (iproute2) and a kernel with network namespaces: elsewhere it says so and ends with 77. VLM names another
# command than build/release/bin/vlm; VLM_TWO_NODES_TIMEOUT the most seconds that a part may take (300).
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vlm=${VLM:-$top/build/release/bin/vlm}
limit=${VLM_TWO_NODES_TIMEOUT:-300}
keep=0
overrides=()
for argument in "$@"; do
  case $argument in
    --keep) keep=1 ;;
    -*) echo "two_nodes.sh does not know '$argument'; it takes --keep and KEY=VALUE" >&2 && exit 2 ;;
    *) overrides+=("$argument") ;;
  esac
done

say() { printf '== %s\n' "$*"; }
skip() {
  say "skipped: $*"
  exit 77
}
((EUID == 0)) || skip 'making network namespaces needs root'
command -v ip >/dev/null || skip 'there is no ip command (Debian: iproute2)'
[[ -x $vlm ]] || skip "there is no $vlm; build it, or name it in VLM"

folder=$(mktemp -d)
spaces=("vlm0-$$" "vlm1-$$")
addresses=(10.213.77.1 10.213.77.2)
port=29511
pids=('' '')

cleanup() {
  local k
  for k in 0 1; do
    if [[ -n ${pids[k]} ]]; then kill -KILL "${pids[k]}" 2>/dev/null || true; fi
    ip netns delete "${spaces[k]}" 2>/dev/null || true  # its interface goes with it
  done
  if ((keep == 1)); then say "logs and run: $folder"; else rm -rf "$folder"; fi
}
trap cleanup EXIT
die() {
  printf 'two_nodes: %s\n' "$*" >&2
  for k in 0 1; do
    if [[ -f $folder/node$k.log ]]; then printf -- '-- node %d, last lines\n%s\n' "$k" "$(tail -n 15 "$folder/node$k.log")" >&2; fi
  done
  exit 1
}

ip netns add "${spaces[0]}" 2>"$folder/why" || skip "no network namespaces here: $(cat "$folder/why")"
ip netns add "${spaces[1]}"
ip link add vlm0 netns "${spaces[0]}" type veth peer name vlm1 netns "${spaces[1]}" 2>"$folder/why" ||
  skip "no virtual interfaces here: $(cat "$folder/why")"
for k in 0 1; do
  ip -n "${spaces[k]}" address add "${addresses[k]}/24" dev "vlm$k"
  ip -n "${spaces[k]}" link set "vlm$k" up
  ip -n "${spaces[k]}" link set lo up
done

say 'drawing scenes and learning a vocabulary'
"$vlm" data make scenes --out "$folder/scenes" --count 800 --seed 3 >"$folder/data.log" 2>&1 || die "$(tail -n 3 "$folder/data.log")"
"$vlm" tokenizer train --data "$folder/scenes/captions_train.json" --vocab-size 120 --out "$folder/tokenizer.model" >>"$folder/data.log" 2>&1 ||
  die "$(tail -n 3 "$folder/data.log")"
cat >"$folder/recipe.yaml" <<YAML
model:
  tokenizer: $folder/tokenizer.model
  config:
    embed_dim: 32
    vision_cfg: {image_size: 32, patch_size: 16, width: 64, layers: 2, head_width: 32}
    text_cfg: {context_length: 20, vocab_size: 200, width: 64, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data:
  train: {path: $folder/scenes/train-000000.tar}
  batch_size: 16
  preprocess: {resize_mode: longest, fill_color: 255}
  augment: {pad_square: true}
train: {epochs: 8, lr: 1.0e-3, schedule: {warmup_steps: 5}, eval_every_epochs: 0, save_every_epochs: 1}
YAML

# start NODE RUN: its launcher in the background, in its namespace; ip becomes the launcher, so that its process is ours.
start() {
  local k=$1 run=$2
  # Gloo and NCCL must talk through the pair, not through what a host name stands for.
  GLOO_SOCKET_IFNAME=vlm$k NCCL_SOCKET_IFNAME=vlm$k OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive \
    ip netns exec "${spaces[k]}" "$vlm" launch --nodes 2 --node-rank "$k" --master "${addresses[0]}:$port" -n 1 --restarts 5 -- \
    pretrain --config "$folder/recipe.yaml" "out=$folder/$run" "${overrides[@]}" >>"$folder/node$k.log" 2>&1 </dev/null &
  pids[k]=$!
}

# wait_until WHAT COMMAND…: until it holds.
wait_until() {
  local what=$1 begin=$SECONDS
  shift
  until "$@"; do
    ((SECONDS - begin < limit)) || die "waited $limit s for this in vain: $what"
    sleep 0.2
  done
}

ended() { ! kill -0 "$1" 2>/dev/null; }
wait_for_both() {
  local k status
  for k in 0 1; do
    wait_until "the end of node $k" ended "${pids[k]}"
    status=0
    wait "${pids[k]}" || status=$?
    pids[k]=''
    ((status == 0)) || die "node $k ended with code $status"
  done
}

steps_of() { sed -nE 's/^\{"step":([0-9]+),"epoch":[0-9]+,"loss".*/\1/p' "$folder/$1/metrics.jsonl"; }
losses_of() { sed -nE 's/^\{"step":([0-9]+),"epoch":[0-9]+,"loss":([^,}]+).*/\1 \2/p' "$folder/$1/metrics.jsonl"; }
steps_done() {
  if [[ -f $folder/$1/metrics.jsonl ]]; then steps_of "$1" | tail -n 1; fi
}
has_checkpoint() { [[ -e $folder/broken/checkpoints/latest ]]; }
beyond() { [[ $(steps_done broken) -gt $1 ]]; }
noticed() { grep -q 'starting again' "$folder/node0.log"; }
resumed() { grep -q 'going on from' "$folder/node0.log"; }

say "training on two nodes, ${addresses[0]} and ${addresses[1]}"
: >"$folder/node0.log" && : >"$folder/node1.log"
start 0 broken
start 1 broken
wait_until 'the first checkpoint' has_checkpoint
reached=$(steps_done broken)
wait_until 'a few steps beyond it' beyond "$((reached + 3))"

say "killing all of node 1 after step $(steps_done broken)"
kill -KILL "${pids[1]}"
wait "${pids[1]}" 2>/dev/null || true
begin=$SECONDS
wait_until 'node 0 to notice' noticed
say "node 0 noticed within $((SECONDS - begin + 1)) s: $(grep 'starting again' "$folder/node0.log" | head -n 1)"
start 1 broken
wait_until 'the run to go on' resumed
say "$(grep 'going on from' "$folder/node0.log" | head -n 1)"
wait_for_both

if [[ -n $(steps_of broken | sort -n | uniq -d) ]]; then die 'metrics.jsonl has steps twice'; fi
total=$(steps_done broken)
(($(steps_of broken | wc -l) == total)) || die "metrics.jsonl has $(steps_of broken | wc -l) steps of $total"

say 'the same run undisturbed'
start 0 whole
start 1 whole
wait_for_both
(($(steps_done whole) == total)) || die "the undisturbed run has $(steps_done whole) steps, the other one $total"
largest=$(paste -d ' ' <(losses_of broken) <(losses_of whole) |
  awk '{ d = $2 - $4; if (d < 0) d = -d; if (d > most) most = d } END { printf "%g", most }')
awk -v d="$largest" 'BEGIN { exit !(d < 1e-5) }' || die "the curves differ by up to $largest"
say "$total steps, each once; the largest difference to the undisturbed curve is $largest"

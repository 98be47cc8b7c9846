#!/usr/bin/env bash
# ./dev demo [--scenes] [key=value …]
# From nothing to a model that finds pictures: builds, fetches pictures that ship with Debian, turns them into a data set,
# trains a small CLIP on them, measures it on pictures that it has never seen, and writes a page to look at:
# demo/index.html. Where the pictures cannot be fetched (or with --scenes) it draws scenes and learns those.
# key=value arguments change the recipe configs/tiny/clip_pictures.yaml, as train.epochs=30.
# Some five minutes on two cores once built; everything goes below demo/, and a second run goes on where one was stopped.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scenes=false
overrides=()
for argument in "$@"; do
  case $argument in
    --scenes) scenes=true ;;
    *=*) overrides+=("$argument") ;;
    *) die_usage "demo: cannot make sense of '$argument' (--scenes, or key=value for the recipe)" ;;
  esac
done
begin=$SECONDS
out=demo
data=$out/data
run=$out/run
mkdir -p "$data"

# The pictures come down while the compiler works.
"$top/scripts/setup.sh"
roots=$(mktemp)
trap 'rm -f "$roots" "$roots.log"' EXIT
fetching=
if ! $scenes; then
  "$top/scripts/pictures.sh" >"$roots" 2>"$roots.log" &
  fetching=$!
fi
"$top/scripts/build.sh" release --target vlm_command
if [[ -n $fetching ]]; then
  say "pictures: Debian's tuxpaint-stamps-default, openclipart-png, openclipart-svg"
  if ! wait "$fetching"; then
    cat "$roots.log" >&2
    warn "going on with drawn scenes instead"
    scenes=true
  fi
fi
built=$SECONDS
vlm=$top/build/release/bin/vlm

if $scenes; then
  timed "drawing captioned scenes" "$vlm" data make scenes --out "$data/scenes" --count 5000 --seed 1
  train=$(cd "$data/scenes" && ls train-*.tar) val=$(cd "$data/scenes" && ls val-*.tar) tests=$(cd "$data/scenes" && ls test-*.tar)
  paths() { printf '%s\n' "$@" | sed "s|^|$data/scenes/|" | paste -sd: | sed 's/:/::/g'; }
  # shellcheck disable=SC2086
  overrides=("data.train.path=$(paths $train)" "data.val.path=$(paths $val)" "${overrides[@]}")
  # shellcheck disable=SC2086
  test_data=$(paths $tests)
  captions=(--data "$data/scenes/captions_train.json")
  queries=('a red circle' 'a blue square' 'three stars' 'a triangle above a circle' 'a green heart')
  classes_file=$data/scenes/classes.txt
  note="Trained in minutes on scenes that a program drew."
else
  {
    read -r stamps
    read -r clipart
  } <"$roots"
  timed "importing tuxpaint's stamps" "$vlm" data import tuxpaint --root "$stamps" --out "$data/tuxpaint"
  timed "importing openclipart" "$vlm" data import openclipart --root "$clipart" --out "$data/openclipart"
  test_data="$data/openclipart/test-{000000..000001}.tar::$data/tuxpaint/test-000000.tar"
  captions=(--data "$data/openclipart/captions_train.json" --data "$data/tuxpaint/captions_train.json")
  queries=('the flag of Norway' 'a playing card' 'hotel icon' 'folder icon' 'a tree' 'a road sign' 'the letter U' 'a guitar')
  classes_file=$data/classes.txt
  sort -u "$data/openclipart/classes.txt" "$data/tuxpaint/classes.txt" >"$classes_file"
  note="Trained in minutes, from nothing, on the pictures of two Debian packages and their captions."
fi

timed "training a vocabulary" "$vlm" tokenizer train "${captions[@]}" --vocab-size 3000 --out "$data/tokenizer.model"
timed "training a small CLIP" "$vlm" pretrain --config configs/tiny/clip_pictures.yaml "out=$run" "${overrides[@]}"

say "retrieval on held-out pictures"
"$vlm" eval retrieval --model "$run/model" "$test_data" --merge-equal-texts
"$vlm" eval retrieval --model "$run/model" "$test_data" --merge-equal-texts --json >"$out/retrieval.json" 2>/dev/null
say "classes of held-out pictures, by name alone"
"$vlm" eval zeroshot --model "$run/model" "$test_data"

# A few held-out pictures as files, for the commands that take files.
rm -rf "$out/pictures"
mkdir -p "$out/pictures"
for shard in "$data"/*/test-*.tar; do tar -xf "$shard" -C "$out/pictures" --wildcards '*.png'; done
say "vlm classify on three held-out pictures"
# shellcheck disable=SC2012
ls "$out"/pictures/*.png | sed -n '20p;150p;300p' | xargs "$vlm" classify --model "$run/model" --classnames "$classes_file" --template '{}'
say "vlm search \"${queries[0]}\" in the held-out pictures"
"$vlm" search --model "$run/model" "${queries[0]}" "$out/pictures" --top 3

asked=()
for query in "${queries[@]}"; do asked+=(--query "$query"); done
"$vlm" report --model "$run/model" --run "$run" "$test_data" "${asked[@]}" --title 'A small CLIP, seen at work' --note "$note" --out "$out/index.html"
say "demo: done in $(duration $((SECONDS - begin))), of which $(duration $((SECONDS - built))) after building"

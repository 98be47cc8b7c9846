#!/usr/bin/env bash
# ./dev demo [--scenes] [--full] [key=value …]
# From nothing to models that find pictures and describe them: builds, fetches pictures that ship with Debian, turns them into a
# data set, trains a small CLIP and a small OFA on them (captions and answers from one model), measures both on pictures that they
# have never seen, beside what chance, an untrained model, copying from the nearest picture and always saying the commonest answer
# reach, and writes pages to look at: demo/index.html.
# Where the pictures cannot be fetched (or with --scenes) it draws scenes and learns those.
# Some ten minutes on two cores once built. --full trains both longer (the figures in README.md), more than an hour.
# key=value arguments change the recipe of the CLIP, configs/tiny/clip_pictures.yaml (--full: clip_pictures_full.yaml), as
# train.epochs=20; those that begin with "ofa." change OFA's, configs/tiny/ofa.yaml, as ofa.train.steps=1000. Everything goes
# below demo/, and a second run goes on where one was stopped.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scenes=false
full=false
overrides=() ofa_overrides=()
for argument in "$@"; do
  case $argument in
    --scenes) scenes=true ;;
    --full) full=true ;;
    ofa.*=*) ofa_overrides+=("${argument#ofa.}") ;;
    *=*) overrides+=("$argument") ;;
    *) die_usage "demo: cannot make sense of '$argument' (--scenes, --full, or key=value for the recipe)" ;;
  esac
done
begin=$SECONDS
out=demo
data=$out/data
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
kind=pictures
$scenes && kind=scenes
if $full; then
  clip_recipe=configs/tiny/clip_pictures_full.yaml ofa_steps=6000 kind=$kind-full
else
  clip_recipe=configs/tiny/clip_pictures.yaml ofa_steps=1000
fi
clip=$out/clip-$kind untrained=$out/untrained-$kind ofa=$out/ofa-$kind

if $scenes; then
  timed "drawing captioned scenes" "$vlm" data make scenes --out "$data/scenes" --count 5000 --seed 1
  train=$(cd "$data/scenes" && ls train-*.tar) val=$(cd "$data/scenes" && ls val-*.tar) tests=$(cd "$data/scenes" && ls test-*.tar)
  paths() { printf '%s\n' "$@" | sed "s|^|$data/scenes/|" | paste -sd: | sed 's/:/::/g'; }
  # shellcheck disable=SC2086
  train_data=$(paths $train) val_data=$(paths $val) test_data=$(paths $tests)
  captions=(--data "$data/scenes/captions_train.json")
  tasks=("data.mix.questions.path=$data/scenes/vqa_train.json" "evals.vqa.data.path=$data/scenes/vqa_val.json")
  questions=$data/scenes/vqa_test.json asking='how many shapes are there?'
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
  timed "importing openclipart with its stars, whose points can be counted" \
    "$vlm" data import openclipart --with-stars --root "$clipart" --out "$data/openclipart-stars"
  train_data="$data/openclipart/train-{000000..000008}.tar::$data/tuxpaint/train-{000000..000001}.tar"
  val_data="$data/openclipart/val-000000.tar::$data/tuxpaint/val-000000.tar"
  test_data="$data/openclipart/test-{000000..000001}.tar::$data/tuxpaint/test-000000.tar"
  captions=(--data "$data/openclipart/captions_train.json" --data "$data/tuxpaint/captions_train.json")
  tasks=("data.mix.questions.path=$data/openclipart-stars/vqa_train.json::$data/tuxpaint/vqa_train.json")
  questions=$data/openclipart-stars/vqa_test.json::$data/tuxpaint/vqa_test.json asking='what kind of thing is this?'
  queries=('the flag of Norway' 'a playing card' 'hotel icon' 'folder icon' 'a tree' 'a road sign' 'the letter U' 'a guitar')
  classes_file=$data/classes.txt
  sort -u "$data/openclipart/classes.txt" "$data/tuxpaint/classes.txt" >"$classes_file"
  note="Trained in minutes, from nothing, on the pictures of two Debian packages and their captions."
fi

say "training a vocabulary"
pieces=$("$vlm" tokenizer train "${captions[@]}" --vocab-size 3000 --out "$data/tokenizer.model" --json | grep -o '"vocab_size":[0-9]*')
# OFA has one <mask> and 100 coordinates beside them.
ids=$((${pieces#*:} + 101))
where=("data.train.path=$train_data" "data.val.path=$val_data")
timed "training a small CLIP" "$vlm" pretrain --config "$clip_recipe" "out=$clip" "${where[@]}" "${overrides[@]}"
timed "training a small OFA: captions and answers" "$vlm" pretrain --config configs/tiny/ofa.yaml "out=$ofa" \
  "model.tokenizer=$data/tokenizer.model" "model.config.vocab_size=$ids" "train.steps=$ofa_steps" "data.mix.captions.path=$train_data" "data.val.path=$val_data" \
  "${tasks[@]}" "${ofa_overrides[@]}"
# The same CLIP with the weights that it began with: one step at a learning rate of nothing.
"$vlm" pretrain --config "$clip_recipe" "out=$untrained" "${where[@]}" data.val.path= train.steps=1 train.lr=0 2>/dev/null

# What is printed below is kept in demo/figures.txt.
measure() {
  say "$1"
  shift
  "$vlm" eval "$@"
}
writer=$ofa/model
{
  measure "retrieval on held-out pictures" retrieval --model "$clip/model" "$test_data" --merge-equal-texts
  measure "the same, before training" retrieval --model "$untrained/model" "$test_data" --merge-equal-texts
  measure "classes of held-out pictures, by name alone" zeroshot --model "$clip/model" "$test_data" --classnames "$classes_file"
  probe=(--train-data "$train_data" --val-data "$val_data" "$test_data")
  measure "classes of held-out pictures, by a linear classifier on the CLIP" probe --model "$clip/model" --pixels "${probe[@]}"
  measure "the same, on the CLIP before training" probe --model "$untrained/model" "${probe[@]}"
  measure "captions of held-out pictures, by OFA" caption --model "$writer" --beam 1 "$test_data" --floor "$train_data" --out "$out/captions.jsonl"
  measure "answers about held-out pictures, by the same OFA" vqa --model "$writer" --beam 1 "$questions" data.type=albef_vqa --out "$out/answers.jsonl"
} | tee "$out/figures.txt"
"$vlm" eval retrieval --model "$clip/model" "$test_data" --merge-equal-texts --json >"$out/retrieval.json" 2>/dev/null

# A few held-out pictures as files, for the commands that take files.
rm -rf "$out/pictures"
mkdir -p "$out/pictures"
for shard in "$data"/*/test-*.tar; do tar -xf "$shard" -C "$out/pictures" --wildcards '*.png'; done
pictures=("$out"/pictures/*.png)
some=()
for ((i = 1; i <= 8; ++i)); do some+=("${pictures[i * ${#pictures[@]} / 9]}"); done
say "vlm classify on three held-out pictures"
"$vlm" classify --model "$clip/model" --classnames "$classes_file" --template '{}' "${some[@]:0:3}"
say "vlm search \"${queries[0]}\" in the held-out pictures"
"$vlm" search --model "$clip/model" "${queries[0]}" "$out/pictures" --top 3
say "vlm caption on eight held-out pictures"
"$vlm" caption --model "$writer" --beam 1 "${some[@]}"
say "vlm vqa on the same eight: $asking"
"$vlm" vqa --model "$writer" --beam 1 "${some[@]}" "$asking"

asked=()
for query in "${queries[@]}"; do asked+=(--query "$query"); done
"$vlm" report "$clip" "$ofa" --title 'How the CLIP and the OFA learnt' --note "$note" --out "$out/runs.html"
"$vlm" report --model "$clip/model" --run "$clip" "$test_data" "${asked[@]}" --title 'A small CLIP, seen at work' --note "$note" \
  --link 'runs.html=how it and a small OFA learnt, with captions and answers about pictures that they have not seen' --out "$out/index.html"
say "demo: done in $(duration $((SECONDS - begin))), of which $(duration $((SECONDS - built))) after building"

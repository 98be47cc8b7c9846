#!/usr/bin/env python3
"""What each loss of alignment adds: the same small model, pictures, steps and seeds, and one loss more or another at a time.

  tools/ablate_alignment.py --vlm build/release/bin/vlm --jobs 2            # pictures and tokenizer as configs/tiny/albef.yaml says

Every variant is configs/tiny/albef.yaml with the keys below. Each run trains with one thread and is measured by retrieval on held-out
pictures, by the cosines alone and with the matching head looking again at the 32 best (not where nothing taught it to match). Prints
means and standard deviations over seeds as a Markdown table. What is finished is not done again, and a run that was broken off goes on
from its checkpoint; other --steps need another --out.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys

ALBEF = ["objective.name=albef"]
VARIANTS = {  # name: (row of the table, keys)
    "itc": ("ITC alone", [*ALBEF, "objective.options.itm_weight=0", "objective.options.mlm_weight=0"]),
    "albef": ("+ ITM + MLM (ALBEF)", ALBEF),
    "tcl": ("ALBEF + IMC + LMI (TCL)", ["objective.name=tcl", "objective.options.pooling=fixed16"]),
    "codis": ("ALBEF + codebook (CODIS)", ["objective.name=codis", "model.config.codebook_size=256"]),
    "separation": ("ALBEF + deep feature separation", [*ALBEF, "model.config.independent_features=true", "objective.options.terms.separation=1"]),
    "bridge": ("ALBEF + Brownian bridge", [*ALBEF, "objective.options.terms.brownian_bridge=1"]),
    "geometry": ("ALBEF + geometric consistency", [*ALBEF, "objective.options.terms.geometric_consistency=0.25"]),
}
MATCHES_NOTHING = {"itc"}
RERANK = 32
DIRECTIONS = ("image_to_text", "text_to_image")


def arguments():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vlm", type=pathlib.Path, default=root / "build/release/bin/vlm", help="the command")
    parser.add_argument("--config", type=pathlib.Path, default=root / "configs/tiny/albef.yaml")
    parser.add_argument("--data", type=pathlib.Path, default=root / "demo/data", help="folder with openclipart, tuxpaint and tokenizer.model")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/ablation"))
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seeds", type=int, default=3, help="so many, from 0")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT", help=" ".join(VARIANTS))
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the recipe for all runs")
    return parser.parse_args()


def output_of(command, log):
    """What it prints; all of what it says goes to the end of `log`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    with open(log, "a") as file:
        file.write(f"$ {' '.join(map(str, command))}\n{result.stderr}{result.stdout}\n")
    if result.returncode != 0:
        raise RuntimeError(f"{log}: the command ended with {result.returncode}:\n{result.stderr[-2000:]}")
    return result.stdout


def keys_of(args, variant):
    tars = [args.data / "openclipart/train-{000000..000008}.tar", args.data / "tuxpaint/train-{000000..000001}.tar"]
    return [f"model.tokenizer={args.data / 'tokenizer.model'}", f"data.train.path={'::'.join(map(str, tars))}", "data.val.path=", "data.threads=0",
            f"train.steps={args.steps}", "train.keep_last=1", "train.keep_best=false", *VARIANTS[variant][1], *args.set]


def run_of(args, variant, seed):
    """Trains and measures, unless that is done."""
    name = f"{variant}-seed{seed}"
    done = args.out / "results" / f"{name}.json"
    keys = keys_of(args, variant)
    if done.exists():
        found = json.loads(done.read_text())
        if found["keys"] != keys:
            raise RuntimeError(f"{done} was made with other keys; give another --out")
        return found
    folder, log = args.out / "runs" / name, args.out / "logs" / f"{name}.log"
    report = output_of([args.vlm, "pretrain", "--config", args.config, f"out={folder}", "--seed", seed, "--threads", 1, "--json", *keys], log)
    found = {"variant": variant, "seed": seed, "keys": keys, "training": json.loads(report)}
    tars = [args.data / "openclipart/test-{000000..000001}.tar", args.data / "tuxpaint/test-000000.tar"]
    measure = [args.vlm, "eval", "retrieval", "--model", folder / "model", "::".join(map(str, tars)), "--merge-equal-texts", "--json", "--threads", 1]
    found["cosines"] = json.loads(output_of(measure, log))
    if variant not in MATCHES_NOTHING:
        found["reranked"] = json.loads(output_of([*measure, "--rerank", RERANK], log))
    partial = done.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1))
    partial.replace(done)
    return found


def share(values):
    """Percent, and the standard deviation over seeds."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def cells(found, stage):
    reports = [run[stage] for run in found if stage in run]
    if not reports:
        return ["–"] * 3
    return [*(share([report[direction]["R@1"] for report in reports]) for direction in DIRECTIONS), share([report["mean_recall"] for report in reports])]


def table(args, results):
    seeds = f"{args.seeds} seed{'s' if args.seeds > 1 else ''}"
    reports = [run["cosines"] for found in results.values() for run in found]
    size = f", {reports[0]['images']} pictures and {reports[0]['texts']} texts" if reports else ""
    lines = [f"{args.steps} steps, {seeds}{size}; percent, mean and standard deviation. By chance: "
             f"{100 * reports[0]['chance']['image_to_text']['R@1']:.2f} (R@1 of texts)." if reports else "Nothing is finished.", "",
             f"| losses | cosines: texts R@1 | pictures R@1 | mean recall | best {RERANK} again: texts R@1 | pictures R@1 | mean recall |",
             "|---|---|---|---|---|---|---|"]
    for variant, found in results.items():
        if found:
            lines.append("| " + " | ".join([VARIANTS[variant][0], *cells(found, "cosines"), *cells(found, "reranked")]) + " |")
    return "\n".join(lines) + "\n"


def main():
    args = arguments()
    args.data, args.out = args.data.resolve(), args.out.resolve()
    for folder in ("results", "logs"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    # Seed by seed, so that an early look compares all variants.
    tasks = [(variant, seed) for seed in range(args.seeds) for variant in args.only]
    results, failures = {variant: [] for variant in args.only}, []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(run_of, args, variant, seed): (variant, seed) for variant, seed in tasks}
        for finished in concurrent.futures.as_completed(running):
            variant, seed = running[finished]
            error = finished.exception()
            if error is None:
                results[variant].append(finished.result())
            else:
                failures.append(f"{variant}, seed {seed}: {error}")
            print(f"{variant}, seed {seed}: {'failed' if error else 'done'}", file=sys.stderr, flush=True)
    text = table(args, results)
    (args.out / "table.md").write_text(text)
    print(text, end="")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()

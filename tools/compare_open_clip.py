#!/usr/bin/env python3
"""Trains open_clip beside vlm and says how far apart they are: losses step by step, pixels and ids of the first batch, recall at the end.

  python -m venv peer && peer/bin/pip install open_clip_torch==3.3.0 sentencepiece
  peer/bin/python tools/compare_open_clip.py --vlm build/release/bin/vlm --config configs/tiny/clip_pictures.yaml \
      --train 'data/openclipart/train-{000000..000008}.tar::data/tuxpaint/train-{000000..000001}.tar' \
      --test 'data/openclipart/test-{000000..000001}.tar::data/tuxpaint/test-000000.tar' \
      --tokenizer data/tokenizer.model --out /tmp/compare --epochs 5

Both begin with the same weights: `vlm pretrain --init-only` writes them in open_clip's layout. From there on this program shares
nothing with vlm: it finds the order of the samples from the seed (splitmix64, permutation, plan of an epoch), reads the tars with
tarfile, decodes with Pillow, resizes with torchvision, tokenizes with the sentencepiece package and trains open_clip.model.CLIP
with open_clip's loss, parameter groups, schedule, clipping and clamp. What is drawn at random in training is off on both sides:
no crop, no shift, the first caption; equal captions count as different, as in open_clip.

--steps N stops after N steps (of the schedule of all epochs); without it all epochs are trained and both models are evaluated.
Exits with 1 if a loss differs by more than --loss-tolerance (relative) within the first 50 steps, or a recall by more than
--recall-tolerance. --threads 1 takes longer and makes both sides repeatable.
"""
import argparse
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile

import numpy
import sentencepiece
import torch
import torch.nn.functional as F
from braceexpand import braceexpand
from open_clip import ClipLoss
from open_clip.model import CLIP
from open_clip.transform import image_transform
from open_clip_train.scheduler import cosine_lr
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

U64 = (1 << 64) - 1


class SplitMix64:
    def __init__(self, seed):
        self.state = seed & U64

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & U64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
        return z ^ (z >> 31)


def mix(*numbers):
    h = 0
    for x in numbers:
        h = SplitMix64(h ^ x).next()
    return h


def permutation(n, seed):
    random, p = SplitMix64(seed), list(range(n))
    for i in range(n - 1, 0, -1):
        j = random.next() % (i + 1)
        p[i], p[j] = p[j], p[i]
    return p


def epoch_batches(shards, data, epoch):
    """Numbers of samples, batch by batch, of one rank: `shards` holds the numbers of each shard."""
    if data["shuffle_by"] == "sample":
        shards = [[number] for shard in shards for number in shard]
    seed, workers, size = data["seed"], max(1, data["workers"]), data["batch_size"]
    order = permutation(len(shards), mix(seed, epoch, 0)) if data["shuffle"] else range(len(shards))

    def within(s):
        return [shards[s][i] for i in permutation(len(shards[s]), mix(seed, epoch, 1 + s))] if data["shuffle"] else shards[s]

    lists = [[] for _ in range(workers)]
    if len(shards) >= workers:
        for i, s in enumerate(order):
            lists[i % workers].extend(within(s))
    else:
        for n, number in enumerate(number for s in order for number in within(s)):
            lists[n % workers].append(number)
    cut = [[one[at:at + size] for at in range(0, len(one) - size + 1, size)] for one in lists]  # the rest is dropped
    for turn in range(max(map(len, cut))):
        yield from (batches[turn] for batches in cut if turn < len(batches))


def read_shards(pattern):
    """All (picture, caption), and the numbers of each shard."""
    samples, shards = [], []
    for part in pattern.split("::"):
        for path in braceexpand(part):
            numbers, groups = [], {}
            with tarfile.open(path) as tar:
                for member in tar:
                    folder, _, name = member.name.rpartition("/")
                    stem, _, extension = name.partition(".")
                    groups.setdefault(f"{folder}/{stem}", {})[extension.lower()] = tar.extractfile(member).read()
            for group in groups.values():
                picture = next(group[e] for e in ("jpg", "png", "jpeg", "webp") if e in group)
                numbers.append(len(samples))
                samples.append((picture, group["txt"].decode().strip()))
            shards.append(numbers)
    return samples, shards


class Pictures:
    """Both transforms. That of training: a white square around the picture, then down to the size of the model."""

    def __init__(self, cfg, augment):
        assert augment["pad_square"] and augment["shift"] == 0 and augment["scale"] == augment["ratio"] == [1, 1]
        size = cfg["size"][0] if isinstance(cfg["size"], list) else cfg["size"]
        self.training = transforms.Compose([
            transforms.Resize((size, size), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(), transforms.Normalize(cfg["mean"], cfg["std"])])
        self.evaluation = image_transform(size, is_train=False, mean=cfg["mean"], std=cfg["std"], resize_mode=cfg["resize_mode"],
                                          interpolation=cfg["interpolation"], fill_color=cfg["fill_color"])

    def train(self, encoded):
        picture = Image.open(io.BytesIO(encoded)).convert("RGB")
        side = max(picture.size)
        square = Image.new("RGB", (side, side), "white")
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        return self.training(square)

    def evaluate(self, encoded):
        return self.evaluation(Image.open(io.BytesIO(encoded)))


class Texts:
    """SentencePiece as vlm trains it: white space squashed, lower case; [bos] ids [eos], cut and padded."""

    def __init__(self, path, length):
        self.model, self.length = sentencepiece.SentencePieceProcessor(model_file=str(path)), length

    def __call__(self, text):
        ids = self.model.encode(re.sub(r"\s+", " ", text).strip().lower())
        ids = [self.model.bos_id(), *ids, self.model.eos_id()]
        if len(ids) > self.length:
            ids = ids[:self.length - 1] + [self.model.eos_id()]
        pad = self.model.pad_id() if self.model.pad_id() >= 0 else self.model.eos_id()
        return torch.tensor(ids + [pad] * (self.length - len(ids)))


def load_clip(folder):
    cfg = json.loads((folder / "open_clip_config.json").read_text())
    model = CLIP(**cfg["model_cfg"])
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    return model, cfg


def make_adamw(model, train):
    """open_clip's two groups."""
    plain, decayed = [], []
    for name, p in model.named_parameters():
        out = p.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name
        (plain if out else decayed).append(p)
    o = train["optimizer"]
    return torch.optim.AdamW([{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": train["weight_decay"]}],
                             lr=train["lr"], betas=(o["beta1"], o["beta2"]), eps=o["eps"])


def train_open_clip(model, recipe, samples, shards, pictures, texts, first_batch, steps):
    data, train = recipe["data"], recipe["train"]
    assert train["schedule"]["style"] == "open_clip" and train["schedule"]["name"] == "cosine" and train["optimizer"]["name"] == "adamw"
    pixels = torch.stack([pictures.train(picture) for picture, _ in samples])
    ids = torch.stack([texts(caption) for _, caption in samples])
    epochs = [list(epoch_batches(shards, data, epoch)) for epoch in range(train["epochs"])]
    total = sum(map(len, epochs))
    order = [batch for epoch in epochs for batch in epoch][:steps or total]

    same = torch.equal(first_batch["numbers"], torch.tensor(order[0]))
    level = 255 * numpy.array(data["preprocess"]["std"]).max()
    off = (first_batch["images"] - pixels[order[0]]).abs().max().item()
    print(f"first batch: order {'the same' if same else 'DIFFERS'}, ids {'the same' if torch.equal(first_batch['ids'], ids[order[0]]) else 'DIFFER'}, "
          f"largest difference of pixels {off:.2e} ({off * level:.4f} levels of 255)")

    optimizer = make_adamw(model, train)
    schedule = cosine_lr(optimizer, train["lr"], train["schedule"]["warmup_steps"], total)
    loss_of, losses = ClipLoss(), []
    model.train()
    for step, batch in enumerate(order):
        schedule(step)
        optimizer.zero_grad()
        image, text, scale = model(pixels[batch], ids[batch])[:3]
        loss = loss_of(image, text, scale)
        loss.backward()
        if train["grad_clip_norm"] > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), train["grad_clip_norm"])
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, numpy.log(100))
        losses.append(loss.item())
    return losses


@torch.no_grad()
def recall(model, samples, pictures, texts):
    model.eval()
    image = torch.cat([model.encode_image(torch.stack([pictures.evaluate(p) for p, _ in samples[i:i + 64]]), normalize=True)
                       for i in range(0, len(samples), 64)])
    text = F.normalize(model.encode_text(torch.stack([texts(c) for _, c in samples])), dim=-1)
    scores, out = image @ text.T, {}
    for name, table in (("image_to_text", scores), ("text_to_image", scores.T)):
        own, index = table.diagonal().unsqueeze(1), torch.arange(len(table))
        # Equal captions have equal scores; as in vlm eval the later one goes first.
        rank = ((table > own) | ((table == own) & (index > index.unsqueeze(1)))).sum(1)
        for k in (1, 5, 10):
            out[f"{name} R@{k}"] = 100 * (rank < k).double().mean().item()
    return out


def compare_losses(ours, theirs, tolerance):
    n = min(len(ours), len(theirs))
    off = numpy.array([abs(a - b) / abs(b) for a, b in zip(ours[:n], theirs[:n])])
    print(f"\n{'step':>5} {'vlm':>10} {'open_clip':>10} {'relative':>10}")
    for step in sorted({0, 1, 2, 4, 9, 19, 29, 39, 49, n - 1} & set(range(n))):
        print(f"{step + 1:5} {ours[step]:10.6f} {theirs[step]:10.6f} {off[step]:10.1e}")
    early = off[:50]
    print(f"\nlosses of the first {len(early)} steps: largest relative difference {early.max():.1e} (step {early.argmax() + 1}), "
          f"median {numpy.median(early):.1e}; of all {n}: largest {off.max():.1e}, median {numpy.median(off):.1e}")
    return early.max() <= tolerance


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlm", default="build/release/bin/vlm")
    parser.add_argument("--config", default="configs/tiny/clip_pictures.yaml")
    parser.add_argument("--train", required=True, help="tars to learn from")
    parser.add_argument("--test", required=True, help="tars to measure recall on")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many, without evaluation; 0: train all epochs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--loss-tolerance", type=float, default=1e-3)
    parser.add_argument("--recall-tolerance", type=float, default=2, help="in points")
    parser.add_argument("overrides", nargs="*", help="more keys of the recipe, as data.shuffle_by=shard")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)

    run = a.out / "run"
    command = [a.vlm, "pretrain", "--config", a.config, "--resume", "none", "--threads", str(a.threads), f"out={run}",
               f"data.train.path={a.train}", "data.train.captions_field=", "data.val.path=", f"model.tokenizer={a.tokenizer}",
               "data.max_side=0", "data.augment.shift=0", "objective.options.merge_equal_texts=false", f"train.epochs={a.epochs}",
               *a.overrides]
    (run / "metrics.jsonl").unlink(missing_ok=True)
    subprocess.run([*command, "--init-only"], check=True)
    recipe = json.loads((run / "recipe.json").read_text())
    model, cfg = load_clip(run / "init")
    pictures = Pictures(cfg["preprocess_cfg"], recipe["data"]["augment"])
    texts = Texts(a.tokenizer, cfg["model_cfg"]["text_cfg"]["context_length"])
    samples, shards = read_shards(a.train)
    theirs = train_open_clip(model, recipe, samples, shards, pictures, texts, load_file(run / "first_batch.safetensors"), a.steps)

    with subprocess.Popen(command) as training:
        log = run / "metrics.jsonl"
        done = lambda: [e["loss"] for e in map(json.loads, log.read_text().splitlines()) if "loss" in e] if log.exists() else []
        while training.poll() is None:
            try:
                training.wait(1)
            except subprocess.TimeoutExpired:
                if a.steps and len(done()) >= a.steps:
                    training.terminate()
        ours = done()
    good = compare_losses(ours, theirs, a.loss_tolerance)
    if a.steps:
        sys.exit(0 if good else 1)

    tests, _ = read_shards(a.test)
    peer, own = recall(model, tests, pictures, texts), recall(load_clip(run / "model")[0], tests, pictures, texts)
    report = json.loads(subprocess.run([a.vlm, "eval", "retrieval", "--model", run / "model", "--json", a.test], check=True,
                                       capture_output=True, text=True).stdout)
    print(f"\n{len(tests)} pictures of the test split   vlm (by vlm eval)   vlm's weights in open_clip   open_clip")
    for name, value in peer.items():
        side, k = name.split()
        by_vlm = 100 * report[side][k]
        print(f"  {name:20} {by_vlm:22.2f} {own[name]:28.2f} {value:11.2f}")
        good = good and abs(by_vlm - value) <= a.recall_tolerance
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Speed of vlm's TCL against the public PyTorch TCL (github.com/uta-smile/TCL, commit 74a3e4f): the same step of pretraining, in turn.

  python -m venv peer && peer/bin/pip install torch==2.11.0 packaging requests tqdm pyyaml numpy regex filelock safetensors
  peer/bin/pip install --no-deps transformers==4.30.2 huggingface-hub==0.26.5
  git clone https://github.com/uta-smile/TCL
  peer/bin/python tools/peer_tcl.py --tcl TCL --vlm build/release/bin/vlm --rounds 3

A step is forward, all losses (six of alignment, matching, masked language modelling, each with momentum networks), backward, and AdamW,
in float32, on one fixed batch of pictures of 144 x 144 (two views) and texts of 25 ids; wrong pairs and hidden words are drawn anew in
each. Sizes are those of `vlm bench tcl-train` (apps/vlm/bench_tcl.cpp): 6 layers of width 256 for pictures and for texts, 8192 ids,
queues of 4096. 144 pixels, because the public pretraining pools 4, 9 or 16 patches a side and no others.

The public model runs as it is. What it takes from elsewhere is given to it: sizes that are numbers in its source, new weights in place of
downloads, a process group of one, the five names of timm that its image encoder wants, and decorators of old transformers.

Without --vlm the public code alone is measured and one line of JSON printed, in the form of `vlm bench`; with it both run in turn, each in
a process of its own, and the ratio of the medians is printed. Measure on a machine that does nothing else.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import types

IMAGE, PATCH, WIDTH, DEPTH, HEADS, VOCABULARY, LENGTH, QUEUE = 144, 16, 256, 6, 4, 8192, 25, 4096
CLS, SEP, MASK, PAD = 101, 102, 103, 0
BERT = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": DEPTH, "fusion_layer": DEPTH // 2,
        "num_attention_heads": HEADS, "max_position_embeddings": 64, "encoder_width": WIDTH, "hidden_act": "gelu", "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "initializer_range": 0.02, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": PAD}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tcl", type=pathlib.Path, required=True, help="folder of the public code")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="about how long to measure, after two steps that do not count")
    parser.add_argument("--vlm", type=pathlib.Path, help="measure this command as well, in turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    return parser.parse_args()


def stand_in_for_timm(torch):
    """Of timm.models: what vit.py imports. Patches are embedded by one convolution, as there."""

    class PatchEmbed(torch.nn.Module):
        def __init__(self, img_size, patch_size, in_chans, embed_dim):
            super().__init__()
            self.num_patches = (img_size // patch_size) ** 2
            self.proj = torch.nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

        def forward(self, pictures):
            return self.proj(pictures).flatten(2).transpose(1, 2)

    modules = {"timm": {}, "timm.models": {}, "timm.models.vision_transformer": {"_cfg": dict, "PatchEmbed": PatchEmbed},
               "timm.models.registry": {"register_model": lambda model: model},
               "timm.models.layers": {"trunc_normal_": torch.nn.init.trunc_normal_, "DropPath": torch.nn.Identity}}
    for name, contents in modules.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(contents)


def public_model(torch, folder, scratch):
    import transformers.file_utils

    stand_in_for_timm(torch)
    transformers.file_utils.add_code_sample_docstrings = lambda *args, **kwargs: lambda function: function
    sys.path.insert(0, str(folder))
    from models import model_pretrain

    tower = model_pretrain.VisionTransformer

    def sized(**given):
        return tower(**{**given, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS})

    model_pretrain.VisionTransformer = sized
    model_pretrain.BertForMaskedLM.from_pretrained = classmethod(lambda cls, name, config: cls(config))
    config = scratch / "bert.json"
    config.write_text(json.dumps(BERT))
    tokenizer = types.SimpleNamespace(pad_token_id=PAD, cls_token_id=CLS, mask_token_id=MASK)
    return model_pretrain.ALBEF(text_encoder="", tokenizer=tokenizer, init_deit=False, temp=0.07,
                                config={"mlm_probability": 0.15, "embed_dim": 256, "image_res": IMAGE, "vision_width": WIDTH, "bert_config": str(config),
                                        "temp": 0.07, "queue_size": QUEUE, "momentum": 0.995})


def decayed_by_name(model):
    """The groups of the public optimiser: no decay for one dimension and for biases."""
    kept, decayed = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (kept if parameter.dim() == 1 or name.endswith(".bias") else decayed).append(parameter)
    return [{"params": kept, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.02}]


def measure(args):
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        torch.distributed.init_process_group("gloo", init_method=f"file://{scratch}/group", rank=0, world_size=1)
        model = public_model(torch, args.tcl.resolve(), scratch)
        model.train()
        optimizer = torch.optim.AdamW(decayed_by_name(model), lr=1e-4, betas=(0.9, 0.999), eps=1e-8)
        image, image_aug = torch.randn(2, args.batch, 3, IMAGE, IMAGE)
        ids = torch.randint(200, VOCABULARY, (args.batch, LENGTH))
        ids[:, 0], ids[:, -1] = CLS, SEP
        text = types.SimpleNamespace(input_ids=ids, attention_mask=torch.ones_like(ids))

        def step():
            optimizer.zero_grad()
            sum(model(image, image_aug, text, alpha=0.4)).backward()
            optimizer.step()

        for _ in range(2):
            step()
        rates, begin = [], time.perf_counter()
        while len(rates) < 3 or time.perf_counter() - begin < args.seconds:
            start = time.perf_counter()
            step()
            rates.append(args.batch / (time.perf_counter() - start))
        torch.distributed.destroy_process_group()
    return {"task": "tcl-train", "who": "TCL, PyTorch eager", "precision": "fp32", "threads": args.threads, "value": statistics.median(rates),
            "unit": "samples/s", "runs": rates, "batch": args.batch, "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def line_of(command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{result.stderr}{result.stdout}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def compare(args):
    shared = ["--batch", args.batch, "--threads", args.threads, "--seconds", args.seconds]
    sides = {"vlm": [args.vlm, "bench", "tcl-train", *shared], "public": [sys.executable, os.path.abspath(__file__), "--tcl", args.tcl, *shared]}
    found = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, command in sides.items():
            found[name].append(line_of(command))
    middle = {name: statistics.median(line["value"] for line in lines) for name, lines in found.items()}
    for name, lines in found.items():
        values = " ".join(f"{line['value']:.2f}" for line in lines)
        print(f"{name:7} {middle[name]:.2f} samples/s ({values}), {max(line['peak_memory_mb'] for line in lines)} MB")
    print(f"ratio   {middle['vlm'] / middle['public']:.2f}")


if __name__ == "__main__":
    options = arguments()
    if options.vlm:
        compare(options)
    else:
        print(json.dumps(measure(options)))

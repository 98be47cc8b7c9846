#!/usr/bin/env python3
"""Holds vlm's OFA against the public PyTorch OFA (the package modelscope): the same folders, opened by both, give the same logits.

  python -m venv peer && peer/bin/pip install torch==2.11.0 packaging requests tqdm pyyaml numpy regex filelock safetensors
  peer/bin/pip install --no-deps modelscope==1.40.2 transformers==4.30.2 tokenizers==0.13.3 huggingface-hub==0.26.5
  peer/bin/python tools/compare_ofa.py --vlm build/release/bin/vlm --sizes tiny medium base

For each size the reference draws a model and writes it (config.json, pytorch_model.bin). Weights, norms' statistics and tables of
relative positions are all drawn, so that nothing can hide behind a zero. Then:

  read       vlm opens the reference's folder
  written    the reference opens what 'vlm convert --to hf' makes of it
  fairseq    vlm opens the checkpoint.pt that 'vlm convert --to fairseq' makes of it; Python's torch.load opens it as well
  returned   the reference opens what 'vlm convert --to hf' makes of that checkpoint

each for a picture with a text (rows of different lengths), for a text alone, and for codes of a picture as the reply. Prints the
largest difference of logits for each, and exits with 1 if one is above --tolerance times the largest logit.
"""
import argparse
import importlib
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import types

import torch
from safetensors.torch import load_file, save_file

SIZES = {  # width, feed-forward width, heads, layers of encoder and decoder, trunk
    "tiny": (256, 1024, 4, 4, 4, "resnet50"),
    "medium": (512, 2048, 8, 4, 4, "resnet101"),
    "base": (768, 3072, 12, 6, 6, "resnet101"),
    "large": (1024, 4096, 16, 12, 12, "resnet152"),
    "huge": (1280, 5120, 16, 24, 12, "resnet152"),
}


def reference():
    """The OFA files of modelscope, without the rest of the package, which wants dozens of others."""
    root = pathlib.Path(importlib.util.find_spec("modelscope").origin).parent / "models/multi_modal/ofa"
    packages = {"modelscope": [], "modelscope.models": [], "modelscope.models.multi_modal": [], "modelscope.models.multi_modal.ofa": [str(root)],
                "fairseq": [], "fairseq.modules": []}
    for name, path in packages.items():
        module = types.ModuleType(name)
        module.__path__ = path
        sys.modules[name] = module
    sys.modules["fairseq.modules"].LayerNorm = torch.nn.LayerNorm
    for part in ("generate", "utils"):  # their own __init__ imports the rest
        module = types.ModuleType(f"modelscope.models.multi_modal.ofa.{part}")
        module.__path__ = [str(root / part)]
        sys.modules[module.__name__] = module
    base = "modelscope.models.multi_modal.ofa"
    return importlib.import_module(base + ".configuration_ofa").OFAConfig, importlib.import_module(base + ".modeling_ofa").OFAModel


def drawn_model(config_class, model_class, size):
    width, ffn, heads, encoder, decoder, trunk = SIZES[size]
    model = model_class(config_class(d_model=width, encoder_ffn_dim=ffn, decoder_ffn_dim=ffn, encoder_attention_heads=heads,
                                     decoder_attention_heads=heads, encoder_layers=encoder, decoder_layers=decoder, resnet_type=trunk))
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("running_mean") or name.endswith("bias"):
                tensor.normal_(0, 0.05)
            elif name.endswith("c_attn") or tensor.dim() == 1:
                tensor.normal_(1, 0.1)
            elif "rel_pos_table" in name:
                tensor.normal_(0, 0.3)
        model.encoder.embed_tokens.weight[1] = 0
    return model.eval()


def drawn_inputs():
    source = torch.randint(4, 50000, (2, 9))
    source[:, 0] = 0
    source[0, -1] = 2
    source[1, 6:] = torch.tensor([2, 1, 1])  # a shorter row
    reply = torch.randint(4, 50000, (2, 7))
    reply[:, 0] = 0
    codes = torch.randint(50265, 58457, (2, 12))
    codes[:, 0] = 0
    pictures = {"patch_images": torch.randn(2, 3, 224, 160), "patch_masks": torch.ones(2, dtype=torch.bool)}
    return {"picture": {"src_tokens": source, "prev_output_tokens": reply, **pictures},
            "text": {"src_tokens": source, "prev_output_tokens": reply},
            "codes": {"src_tokens": source, "prev_output_tokens": codes, "code_masks": torch.ones(2, dtype=torch.bool), **pictures}}


def reference_logits(model, case):
    with torch.inference_mode():
        return model(input_ids=case["src_tokens"], patch_images=case.get("patch_images"), patch_masks=case.get("patch_masks"),
                     decoder_input_ids=case["prev_output_tokens"], code_masks=case.get("code_masks"), use_cache=False).logits


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{result.stderr}{result.stdout}")


def vlm_logits(vlm, model, case, scratch):
    save_file({name: tensor.contiguous() for name, tensor in case.items()}, scratch / "in.safetensors")
    run(vlm, "forward", "--model", model, "--in", scratch / "in.safetensors", "--out", scratch / "out.safetensors", "--threads", torch.get_num_threads())
    return load_file(scratch / "out.safetensors")["logits"]


def opened(model_class, folder):
    model, info = model_class.from_pretrained(folder, output_loading_info=True)
    derived = ("token_rp_bucket", "image_rp_bucket", "image_position_idx")  # made anew by the reference
    missing = [name for name in info["missing_keys"] if not name.endswith(derived)]
    if missing or info["unexpected_keys"] or info["mismatched_keys"]:
        sys.exit(f"{folder}: missing {missing[:5]}, unexpected {info['unexpected_keys'][:5]}, of another shape {info['mismatched_keys'][:5]}")
    return model.eval()


def check_checkpoint(file, model):
    """What fairseq's loader sees of it."""
    checkpoint = torch.load(file, map_location="cpu", weights_only=False)
    assert isinstance(checkpoint["args"], argparse.Namespace), type(checkpoint["args"])
    assert checkpoint["args"].encoder_embed_dim == model.config.d_model
    assert checkpoint["extra_state"]["train_iterator"]["epoch"] == 1
    words = checkpoint["model"]["encoder.embed_tokens.weight"]
    assert torch.equal(words, model.encoder.embed_tokens.weight) and torch.equal(words, checkpoint["model"]["decoder.output_projection.weight"])
    assert torch.equal(checkpoint["model"]["decoder.layers.0.encoder_attn.k_proj.weight"], model.decoder.layers[0].cross_attn.k_proj.weight)


def compare(vlm, config_class, model_class, size, scratch):
    model, cases = drawn_model(config_class, model_class, size), drawn_inputs()
    wanted = {name: reference_logits(model, case) for name, case in cases.items()}
    original, hf, fairseq, back = (scratch / f"{size}-{name}" for name in ("original", "hf", "fairseq", "back"))
    model.save_pretrained(original, safe_serialization=False)
    run(vlm, "convert", original, hf, "--to", "hf")
    run(vlm, "convert", original, fairseq, "--to", "fairseq")
    run(vlm, "convert", fairseq / "checkpoint.pt", back, "--to", "hf")
    check_checkpoint(fairseq / "checkpoint.pt", model)
    ways = {"read": lambda case: vlm_logits(vlm, original, case, scratch), "fairseq": lambda case: vlm_logits(vlm, fairseq / "checkpoint.pt", case, scratch)}
    for name, folder in (("written", hf), ("returned", back)):
        ways[name] = lambda case, again=opened(model_class, folder): reference_logits(again, case)
    worst = 0.0
    for way, logits in ways.items():
        for name, case in cases.items():
            got = logits(case)
            assert got.shape == wanted[name].shape, (got.shape, wanted[name].shape)
            difference, largest = (got - wanted[name]).abs().max().item(), wanted[name].abs().max().item()
            print(f"{size:7} {way:9} {name:8} largest difference {difference:.2e} of logits up to {largest:.2f}", flush=True)
            worst = max(worst, difference / largest)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlm", default="build/release/bin/vlm")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["tiny", "medium", "base"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    config_class, model_class = reference()
    importlib.import_module("transformers").logging.set_verbosity_error()  # derived tables that are made anew
    worst = 0.0
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            worst = max(worst, compare(pathlib.Path(args.vlm).resolve(), config_class, model_class, size, pathlib.Path(scratch)))
    print(f"largest difference relative to the largest logit: {worst:.2e}")
    sys.exit(0 if worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()

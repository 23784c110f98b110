"""What transformers computes when it is made to do what candle-transformers 0.11.1 does: a window one wider, in every layer; scores
divided by the root of the head's size; the embedding as the head. `candle_transformers.rs` compares. Usage: FOLDER to write into.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
FAMILIES = Path(__file__).parent / "families"
OUT = Path(sys.argv[1])


def variant(name, new, change_config, change_model=lambda model: None):
    folder = OUT / new
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FAMILIES / name, folder)
    config = AutoConfig.from_pretrained(FAMILIES / name)
    change_config(config)
    model = AutoModelForCausalLM.from_pretrained(FAMILIES / name, config=config, dtype=torch.float32, attn_implementation="eager").eval()
    change_model(model)
    sequences = json.loads((folder / "expected.json").read_text())["sequences"]
    with torch.no_grad():
        logits = {f"logits.{i}": model(torch.tensor([ids])).logits[0].clone() for i, ids in enumerate(sequences)}
    save_file(logits, folder / "expected.safetensors")


def every_layer(config):
    config.layer_types = ["sliding_attention"] * config.num_hidden_layers
    config.sliding_window += 1


def every_layer_and_scale(config):
    every_layer(config)
    config.query_pre_attn_scalar = config.head_dim


def tie(model):
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().clone())


variant("qwen2-window", "qwen2-all", every_layer)
variant("gemma2-capped", "gemma2-capped-all", every_layer_and_scale)
variant("gemma2-plain", "gemma2-plain-all", every_layer, tie)
variant("gemma2-old", "gemma2-old-all", every_layer)

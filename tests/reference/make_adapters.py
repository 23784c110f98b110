"""What PEFT computes with adapters of every shape that its config can describe, on llama-scaled/ (which has attention biases).

Run make_llama.py first. Writes adapters/CASE/adapter_config.json and adapter_model.safetensors as PEFT saves them (rank 2, B not
zero), adapters/ids.json, and adapters/expected.safetensors:

  logits.CASE       [T, V]   of the ids through base and adapter, computed in float64
  logits.base       [T, V]   without an adapter

    python make_adapters.py [FOLDER]      FOLDER defaults to the folder of this script
"""

import json
import os
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.filterwarnings("ignore")

CASES = {
    "all-linear": dict(target_modules="all-linear"),
    "pattern": dict(target_modules=r".*\.layers\.1\..*(q|down)_proj"),
    "lookahead": dict(target_modules=r"(?!.*mlp).*\.(k|o)_proj"),
    "blocks": dict(target_modules=["q_proj", "up_proj"], layers_to_transform=[1], layers_pattern="layers"),
    "one-block": dict(target_modules=["v_proj"], layers_to_transform=0),
    "excluded": dict(target_modules=["q_proj", "k_proj"], exclude_modules=["layers.0.self_attn.q_proj"]),
    "excluded-pattern": dict(target_modules=["q_proj", "k_proj"], exclude_modules=r".*\.1\..*"),
    "ranks": dict(target_modules=["q_proj", "up_proj", "down_proj"], rank_pattern={r"layers\.0\..*": 3, "up_proj": 1},
                  alpha_pattern={"(up|down)_proj": 5}, use_rslora=True),
    "bias-of-adapted": dict(target_modules=["q_proj"], bias="lora_only"),
    "bias-of-all": dict(target_modules=["v_proj"], bias="all"),
    "lora-bias": dict(target_modules=["k_proj"], lora_bias=True),
    "conv1d-flag": dict(target_modules=["o_proj"], fan_in_fan_out=True),
    "dora": dict(target_modules=["q_proj", "gate_proj", "down_proj"], use_dora=True),
    # of several patterns that fit the first counts, in the order of the file
    "order": dict(target_modules=["q_proj", "up_proj", "down_proj"], rank_pattern={"up_proj": 1, r"layers\.0\..*": 3},
                  alpha_pattern={"q_proj": 7, ".*": 9, "(up|down)_proj": 5}),
    "other-order": dict(target_modules=["q_proj", "up_proj", "down_proj"], rank_pattern={r"layers\.0\..*": 3, "up_proj": 1},
                        alpha_pattern={"(up|down)_proj": 5, ".*": 9, "q_proj": 7}),
    "whole-path": dict(target_modules=["model.layers.0.self_attn.q_proj", "up_proj"], layers_to_transform=[1]),
    "blocks-by-pattern": dict(target_modules=["k_proj"], layers_to_transform=[0], layers_pattern=["h", "layers"]),
    "gaussian": dict(target_modules=["v_proj"], init_lora_weights="gaussian"),
    "orthogonal": dict(target_modules=["v_proj"], init_lora_weights="orthogonal"),
}


def load_base(dtype):
    return AutoModelForCausalLM.from_pretrained("llama-scaled", dtype=dtype, attn_implementation="sdpa")


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().contiguous()


def main(folder):
    os.chdir(folder)
    torch.set_num_threads(1)
    Path("adapters").mkdir(exist_ok=True)
    ids = json.loads(Path("llama-scaled/expected.json").read_text())["sequences"][0]["ids"][:8]
    Path("adapters/ids.json").write_text(json.dumps(ids) + "\n")
    expected = {"logits.base": logits(load_base(torch.float64), ids)}
    for seed, (name, options) in enumerate(CASES.items()):
        case = f"adapters/{name}"
        model = get_peft_model(load_base(torch.float32), LoraConfig(r=2, lora_alpha=6, task_type="CAUSAL_LM", **options))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for part, parameter in model.named_parameters():
                if parameter.requires_grad:
                    noise = 0.2 * torch.randn(parameter.shape, generator=generator)
                    if "lora_A" in part or "lora_B" in part:
                        parameter.copy_(noise)
                    elif "magnitude" in part:
                        parameter.mul_(1 + noise)
                    else:
                        parameter.add_(noise)
        model.save_pretrained(case)
        Path(case, "README.md").unlink(missing_ok=True)
        path = Path(case, "adapter_config.json")
        written = json.loads(path.read_text())
        if name == "conv1d-flag":
            written["fan_in_fan_out"] = True  # PEFT takes it back for linear layers, also when it reads the adapter
        if isinstance(written["target_modules"], list):
            written["target_modules"] = sorted(written["target_modules"])  # PEFT writes a set in any order
        for patterns in ["rank_pattern", "alpha_pattern"]:
            written[patterns] = options.get(patterns, {})  # PEFT sorts the keys, so that another pattern may come first
        path.write_text(json.dumps(written, indent=2) + "\n")
        tuned = PeftModel.from_pretrained(load_base(torch.float64), case).double().eval()
        expected[f"logits.{name}"] = logits(tuned, ids)
        assert (expected[f"logits.{name}"] - expected["logits.base"]).abs().max() > 1e-3, name
    save_file(expected, "adapters/expected.safetensors")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)

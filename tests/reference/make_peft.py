"""What PEFT and PyTorch compute when llama-tied/ is fine-tuned: LoRA, DoRA and all weights.

Run make_llama.py first. Writes peft/loss.json (the batch and its loss mask, shared by all), peft/schedules.json, and a folder
per case:

  lora/, dora/      adapter_config.json, adapter_model.safetensors as PEFT saves them (rank 4, alpha 12, all seven linear
                    modules, B not zero), and expected.safetensors:
      logits.1          [T, V]   of the second sequence through base and adapter
      gradient.NAME              of the loss; NAME as in adapter_model.safetensors
      step1.NAME, step3.NAME     the parameter after one AdamW step (stored for layer 0) and after three on the same batch
                                 (stored for layer 1)
      merged.NAME                weights of merge_and_unload, those of layer 0's q_proj, v_proj and down_proj
                    expected.json: the losses before steps 1, 2, 3, the gradient norm and the one after clipping
  rslora/           an adapter with alpha / sqrt(rank) and with rank_pattern and alpha_pattern; logits only
  full/             expected.safetensors: gradient.NAME of every parameter but a few large ones of layer 1, step1.NAME of some;
                    the head is tied to the embedding, so that one gradient is the sum of two

The loss is the mean NLL over the learned tokens of the whole batch (not the mean of each sequence's mean). Arithmetic in
float64 as in make_llama.py.

    python make_peft.py [FOLDER]      FOLDER defaults to the folder of this script
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, get_scheduler
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MERGED = ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"]
STEPPED = ["model.embed_tokens.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
           "model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"]
ADAMW = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
# Positions of the tokens learned from; the gaps are tokens that a selection left out.
LEARNED = [[*range(9, 12), *range(14, 18)], [*range(5, 8), *range(9, 11)]]


def load_base(dtype=torch.float64):
    return AutoModelForCausalLM.from_pretrained("llama-tied", dtype=dtype, attn_implementation="sdpa")


def batch():
    """Both sequences, padded on the right; labels are -100 where nothing is learned."""
    ids = [s["ids"] for s in json.loads(Path("llama-tied/expected.json").read_text())["sequences"]]
    length = max(map(len, ids))
    rows = {"input_ids": [], "attention_mask": [], "labels": []}
    for row, learned in zip(ids, LEARNED):
        pad = length - len(row)
        rows["input_ids"].append(row + [0] * pad)
        rows["attention_mask"].append([1] * len(row) + [0] * pad)
        rows["labels"].append([t if i in learned else -100 for i, t in enumerate(row)] + [-100] * pad)
    return ids, {k: torch.tensor(v) for k, v in rows.items()}


def loss_of(model, rows):
    out = model(**rows)
    log_p = out.logits[:, :-1].log_softmax(-1)
    labels = rows["labels"][:, 1:]
    kept = labels != -100
    nll = -log_p.gather(2, labels.clamp(min=0)[..., None])[..., 0][kept]
    # transformers takes the mean in float32.
    assert abs(nll.mean().item() - out.loss.item()) < 1e-5
    return nll.mean()


def logits_of(model, ids):
    with torch.no_grad():
        return {"logits.1": model(torch.tensor([ids[1]])).logits[0].float()}


def saved_name(name):
    """The name PEFT gives a parameter in adapter_model.safetensors."""
    return name.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector").replace(".default.", ".")


def save(folder, tensors, table=None):
    save_file({k: v.detach().float().contiguous() for k, v in sorted(tensors.items())}, folder / "expected.safetensors")
    if table is not None:
        (folder / "expected.json").write_text(json.dumps(table, indent=1) + "\n")


def make_adapter(folder, config, seed):
    """Saves an adapter with random A, B and magnitudes, and loads it again in float64."""
    model = get_peft_model(load_base(torch.float32), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if "magnitude" in name:
                parameter.mul_(1.0 + 0.1 * noise)
            else:
                parameter.copy_(0.1 * noise)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    written = json.loads(path.read_text())
    written["target_modules"] = sorted(written["target_modules"])  # PEFT writes a set in any order
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    model = PeftModel.from_pretrained(load_base(), str(folder), is_trainable=True).double()
    names = {saved_name(n) for n, p in model.named_parameters() if p.requires_grad}
    assert names == set(load_file(folder / "adapter_model.safetensors")), names
    return model


def train(model, rows, rename, stored):
    """Three AdamW steps on one batch; the gradients are those of the first. `stored` maps a step to the names kept after it."""
    parameters = {rename(n): p for n, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(parameters.values(), **ADAMW)
    tensors, losses = {}, []
    for step in range(1, 4):
        optimiser.zero_grad()
        loss = loss_of(model, rows)
        loss.backward()
        losses.append(loss.item())
        if step == 1:
            tensors |= {f"gradient.{n}": p.grad.clone() for n, p in parameters.items()}
        optimiser.step()
        keep = stored.get(step, lambda name: False)
        tensors |= {f"step{step}.{n}": p.detach().clone() for n, p in parameters.items() if keep(n)}
    return tensors, losses


def clipping(gradients, max_norm):
    """torch's norm of all gradients, and the norm after clipping to `max_norm`."""
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    after = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters]))
    return {"norm": float(norm), "max_norm": max_norm, "norm_after": float(after)}


def adapter_case(name, seed, ids, rows, **options):
    folder = Path("peft") / name
    config = LoraConfig(r=4, lora_alpha=12, lora_dropout=0.0, target_modules=MODULES, task_type="CAUSAL_LM", **options)
    model = make_adapter(folder, config, seed)
    tensors = logits_of(model, ids)
    trained, losses = train(model, rows, saved_name, {1: lambda n: ".layers.0." in n, 3: lambda n: ".layers.1." in n})
    gradients = [v for k, v in trained.items() if k.startswith("gradient.")]
    table = {"losses": losses, "clipping": clipping(gradients, max_norm=0.5)}
    assert table["clipping"]["norm"] > 0.5, "clipping must have something to do"

    merged = PeftModel.from_pretrained(load_base(), str(folder)).double().merge_and_unload()
    after = logits_of(merged, ids)
    assert all((after[k] - tensors[k]).abs().max() < 1e-5 for k in after), "merging must not change the model"
    weights = dict(merged.named_parameters())
    tensors |= {f"merged.model.layers.0.{m}.weight": weights[f"model.layers.0.{m}.weight"] for m in MERGED}
    save(folder, tensors | trained, table)


def rslora_case(ids):
    folder = Path("peft/rslora")
    config = LoraConfig(
        r=2, lora_alpha=6, use_rslora=True, target_modules=MODULES, task_type="CAUSAL_LM",
        rank_pattern={"q_proj": 4, "layers.1.mlp.down_proj": 3}, alpha_pattern={"v_proj": 10, "layers.1.mlp.down_proj": 5},
    )
    model = make_adapter(folder, config, seed=13)
    layers = model.base_model.model.model.layers
    # Written out so that a change of PEFT's meaning of the patterns fails here: scale = alpha / sqrt(rank).
    for module, rank, alpha in [(layers[0].self_attn.q_proj, 4, 6), (layers[0].self_attn.v_proj, 2, 10),
                                (layers[1].mlp.down_proj, 3, 5), (layers[0].mlp.down_proj, 2, 6)]:
        assert module.r["default"] == rank and abs(module.scaling["default"] - alpha / rank**0.5) < 1e-12
    save(folder, logits_of(model, ids))


def full_case(rows):
    folder = Path("peft/full")
    folder.mkdir(parents=True)
    trained, losses = train(load_base(), rows, lambda n: n, {1: lambda n: n in STEPPED})
    assert "gradient.model.embed_tokens.weight" in trained and "gradient.lm_head.weight" not in trained
    kept = {k: v for k, v in trained.items() if ".layers.1." not in k or "norm" in k or "down_proj" in k}
    gradients = [v for k, v in trained.items() if k.startswith("gradient.")]
    save(folder, kept, {"losses": losses, "clipping": clipping(gradients, max_norm=0.5)})


def schedules():
    """The learning rates of steps 1 to 20 by transformers.get_scheduler, peak 1e-3, four steps of warm-up."""
    table = {"peak": 1e-3, "warmup_steps": 4, "steps": 20}
    for name in ["linear", "cosine"]:
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=table["peak"])
        schedule = get_scheduler(name, optimiser, num_warmup_steps=table["warmup_steps"], num_training_steps=table["steps"])
        rates = []
        for _ in range(table["steps"]):
            rates.append(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
        table[name] = rates
    Path("peft/schedules.json").write_text(json.dumps(table, indent=1) + "\n")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # The base is named by a relative path in adapter_config.json.
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    shutil.rmtree("peft", ignore_errors=True)
    Path("peft").mkdir()
    ids, rows = batch()
    adapter_case("lora", 11, ids, rows)
    adapter_case("dora", 12, ids, rows, use_dora=True)
    rslora_case(ids)
    full_case(rows)
    schedules()
    table = {
        "sequences": ids,
        "learned": [[i in kept for i in range(len(row))] for row, kept in zip(ids, LEARNED)],
        "labels": rows["labels"].tolist(),
        "base_loss": loss_of(load_base(), rows).item(),
        "adamw": ADAMW,
    }
    Path("peft/loss.json").write_text(json.dumps(table) + "\n")
    for path in Path("peft").rglob("*.*"):
        path.chmod(0o644)


main()

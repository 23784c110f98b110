"""Small random models of every family, and what transformers and PEFT compute with them.

Writes families/NAME/, each a model folder in the Hugging Face layout (config.json in version 4's or version 5's spelling, weights in
float32, bfloat16 or float16, whole or in shards) plus

  expected.safetensors   per sequence i = 0, 1 (T ids):
      ids.i           [T]      int64
      logits.i        [T, V]   float32, row t is the prediction after ids[0..=t]
      lora.logits.i   [T, V]   float32, the same through base and adapter
      gradient.NAME            of the mean NLL over the learned tokens of both sequences; NAME as in adapter_model.safetensors
  expected.json          which tokens are learned, the loss, and greedy continuations with their smallest margin between the best
                         and the second-best logit
  lora/                  an adapter as PEFT saves it: rank 2, alpha 6, all linear modules of the blocks, B not zero

Everything is computed in float32 with eager attention, on weights as they are stored. Each number is computed in float64 too, and
the two differ by less than 2e-5.

    python make_families.py [FOLDER]      FOLDER defaults to the folder of this script
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GraniteConfig, GraniteMoeHybridConfig, LlamaConfig,
                          MistralConfig, Olmo2Config, Olmo3Config, Qwen2Config, Qwen3Config, SmolLM3Config)
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

VOCABULARY = 61
LENGTHS = [17, 9]
PROMPTS, NEW_TOKENS = [11, 3], 12
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FUSED = ["q_proj", "k_proj", "v_proj", "o_proj", "input_linear", "output_linear"]
# Positions of the tokens learned from; the gaps are tokens that a selection left out.
LEARNED = [[*range(6, 10), *range(12, 17)], [*range(3, 5), *range(6, 9)]]

COMMON = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=20, max_position_embeddings=256, bos_token_id=1,
              eos_token_id=2, pad_token_id=0)

# name: (config, dtype of the stored weights, options of the folder)
MODELS = {
    # One key head for all queries, head size not hidden / heads, biases in the feed-forward layer, GeLU, linear scaling.
    "llama-linear": (LlamaConfig(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=10, tie_word_embeddings=False, mlp_bias=True,
        hidden_act="gelu_pytorch_tanh", rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 3.0}, **COMMON),
        torch.float32, {}),
    # Llama 3.2's shape: scaled rotation, tied.
    "llama-three": (LlamaConfig(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 32}, **COMMON),
        torch.bfloat16, {"old": True}),
    # A window shorter than the text, head size not hidden / heads.
    "mistral-window": (MistralConfig(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10, sliding_window=5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.float32, {"shard": "20KB"}),
    # Mistral v0.3's shape: no window.
    "mistral-tied": (MistralConfig(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, sliding_window=None, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, **COMMON),
        torch.float16, {"old": True}),
    # Qwen 2.5's small sizes: tied, no window; keys and values of their own for every head.
    "qwen2-tied": (Qwen2Config(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3, tie_word_embeddings=True, use_sliding_window=False,
        sliding_window=4, max_window_layers=1, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, **COMMON),
        torch.bfloat16, {"old": True}),
    # The layers from the second on see a window.
    "qwen2-window": (Qwen2Config(
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, use_sliding_window=True, sliding_window=6,
        max_window_layers=1, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.float32, {"shard": "24KB"}),
    # Small caps, so that the tangent bends; a query scale that is not the head size; windows in every second layer.
    "gemma2-capped": (Gemma2Config(
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=10, query_pre_attn_scalar=17, sliding_window=4,
        attn_logit_softcapping=2.0, final_logit_softcapping=3.0, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        **COMMON), torch.bfloat16, {"shard": "10KB"}),
    # No caps, a head of its own, biases, one key head, other layers windowed.
    "gemma2-plain": (Gemma2Config(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=6, query_pre_attn_scalar=6, sliding_window=7,
        attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True, tie_word_embeddings=False,
        layer_types=["full_attention", "sliding_attention"], rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        **COMMON), torch.float32, {"old": True}),
    # As published: the caps of 50 and 30, in version 4's spelling without layer_types.
    "gemma2-old": (Gemma2Config(
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16, sliding_window=5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON), torch.float16, {"old": True}),
    # Grouped heads, so that the norms of queries and keys differ in width.
    "olmo2-grouped": (Olmo2Config(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, **COMMON),
        torch.float32, {"old": True}),
    "olmo2-tied": (Olmo2Config(
        num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=True, attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.bfloat16, {"shard": "12KB"}),
    # The small sizes' shape: norms of each head, head size not hidden / heads, tied.
    "qwen3-tied": (Qwen3Config(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, **COMMON),
        torch.bfloat16, {"old": True}),
    # Rotation stretched by YaRN, as the model's card says for long texts; biases, a window from the second layer on.
    "qwen3-yarn": (Qwen3Config(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=12, attention_bias=True, use_sliding_window=True,
        sliding_window=6, max_window_layers=1, rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64,
            "beta_fast": 6.0}, **COMMON),
        torch.float32, {"shard": "24KB"}),
    # Windowed layers with a rotation of their own, that of the others stretched, as in the 4 B model; a bound on logits, and one on
    # scores, which transformers does not apply.
    "gemma3-linear": (Gemma3TextConfig(
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=10, query_pre_attn_scalar=17, sliding_window=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], final_logit_softcapping=3.0,
        attn_logit_softcapping=2.0, rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 3000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}, **COMMON),
        torch.bfloat16, {"shard": "10KB"}),
    # As the first models were published: a number says how many layers see a window.
    "gemma3-old": (Gemma3TextConfig(
        num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=8, sliding_window=5,
        sliding_window_pattern=3, attention_bias=True, tie_word_embeddings=False, rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}, **COMMON),
        torch.float16, {"old": True}),
    # As published: every fourth layer is without rotation.
    "smollm3-tied": (SmolLM3Config(
        num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=1,
        rope_parameters={"rope_type": "default", "rope_theta": 5000000.0}, **COMMON),
        torch.bfloat16, {"old": True}),
    # Another choice of layers, which see a window; biases everywhere.
    "smollm3-window": (SmolLM3Config(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False, no_rope_layers=[0, 1],
        use_sliding_window=True, sliding_window=5, attention_bias=True, mlp_bias=True,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}, **COMMON),
        torch.float32, {}),
    # As published: three of four layers see a window, and YaRN stretches the fourth alone.
    "olmo3-yarn": (Olmo3Config(
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, sliding_window=5, rope_parameters={
            "full_attention": {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 8.0, "original_max_position_embeddings": 32,
                               "attention_factor": 1.2079441541679836, "beta_fast": 32.0, "beta_slow": 1.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0}}, **COMMON),
        torch.bfloat16, {"old": True}),
    "olmo3-tied": (Olmo3Config(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, sliding_window=7, attention_bias=True,
        tie_word_embeddings=True, layer_types=["full_attention", "sliding_attention"], rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 20000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}, **COMMON),
        torch.float32, {}),
    # The four multipliers, none of them 1.
    "granite-tied": (GraniteConfig(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, embedding_multiplier=3.0,
        residual_multiplier=0.6, attention_multiplier=0.3, logits_scaling=2.5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.bfloat16, {"old": True}),
    # Multipliers that the config leaves at 1, biases, heads of a size of their own.
    "granite-biased": (GraniteConfig(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=10, attention_bias=True, mlp_bias=True,
        attention_multiplier=0.2, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.float32, {"shard": "20KB"}),
    # Granite 4's dense models: no experts, no recurrence, gate and up in one matrix.
    "granite4-dense": (GraniteMoeHybridConfig(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, embedding_multiplier=3.0,
        residual_multiplier=0.6, attention_multiplier=0.3, logits_scaling=2.5, num_local_experts=0, num_experts_per_tok=0,
        shared_intermediate_size=20, position_embedding_type="rope", layer_types=["full_attention"] * 2, mamba_n_heads=4,
        mamba_d_state=4, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.bfloat16, {"old": True}),
    # The same without any rotation, as `position_embedding_type` null means.
    "granite4-nope": (GraniteMoeHybridConfig(
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, attention_multiplier=0.3, num_local_experts=0,
        num_experts_per_tok=0, shared_intermediate_size=16, attention_bias=True, layer_types=["full_attention"] * 2, mamba_n_heads=4,
        mamba_d_state=4, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **COMMON),
        torch.float32, {}),
}


def randomise(model, seed):
    """Draws every parameter, also those that start at 0 or 1, so that leaving one out shows."""
    generator = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_((0.0 if gemma else 1.0) + 0.2 * noise)
            elif "embed_tokens" in name and gemma:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(0.3 * noise)


def old_spelling(folder):
    """Rewrites config.json as transformers 4 wrote it, the form in which most published models still come."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    if "full_attention" in rope:  # of each kind of layer
        local = rope["sliding_attention"]["rope_theta"]
        if config["model_type"] == "gemma3_text":
            config["rope_local_base_freq"] = local
        rope = rope["full_attention"]
    config["rope_theta"] = rope.pop("rope_theta")
    scaled = rope["rope_type"] != "default"
    if scaled or config["model_type"] in ("llama", "olmo2", "smollm3", "granite", "granitemoehybrid"):
        config["rope_scaling"] = rope if scaled else None
    config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] == "granitemoehybrid":
        config["layer_types"] = ["attention"] * config["num_hidden_layers"]
    elif "plain" not in folder.name:
        config.pop("layer_types", None)
    if "_sliding_window_pattern" in config:
        config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def sequences():
    generator = torch.Generator().manual_seed(3)
    return [torch.cat([torch.tensor([1]), torch.randint(4, VOCABULARY, (length - 1,), generator=generator)]) for length in LENGTHS]


def load(folder, dtype):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    assert all(p.dtype == dtype for p in model.parameters())
    return model


@torch.no_grad()
def greedy(model, prompt):
    ids, margin = prompt.clone(), float("inf")
    for _ in range(NEW_TOKENS):
        best = model(ids[None], use_cache=False).logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids = torch.cat([ids, best.indices[:1]])
    new = ids[len(prompt):].tolist()
    # transformers' own decoding, with its memory of keys and values, stops at an end token and must agree up to there.
    generated = model.generate(prompt[None], max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)[0, len(prompt):].tolist()
    assert generated == new[: len(generated)], (generated, new)
    return new, margin


def make_adapter(folder, seed):
    """Saves an adapter with random A and B."""
    base = load(folder, torch.float32)
    modules = FUSED if base.config.model_type == "granitemoehybrid" else MODULES
    config = LoraConfig(r=2, lora_alpha=6, lora_dropout=0.0, target_modules=modules, task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder / "lora")
    (folder / "lora/README.md").unlink(missing_ok=True)
    path = folder / "lora/adapter_config.json"
    written = json.loads(path.read_text())
    written["target_modules"] = sorted(written["target_modules"])  # PEFT writes a set in any order
    written["base_model_name_or_path"] = folder.name
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")


def adapted(folder, dtype, rows):
    """Logits through base and adapter, the loss and its gradients."""
    model = PeftModel.from_pretrained(load(folder, dtype), str(folder / "lora"), is_trainable=True).to(dtype)
    tensors, kept = {}, []
    for i, ids in enumerate(rows):
        logits = model(ids[None]).logits[0]
        tensors[f"lora.logits.{i}"] = logits.detach()
        log_p = logits.log_softmax(-1)
        kept += [-log_p[at - 1, ids[at]] for at in LEARNED[i]]
    loss = torch.stack(kept).mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors["gradient." + name.replace(".default.", ".")] = parameter.grad
    names = {f"gradient.{name}" for name in load_file(folder / "lora/adapter_model.safetensors")}
    assert names == {name for name in tensors if name.startswith("gradient.")}
    merged = model.merge_and_unload()
    with torch.no_grad():
        for i, ids in enumerate(rows):
            assert (merged(ids[None]).logits[0] - tensors[f"lora.logits.{i}"]).abs().max() < 2e-5
    return tensors, loss.item()


def compute(folder, dtype):
    rows, model = sequences(), load(folder, dtype)
    with torch.no_grad():
        tensors = {f"logits.{i}": model(ids[None]).logits[0] for i, ids in enumerate(rows)}
    table = {"greedy": []}
    for ids, length in zip(rows, PROMPTS):
        new, margin = greedy(model, ids[:length])
        table["greedy"].append({"prompt": ids[:length].tolist(), "new": new, "smallest_margin": margin})
    more, table["loss"] = adapted(folder, dtype, rows)
    return tensors | more, table


def expected(folder):
    tensors, table = compute(folder, torch.float32)
    exact, exact_table = compute(folder, torch.float64)
    worst = max((tensors[name] - exact[name]).abs().max().item() for name in exact)
    assert worst < 2e-5, worst
    for got, want in zip(table["greedy"], exact_table["greedy"]):
        assert got["new"] == want["new"] and want["smallest_margin"] > 4e-4, want
    rows = sequences()
    table["sequences"] = [row.tolist() for row in rows]
    table["learned"] = [[i in kept for i in range(len(row))] for row, kept in zip(rows, LEARNED)]
    tensors |= {f"ids.{i}": ids for i, ids in enumerate(rows)}
    save_file({k: v.contiguous() for k, v in sorted(tensors.items())}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(table, indent=1) + "\n")
    return worst


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    root = (Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent) / "families"
    shutil.rmtree(root, ignore_errors=True)
    for seed, (name, (config, dtype, options)) in enumerate(MODELS.items()):
        folder = root / name
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        randomise(model, 100 + seed)
        model.to(dtype).save_pretrained(folder, max_shard_size=options.get("shard", "1GB"))
        assert (folder / "model.safetensors.index.json").exists() == ("shard" in options), name
        (folder / "generation_config.json").unlink(missing_ok=True)
        if options.get("old"):
            before = load(folder, torch.float32)(sequences()[0][None]).logits
            old_spelling(folder)
            after = load(folder, torch.float32)(sequences()[0][None]).logits
            assert torch.equal(before, after), "both spellings of the configuration must mean the same"
        make_adapter(folder, 200 + seed)
        worst = expected(folder)
        for path in folder.rglob("*.*"):
            path.chmod(0o644)
        size = sum(path.stat().st_size for path in folder.rglob("*.*")) / 1024
        print(f"{name}: {size:.0f} KiB, float32 differs from float64 by {worst:.1e} at most")


main()

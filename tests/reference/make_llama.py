"""Two small random Llama models and what transformers computes with them.

Writes llama-tied/ and llama-scaled/, each a model folder in the Hugging Face layout plus

  expected.safetensors   per sequence i = 0, 1 (T ids):
      ids.i       [T]      int64
      logits.i    [T, V]   float32, row t is the prediction after ids[0..=t]
      nll.i       [T-1]    float32, nats: -ln p(ids[t+1] | ids[0..=t])
      entropy.i   [T]      float32, nats, of the prediction in row t
      rank.i      [T-1]    int64, number of tokens with a logit strictly above that of ids[t+1]
  expected.json          the same ids, mean NLL and perplexity, a greedy continuation and its smallest
                         margin between the best and the second-best logit

The computation is float64 (transformers itself rounds to float32 in RMSNorm and in the rotary angles), stored as float32.

    python make_llama.py [FOLDER]      FOLDER defaults to the folder of this script
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

VOCABULARY = 96
SEQUENCES = {
    # Greedy decoding starts from the first PROMPT ids of each sequence.
    "llama-tied": [18, 11],
    # Long enough that the scaled rotary angles differ from the plain ones.
    "llama-scaled": [25, 10],
}
PROMPT, NEW_TOKENS = 8, 12


def randomise(model, seed, std):
    """Draws every parameter, also those that Llama starts at 0 or 1, so that leaving one out shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.1 * noise)
            else:
                parameter.copy_(std * noise)


def tied():
    config = LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        vocab_size=VOCABULARY, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True,
        initializer_range=0.2, bos_token_id=1, eos_token_id=2, dtype="float32",
    )
    model = LlamaForCausalLM(config)
    randomise(model, seed=1, std=0.2)
    return model


def scaled():
    config = LlamaConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=12, intermediate_size=24,
        vocab_size=VOCABULARY, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=False,
        attention_bias=True, initializer_range=0.25, bos_token_id=1, eos_token_id=[2, 3], dtype="float32",
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )
    model = LlamaForCausalLM(config)
    randomise(model, seed=2, std=0.25)
    return model


def old_spelling(folder):
    """Rewrites config.json as transformers 4 wrote it, the form in which most published models still come."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def sequences(name):
    generator = torch.Generator().manual_seed(3)
    return [torch.cat([torch.tensor([1]), torch.randint(4, VOCABULARY, (length - 1,), generator=generator)]) for length in SEQUENCES[name]]


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="sdpa").eval()
    assert all(p.dtype == torch.float64 for p in model.parameters())
    return model


@torch.no_grad()
def greedy(model, prompt):
    ids, margin = prompt.clone(), float("inf")
    for _ in range(NEW_TOKENS):
        best = model(ids[None]).logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids = torch.cat([ids, best.indices[:1]])
    new = ids[len(prompt) :].tolist()
    # transformers' own decoding stops at an end token and must agree up to there.
    generated = model.generate(prompt[None], max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)[0, len(prompt) :].tolist()
    assert generated == new[: len(generated)], (generated, new)
    return new, margin


@torch.no_grad()
def expected(name, folder):
    model = load(folder)
    tensors, table = {}, {"sequences": [], "greedy": []}
    for i, ids in enumerate(sequences(name)):
        logits = model(ids[None]).logits[0]
        log_p = logits.log_softmax(-1)
        gold = ids[1:, None]
        nll = -log_p[:-1].gather(1, gold)[:, 0]
        tensors[f"ids.{i}"] = ids
        tensors[f"logits.{i}"] = logits.float()
        tensors[f"nll.{i}"] = nll.float()
        tensors[f"entropy.{i}"] = -(log_p.exp() * log_p).sum(-1).float()
        tensors[f"rank.{i}"] = (logits[:-1] > logits[:-1].gather(1, gold)).sum(-1)
        table["sequences"].append({"ids": ids.tolist(), "mean_nll": float(nll.mean()), "perplexity": float(nll.mean().exp())})
        new, margin = greedy(model, ids[:PROMPT])
        table["greedy"].append({"prompt": ids[:PROMPT].tolist(), "new": new, "smallest_margin": margin})
    save_file({k: v.contiguous() for k, v in sorted(tensors.items())}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(table, indent=1) + "\n")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, make in {"llama-tied": tied, "llama-scaled": scaled}.items():
        folder = root / name
        model = make()
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        if name == "llama-scaled":
            ids = sequences(name)[0][None]
            before = load(folder)(ids).logits
            old_spelling(folder)
            assert torch.equal(before, load(folder)(ids).logits), "both spellings of the configuration must mean the same"
        expected(name, folder)
        for path in folder.iterdir():
            path.chmod(0o644)


main()

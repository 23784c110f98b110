"""A random Llama of 30 million parameters for the benchmarks: weights and config.json, no tokenizer.

    python benches/make_30m.py [FOLDER]      FOLDER defaults to target/llama-30m

The weights are the same on every run (seed 0); 118 MB in float32.
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    hidden_size=384, num_hidden_layers=8, num_attention_heads=6, num_key_value_heads=2, intermediate_size=1536,
    vocab_size=16000, max_position_embeddings=1024, rms_norm_eps=1e-5, tie_word_embeddings=False,
    bos_token_id=1, eos_token_id=2, dtype="float32",
)
model = LlamaForCausalLM(config)
folder = sys.argv[1] if len(sys.argv) > 1 else "target/llama-30m"
model.save_pretrained(folder)
print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")

"""A random model for the benchmarks: weights and config.json, no tokenizer.

    python benches/make_random.py 30m        [FOLDER]     a Llama of 30 million parameters, float32, 118 MB
    python benches/make_random.py gemma2-2b  [FOLDER]     the shape of Gemma 2 2B, bfloat16, 5.2 GB
    python benches/make_random.py llama3-8b  [FOLDER]     the shape of Llama 3 8B, bfloat16, 16 GB

FOLDER defaults to target/SHAPE. The weights are the same on every run (seed 0).
"""

import sys

import torch
import transformers

SHAPES = {
    "30m": lambda: transformers.LlamaConfig(
        hidden_size=384, num_hidden_layers=8, num_attention_heads=6, num_key_value_heads=2, intermediate_size=1536,
        vocab_size=16000, max_position_embeddings=1024, rms_norm_eps=1e-5, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, dtype="float32",
    ),
    "gemma2-2b": lambda: transformers.Gemma2Config(
        hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4,
        head_dim=256, vocab_size=256000, query_pre_attn_scalar=256, sliding_window=4096, dtype="bfloat16",
    ),
    "llama3-8b": lambda: transformers.LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=128256, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=500000.0,
        tie_word_embeddings=False, bos_token_id=128000, eos_token_id=128009, dtype="bfloat16",
    ),
}

if len(sys.argv) < 2 or sys.argv[1] not in SHAPES:
    sys.exit(__doc__)
shape = sys.argv[1]
torch.manual_seed(0)
config = SHAPES[shape]()
torch.set_default_dtype(getattr(torch, str(config.dtype).removeprefix("torch.")))
model = transformers.AutoModelForCausalLM.from_config(config)
folder = sys.argv[2] if len(sys.argv) > 2 else f"target/{shape}"
model.save_pretrained(folder)
print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters, {next(model.parameters()).dtype}")

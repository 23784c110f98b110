"""A random model for the benchmarks: weights and config.json, no tokenizer.

    python benches/make_random.py 30m        [FOLDER]     a Llama of 30 million parameters, float32, 118 MB
    python benches/make_random.py gemma2-2b  [FOLDER]     the shape of Gemma 2 2B, bfloat16, 5.2 GB
    python benches/make_random.py llama3-8b  [FOLDER]     the shape of Llama 3 8B, bfloat16, 16 GB
    python benches/make_random.py llama3-8b-gguf [FILE]   the same in one GGUF file, all matrices Q4_K, 4.5 GB; needs the package gguf

FOLDER defaults to target/SHAPE. The weights are the same on every run (seed 0).
"""

import sys


def write_gguf(path):
    import gguf
    import numpy

    hidden, wide, layers, heads, key_heads, vocabulary = 4096, 14336, 32, 32, 8, 128256
    random = numpy.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(wide)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(vocabulary)
    # random bytes as scales and numbers; the two factors make weights of about 0.02 around 0
    factors = numpy.array([8e-5, 6e-4], dtype="<f2").view(numpy.uint8)

    def matrix(name, rows, columns):
        blocks = random.integers(0, 256, (rows, columns // 256, 144), dtype=numpy.uint8)
        blocks[..., :4] = factors
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=gguf.GGMLQuantizationType.Q4_K)

    def norm(name):
        writer.add_tensor(name, numpy.ones(hidden, dtype=numpy.float32))

    matrix("token_embd.weight", vocabulary, hidden)
    matrix("output.weight", vocabulary, hidden)
    norm("output_norm.weight")
    for layer in range(layers):
        keys = hidden // heads * key_heads
        for part, rows, columns in [
            ("attn_q", hidden, hidden), ("attn_k", keys, hidden), ("attn_v", keys, hidden), ("attn_output", hidden, hidden),
            ("ffn_gate", wide, hidden), ("ffn_up", wide, hidden), ("ffn_down", hidden, wide),
        ]:
            matrix(f"blk.{layer}.{part}.weight", rows, columns)
        norm(f"blk.{layer}.attn_norm.weight")
        norm(f"blk.{layer}.ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path)


if sys.argv[1:2] == ["llama3-8b-gguf"]:
    write_gguf(sys.argv[2] if len(sys.argv) > 2 else "target/llama3-8b.gguf")
    sys.exit()

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

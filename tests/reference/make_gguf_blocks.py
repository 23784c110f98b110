"""Blocks of every kind that GGUF files are read with, and their numbers by the package gguf (0.19).

    pip install gguf numpy
    python make_gguf_blocks.py > gguf_blocks.json
"""

import json
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Kind
from gguf.quants import dequantize

# where a block has numbers of 16 bits that scale it
SCALES = {
    "F32": [], "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
rng = np.random.default_rng(5)
cases = []
for name, scales in SCALES.items():
    kind = Kind[name]
    size, width = GGML_QUANT_SIZES[kind]
    rows, columns = (2, 256)
    blocks = rows * columns // size
    if name in ("F32", "BF16"):
        numbers = rng.normal(size=blocks).astype(np.float32)
        raw = numbers.view(np.uint8) if name == "F32" else (numbers.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    else:
        raw = rng.integers(0, 256, size=(blocks, width), dtype=np.uint8)
        for at in scales:
            raw[:, at : at + 2] = rng.normal(scale=0.05, size=(blocks, 1)).astype(np.float16).view(np.uint8)
    raw = np.ascontiguousarray(raw).reshape(rows, -1)
    values = dequantize(raw, kind).reshape(-1)
    cases.append({"kind": name, "number": int(kind), "shape": [rows, columns], "bytes": raw.tobytes().hex(), "values": [float(f"{v:.9g}") for v in values]})
json.dump({"made_by": __doc__.strip(), "cases": cases}, sys.stdout)

"""Special tokens that stand beside tokenizer.json, added as transformers adds them.

Writes added_tokens.json: {"texts", "cases": [{"name", "files": {file name: its JSON, laid over a copy of the lab's tokenizer}, "added": [[id,
content, lstrip, rstrip, normalized, single_word, special]] of all added tokens, "special": the variables that a template sees, "ids" of
each text}]}.

The class is PreTrainedTokenizerFast, which takes tokenizer.json as it stands; model classes such as Qwen2Tokenizer build some of it
anew in transformers 5.

    python make_added_tokens.py [FILE]       FILE defaults to added_tokens.json beside this script
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
LAB = HERE.parents[1] / "datasets" / "lab" / "model"
CONFIG, MAP, ADDED, MAIN = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"
TEXTS = [
    "<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n",
    "a  <mask>  b<mask>c <x> <y> <z><pad><unk>",
    "<|user|>x = 1<|end|><|assistant|>y<|end|>",
    "Word word wordy WORD",
]


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True, **flags}


def typed(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


BASE = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
IM = ["<|im_start|>", "<|im_end|>"]
CASES = [
    ("nothing beside", {CONFIG: BASE}),
    ("additional_special_tokens as texts", {CONFIG: {**BASE, "additional_special_tokens": IM}}),
    ("additional_special_tokens as objects", {CONFIG: {**BASE, "additional_special_tokens": [typed(IM[1]), typed("<mask>", lstrip=True), typed(IM[0])]}}),
    ("extra_special_tokens as texts", {CONFIG: {**BASE, "extra_special_tokens": [*IM, "<x>"]}}),
    ("extra_special_tokens with names", {CONFIG: {**BASE, "extra_special_tokens": {"turn_token": IM[0], "turn_end": IM[1]}}}),
    ("both lists", {CONFIG: {**BASE, "extra_special_tokens": ["<x>"], "additional_special_tokens": IM}}),
    ("an empty list and a full one", {CONFIG: {**BASE, "extra_special_tokens": [], "additional_special_tokens": IM}}),
    ("added_tokens_decoder", {CONFIG: {**BASE, "added_tokens_decoder": {"1025": token(IM[1]), "1024": token(IM[0]), "1026": token("<mask>", lstrip=True, rstrip=True)}}}),
    ("added_tokens_decoder with ids that are not next", {CONFIG: {**BASE, "added_tokens_decoder": {"9000": token(IM[0]), "2000": token(IM[1]), "10": token("<x>")}}}),
    ("added_tokens_decoder and other special tokens", {CONFIG: {**BASE, "eos_token": IM[1], "pad_token": "<pad>", "additional_special_tokens": ["<x>", IM[0]], "added_tokens_decoder": {"1024": token(IM[0])}}}),
    ("added_tokens_decoder has other flags than tokenizer.json", {CONFIG: {**BASE, "added_tokens_decoder": {"3": token("<|end|>", lstrip=True, rstrip=True)}}}),
    ("flags that are left out", {CONFIG: {**BASE, "added_tokens_decoder": {"1024": {"content": IM[0]}, "1025": {"content": IM[1], "special": True}}}}),
    ("no special tokens among the added", {CONFIG: {**BASE, "added_tokens_decoder": {"1024": token("<x>", special=False, normalized=True), "1025": token("word", special=False, normalized=True, single_word=True), "1026": token("<y>", special=False)}}}),
    ("a named token is special whatever it says", {CONFIG: {**BASE, "pad_token": "<x>", "added_tokens_decoder": {"1024": token("<x>", special=False, normalized=True, rstrip=True)}}}),
    ("named tokens as texts", {CONFIG: {**BASE, "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>", "image_token": "<x>"}}),
    ("named tokens as objects", {CONFIG: {**BASE, "mask_token": typed("<mask>", lstrip=True), "pad_token": typed("<pad>", special=False, normalized=True), "image_token": typed("<x>", rstrip=True)}}),
    ("a beginning and an end that are new", {CONFIG: {"bos_token": IM[0], "eos_token": IM[1]}}),
    ("the map as texts", {CONFIG: BASE, MAP: {"pad_token": "<pad>", "eos_token": IM[1], "bos_token": "<|begin|>"}}),
    ("the map as objects", {CONFIG: BASE, MAP: {"mask_token": token("<mask>", lstrip=True, normalized=True), "eos_token": {"content": IM[1], "lstrip": False, "normalized": False, "rstrip": True, "single_word": False}}}),
    ("the map has additional_special_tokens", {CONFIG: BASE, MAP: {"additional_special_tokens": IM}}),
    ("the map has extra_special_tokens", {CONFIG: {**BASE, "extra_special_tokens": ["<x>"]}, MAP: {"extra_special_tokens": ["<x>", {"content": IM[1], "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}, IM[0]]}}),
    ("the map has extra_special_tokens with names", {CONFIG: BASE, MAP: {"extra_special_tokens": {"turn": IM[0], "turn_end": IM[1]}}}),
    ("the map and the config have additional_special_tokens", {CONFIG: {**BASE, "additional_special_tokens": ["<x>"]}, MAP: {"additional_special_tokens": IM}}),
    ("the map beside added_tokens_decoder", {CONFIG: {**BASE, "added_tokens_decoder": {"1024": token("<x>")}}, MAP: {"eos_token": IM[1], "pad_token": "<pad>"}}),
    ("the map beside an empty added_tokens_decoder", {CONFIG: {**BASE, "added_tokens_decoder": {}}, MAP: {"eos_token": IM[1]}}),
    ("the map alone", {MAP: {"bos_token": "<|begin|>", "eos_token": IM[1], "additional_special_tokens": [IM[0]]}}),
    ("added_tokens.json", {CONFIG: BASE, ADDED: {IM[1]: 1025, IM[0]: 1024, "<x>": 1026}}),
    ("added_tokens.json with special ones", {CONFIG: {**BASE, "eos_token": IM[1], "additional_special_tokens": [IM[0]]}, ADDED: {IM[1]: 1025, IM[0]: 1024, "<x>": 1026}}),
    ("added_tokens.json and the map", {CONFIG: BASE, MAP: {"eos_token": token(IM[1], rstrip=True)}, ADDED: {"<x>": 7000, IM[1]: 6000}}),
    ("added_tokens.json at the id of another token", {CONFIG: BASE, ADDED: {"<x>": 2, IM[1]: 1024}}),
    ("added_tokens.json beside added_tokens_decoder", {CONFIG: {**BASE, "added_tokens_decoder": {"1024": token(IM[0])}}, ADDED: {IM[1]: 1025}}),
    ("special tokens are split", {CONFIG: {**BASE, "split_special_tokens": True, "additional_special_tokens": IM}}),
    ("a token that is in the vocabulary already", {CONFIG: {**BASE, "additional_special_tokens": ["def", "<x>"]}}),
    ("an empty text", {CONFIG: {**BASE, "pad_token": "", "additional_special_tokens": ["", "<x>"]}}),
    ("nothing where a token could be", {CONFIG: {**BASE, "pad_token": None, "unk_token": None, "additional_special_tokens": None}}),
    ("switches that end in _token", {CONFIG: {**BASE, "add_prefix_token": True, "legacy_token": 3}}),
    ("padding in tokenizer.json", {CONFIG: BASE, MAIN: {"padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}}}),
    ("a normalizer in tokenizer.json", {CONFIG: {**BASE, "added_tokens_decoder": {"1024": token("WORD", special=False, normalized=True), "1025": token("<X>", normalized=False)}}, MAIN: {"normalizer": {"type": "Lowercase"}}}),
]


def main():
    cases = []
    for name, files in CASES:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            shutil.copy(LAB / MAIN, folder / MAIN)
            for file, content in files.items():
                if file == MAIN:
                    content = {**json.loads((LAB / MAIN).read_text()), **content}
                (folder / file).write_text(json.dumps(content))
            case = {"name": name, "files": files}
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
            added = sorted(tokenizer.added_tokens_decoder.items())
            case["added"] = [[i, t.content, t.lstrip, t.rstrip, t.normalized, t.single_word, t.special] for i, t in added]
            case["special"] = tokenizer.special_tokens_map
            case["ids"] = [tokenizer(text, add_special_tokens=False, padding=False)["input_ids"] for text in TEXTS]
            cases.append(case)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "added_tokens.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    out.write_text('{"texts": ' + json.dumps(TEXTS) + ', "cases": [\n' + lines + "\n]}\n")


main()

"""What lm-evaluation-harness 0.4.13 computes of multiple-choice rows by likelihood, item by item.

Its own tasks on files of ours: the keys of `ARC`, `MMLU` and `LAB` are those of its `tasks/arc/arc_easy.yaml` and
`tasks/mmlu/default/_default_template_yaml` (with the description of `mmlu_elementary_mathematics.yaml`), but for where the rows
are. The models run in float32 through its class `HFLM`, one request at a time.

Reads `choices/*.jsonl` (made up by us), the lab's choice task and the lab's model; with `../shared` beside the project the real
model `stories260k` on rows of ARC, too, of which only numbers are written. Writes `choices.json`: for each run its rows in order,
each with the log-likelihood of every option and whether it is the greedy continuation, `acc`, `acc_norm` and `acc_bytes`.

    .venv/bin/pip install torch==2.11.0 transformers==5.24.0 datasets==5.2.0 lm_eval==0.4.13 accelerate
    .venv/bin/python -P tests/reference/make_choices.py [OTHER_FOLDER]
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset

torch.set_num_threads(1)

from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
SHARED = ROOT.parent / "shared" / "real"
METRICS = [
    {"metric": name, "aggregation": "mean", "higher_is_better": True}
    for name in ["acc", "acc_norm", "acc_bytes"]
]

ARC = {
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{choices.label.index(answerKey)}}",
    "doc_to_choice": "{{choices.text}}",
}
MMLU = {
    "output_type": "multiple_choice",
    "description": "The following are multiple choice questions (with answers) about elementary mathematics.\n\n",
    "doc_to_text": "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:",
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "answer",
    "fewshot_split": "dev",
    "fewshot_config": {"sampler": "first_n"},
}
# a question that asks for a letter, whose answer is begun
LAB = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{prompt}}",
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "{{'ABCD'.index(letter)}}",
    "gen_prefix": "Answer:",
    "target_delimiter": " ",
}
# a text and its continuations
TEXT = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{context}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "gold",
}


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(model, keys, docs, shots=0, dev=(), chat=False):
    task = ConfigurableTask(
        config={
            "task": "rows",
            **keys,
            "custom_dataset": lambda **_: {"test": Dataset.from_list(docs), "dev": Dataset.from_list(list(dev or docs))},
            "test_split": "test",
            "num_fewshot": shots,
            "metric_list": METRICS,
        }
    )
    found = simple_evaluate(
        model=model,
        tasks=[task],
        log_samples=True,
        bootstrap_iters=0,
        apply_chat_template=chat,
        verbosity="ERROR",
    )
    samples = sorted(found["samples"]["rows"], key=lambda row: row["doc_id"])
    return [
        {
            "log_likelihood": [round(float(ll), 6) for ll, _ in row["filtered_resps"]],
            "is_greedy": [bool(greedy) for _, greedy in row["filtered_resps"]],
            **{name: float(row[name]) for name in ["acc", "acc_norm", "acc_bytes"]},
        }
        for row in samples
    ], samples


def main():
    out = {}
    lab = HFLM(pretrained=str(ROOT / "datasets/lab/model"), dtype="float32", device="cpu", batch_size=1)
    arc, mmlu, dev = (rows(HERE / "choices" / f"{name}.jsonl") for name in ["arc", "mmlu", "mmlu-dev"])
    for doc in mmlu + dev:
        doc["answer"] = "ABCD".index(doc["answer"]) if isinstance(doc["answer"], str) else doc["answer"]
    choice = [
        {"prompt": row["prompt"], "letter": row["check"]["letter"]}
        for row in rows(ROOT / "datasets/lab/choice/test.jsonl")[:20]
    ]
    prompts = {}
    def note(name, *args, **options):
        out[name], samples = run(*args, **options)
        prompts[name] = [arg[0:2] for arg in samples[0]["arguments"]]

    for name, chat in [("plain", False), ("chat", True)]:
        note(f"lab/arc/{name}", lab, ARC, arc, chat=chat)
        note(f"lab/mmlu/{name}", lab, MMLU, mmlu, dev=dev, chat=chat)
        note(f"lab/choice/{name}", lab, LAB, choice, chat=chat)
    note("lab/mmlu/plain/2-shot", lab, MMLU, mmlu, shots=2, dev=dev)
    for at, row in enumerate(rows(HERE / "choices/texts.jsonl")):
        note(f"lab/texts/{at}", lab, {**TEXT, "target_delimiter": row["delimiter"]}, [row])
    if SHARED.exists():
        stories = HFLM(pretrained=str(SHARED / "models/stories260k"), dtype="float32", device="cpu", batch_size=1)
        for name in ["easy", "challenge"]:
            real = rows(SHARED / f"datasets/arc/arc-{name}-validation.jsonl")[:40]
            out[f"stories260k/arc-{name}"], _ = run(stories, ARC, real)
    for name, value in prompts.items():
        print(name, json.dumps(value[:2], ensure_ascii=False), out[name][0], file=sys.stderr)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in out.items())
    (OUT / "choices.json").write_text("{\n" + lines + "\n}\n")


main()

"""Makes `notebooks/data/audit`: a made-up copy of the authors' folder, a few rows of every file in the published layout.

No row is theirs, and no number in it was measured. MBPP's test split and MATH's training split, which light copies lack, are left out.
The three tables of raw results have a row that follows, one whose base scores were exchanged, and one that nothing explains; of two scored
answers three of seven tokens are above a perplexity of 2.5; and one logged test task has the function and the words of a training task.
Grades are written as the authors' logs write them: as truth values, as `1.0` and as `1`.

    pip install pyarrow==26.0.1
    python tests/reference/make_audit.py
"""

import json
import pathlib
import shutil

import pyarrow

HERE = pathlib.Path(__file__).parents[2] / "notebooks/data/audit"
INSTRUCTION = (
    "Please refer the given test cases and generate a python function for my problem. Make sure the written code is wrapped in "
    "code block : ```python\n<your code>\n```"
)


def put(path, text):
    file = HERE / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())


def arrow(path, **columns):
    """An Arrow stream, as Python's `datasets` saves one."""
    file = HERE / "dataset" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_stream(str(file), table.schema) as stream:
        stream.write_table(table)


def lines(path, *rows):
    put(path, "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows))


def turns(rows, keys=("from", "value"), roles=("human", "gpt")):
    return [[{keys[0]: role, keys[1]: said} for role, said in zip(roles, row)] for row in rows]


def fenced(code):
    return f"```python\n{code}\n```"


def prompt(question, *tests):
    return f"{INSTRUCTION}\n>>> Problem:\n{question}\n>>> Test Cases:\n" + "\n".join(tests) + "\n"


# task_id, question, reference, tests; the second has carriage returns, the third's reference is wrong
TRAIN = [
    (701, "Write a function to double a number.", "def twice(n):\n    return 2 * n",
     ["assert twice(2) == 4", "assert twice(-1) == -2", "assert twice(0) == 0"]),
    (702, "Write a function to find the longer of two words.", "def longer(a, b):\r\n\treturn a if len(a) > len(b) else b",
     ["assert longer('ab', 'c') == 'ab'", "assert longer('a', 'bc') == 'bc'"]),
    (703, "Write a function to add one.", "def plus_one(n):\n    return n + 2", ["assert plus_one(1) == 2"]),
]
VALIDATION = [(560, "Write a function to negate a number.", "def negated(n):\n    return -n", ["assert negated(3) == -3"])]


def asked(task):
    return prompt(task[1], *task[3])


def reference(task):
    return fenced(task[2])


def mbpp():
    for split, tasks in (("train", TRAIN), ("validation", VALIDATION)):
        arrow(
            f"ground_truth/mbpp/{split}/data-00000-of-00001.arrow",
            task_id=[task[0] for task in tasks],
            text=[task[1] for task in tasks],
            code=[task[2] for task in tasks],
            test_list=[task[3] for task in tasks],
            conversations=turns([(asked(task), reference(task)) for task in tasks]),
            test=["" for _ in tasks],
        )


def scored():
    """Two scored conversations: token texts, their ids, and the perplexities of their answers' tokens."""
    start = [("<|begin_of_text|>", 128_000, 10.0), ("<|start_header_id|>", 128_006, 3.0), ("assistant", 78_191, 1.0),
             ("<|end_header_id|>", 128_007, 1.0), ("\n\n", 271, 1.0)]
    answers = [
        [("def", 755, 1.0), (" f", 282, 4.0), (" \r\n", 1_000, 2000.0), ("<|eot_id|>", 128_009, 1.0)],
        [("return", 693, 2.0), (" x", 865, 8.0), ("<|eot_id|>", 128_009, 1.0)],
    ]
    rows = [start + answer for answer in answers]
    text = ["".join(token[0] for token in row) for row in rows]
    ids = [[128_000] + [token[1] for token in row] for row in rows]  # the cached ids begin twice
    perplexity = [[token[2] for token in row] for row in rows]
    place = "stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp"
    of = {"task_id": [701, 702], "text": text}
    arrow(f"{place}/data-00000-of-00001.arrow", **of, code=[task[2] for task in TRAIN[:2]],
          conversations=turns([(asked(task), reference(task)) for task in TRAIN[:2]]), ppl=perplexity)
    arrow(f"{place}/cache-322c25a34199de5b.arrow", **of, ppl=perplexity, input_ids=ids,
          attention_mask=[[1] * len(row) for row in ids])


def math():
    rows = {
        "validation": [("What is $1+1$?", "Level 1", "Algebra", "It is $\\boxed{2}$.")],
        "test": [("What is half of one?", "Level 2", "Prealgebra", "It is $\\boxed{\\frac{1}{2}}$."),
                 ("What is three?", "Level 5", "Geometry", "Three.")],
    }
    for split, rows in rows.items():
        problem, level, kind, solution = map(list, zip(*rows))
        arrow(f"ground_truth/math/{split}/data-00000-of-00001.arrow", problem=problem, level=level, type=kind, solution=solution,
              conversations=turns(zip(problem, solution)))
    said = [("What is half of one?", "It is $\\boxed{0.5}$.", "\\frac{1}{2}", 1.0), ("What is three?", "It is $\\boxed{4}$.", "3", 1.0),
            ("What is two?", "It is one.", "2", 0.0)]
    lines("logging/math-test/log.jsonl", *({"id": at, "prompt": question, "generation": answer, "gold": gold, "passed": passed}
                                           for at, (question, answer, gold, passed) in enumerate(said)))


def gsm8k():
    rows = [("Two and three apples?", "2 + 3 = 5\n#### 5"), ("Ten less four?", "Six.")]
    arrow("ground_truth/gsm8k/data-00000-of-00001.arrow", conversations=turns(rows), question=[row[0] for row in rows],
          answer=[row[1] for row in rows])
    # in two files, with grades as numbers
    for file, answer, passed in (("log_1", "2 + 3 = 5\n#### 5", 1), ("log_2", "#### 6", 0)):
        lines(f"logging/gsm8k-test/{file}.jsonl",
              {"id": 0, "prompt": "Q: Two and three apples?", "generation": answer, "passed": passed, "fmt_err": 0})


def arc():
    for split, keys in (("train", "A"), ("validation", "B"), ("test", "A3E")):
        labels = [list({"3": "1234", "E": "ABCDE"}.get(key, "ABCD")) for key in keys]
        choices = [{"text": [f"option {at}" for at in range(len(names))], "label": names} for names in labels]
        arrow(f"ground_truth/arc_challenge/{split}/data-00000-of-00001.arrow", id=[f"{split}-{at}" for at in range(len(keys))],
              question=["Which one?" for _ in keys], choices=choices, answerKey=list(keys))


def samples():
    """Training sets and pools of sampled answers; the second Self-Output answer fails its tests."""
    good = "```python\ndef twice(n):\n    return n + n\n```\nThis adds the number to itself."
    bad = fenced("def longer(a, b):\n    return a")
    rephrased = "Here it is:\n```python\ndef twice(n):\r\n    return 2*n\n```"
    other = fenced("def twice(n):\n    return n * 2")
    negated = fenced("def negated(n):\n    return 0 - n")
    double, longer, negate = TRAIN[0], TRAIN[1], VALIDATION[0]
    for kind, split, rows in (
        ("self-output", "train", [(asked(double), good), (asked(longer), bad)]),
        ("self-output", "validation", [(asked(negate), negated)]),
        ("rephrase", "train", [(asked(double), rephrased)]),
        ("rephrase", "validation", [(asked(negate), negated)]),
    ):
        arrow(f"{kind}/mbpp/meta-llama-meta-llama-3-8b-instruct-lowest-ppl/{split}/data-00000-of-00001.arrow",
              conversations=turns(rows, ("role", "content"), ("user", "assistant")))

    def pool(path, task, *answers):
        accept = [{"content": content, "correct": correct, "ppl": ppl, "src": "model"} for content, ppl, correct in answers]
        accept.append({"content": reference(task), "correct": True, "ppl": 12.0, "src": "ground_truth"})
        row = {"accept": accept, "instruction": asked(task), "rejection": [reference(task)], "row_id": task[0]}
        lines(f"dataset/{path}_wrejppl.jsonl", row)

    # the chosen rewrite is not the one of lowest perplexity; one label is wrong
    pool("rephrase/mbpp_sample_train_t_0.7_1", double, (rephrased, 4.0, True), (other, 2.0, False))
    pool("rephrase/mbpp_sample_validation_t_0.7_1", negate, (negated, 3.0, True))
    pool("self-output/mbpp_sample_validation_t_0.7_32", negate, (negated, 1.5, True))


def log():
    def entry(at, task, asked, code, passed, result):
        output = {"task_id": task, "result": result}
        return {"id": at, "prompt": asked, "generation": fenced(code), "passed": passed, "final_output": output}

    lines(
        "logging/mbpp-test/log.jsonl",
        entry(0, 20, prompt("Write a function to halve.", "assert halved(4) == 2"), "def halved(n):\n    return n // 2", True, "passed"),
        # another task with the name and the words of a trained one
        entry(1, 21, prompt("write a function to double a number.", "assert twice(2) == 4"), "def twice(n):\n    return 5", False,
              "timed out"),
    )


def table(path, width, names, *rows):
    """A csv in the authors' layout: names of columns by place, the others empty."""
    def line(cells):
        return ",".join(cells.get(at, "") for at in range(width)) + "\n"

    put(f"raw_digits/{path}.csv", "".join(map(line, (names, *rows))))


def raw_results():
    """The three tables with a few rows: one right, one with exchanged bases, one that nothing explains."""
    table("ground truth finetune", 15, {
        0: "model", 1: "selected", 2: "name", 3: "gt data", 4: "MBPP - test", 5: "GSM8k - test (0-shot CoT)",
        6: "MATH - test (0-shot CoT)", 7: "arc_challenge-test (CoT)", 8: "arc_challenge-test (noCoT)", 9: "bird-test", 11: "BWT",
        12: "improve", 14: "ppl",
    })

    def row(transfer, improvement):
        return {0: "gemma2-2b-it", 1: "MBPP", 3: "2.5", 8: "0.4", 9: "0.281", 11: "0.7474", 12: "0.5000", 13: "0.1389", 15: transfer,
                16: improvement}

    # (0.5 / 0.5845 - 1) / 4 = -3.6142 %; with the two bases exchanged
    # (0.7474 / 0.5845 - 1 + 0.5 / 0.7474 - 1) / 4 = -1.3074 %; TI = 0.4 / 0.5106 - 1 = -21.66 %
    table("rho-sft", 18, {
        0: "source code: xxx", 1: "in-domain-dataset", 2: "lr", 3: "filter < threshold", 4: "selected epoch", 5: "in domain score",
        6: "% token filtered", 8: "mbpp", 9: "math", 10: "arc-cot", 11: "arc-da", 12: "gsm8k", 13: "bird", 15: "forget metric",
        16: "improve metric",
    }, row("-3.61%", "-21.66%"), row("-1.31%", "-11.06%"), row("-77.00%", ""))
    table("self-output", 38, {
        1: "method", 2: "model", 3: "in-domain-dataset", 4: "selected", 5: "training task", 6: "self-output criteria",
        15: "original base", 16: "mbpp test", 17: "math test", 18: "arc test (cot)", 19: "arc test", 20: "gsm8k", 21: "bird-test",
        22: "BWT", 23: "improve target",
    })


if __name__ == "__main__":
    shutil.rmtree(HERE, ignore_errors=True)
    for part in (mbpp, scored, math, gsm8k, arc, samples, log, raw_results):
        part()

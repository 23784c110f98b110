"""Hashes of lm-evaluation-harness's prompts for MBPP and HumanEval, for tests/python_code.rs.

    pip download --no-deps lm_eval==0.4.13 && unzip lm_eval-0.4.13-py3-none-any.whl -d lm_eval
    python3 make_code_prompts.py lm_eval mbpp.jsonl HumanEval.jsonl.gz > code_prompts.json

Needs jinja2 and pyyaml. The prompts are put together as ConfigurableTask.fewshot_context does without a chat template: for each example
question, target and the delimiter of two newlines, then the question. Those of the `_instruct` tasks are the one user turn that it makes with
a chat template and `--fewshot_as_multiturn false`.
"""

import ast
import gzip
import hashlib
import json
import sys

import yaml
from jinja2 import BaseLoader, Environment, StrictUndefined

folder, mbpp, humaneval = sys.argv[1:]
environment = Environment(loader=BaseLoader, undefined=StrictUndefined, keep_trailing_newline=True)


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: node.value)


def task(name, file):
    with open(f"{folder}/lm_eval/tasks/{name}/{file}.yaml") as text:
        return yaml.load(text, Loader)


def render(template, row):
    return environment.from_string(template).render(**row)


def samples():
    """What `list_fewshot_samples` of the task's utils.py returns; the file itself would load a package to run code."""
    with open(f"{folder}/lm_eval/tasks/mbpp/utils.py") as text:
        for node in ast.parse(text.read()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "list_fewshot_samples":
                return ast.literal_eval(node.body[0].value)


def prompts(config, rows, shown):
    examples = "".join(
        render(config["doc_to_text"], row) + config.get("target_delimiter", " ") + render(config["doc_to_target"], row) + "\n\n"
        for row in shown
    )
    return [examples + render(config["doc_to_text"], row) for row in rows]


def instruct(config, rows, shown):
    """For a chat model: the beginning of the model's turn in each example, not in the question's own turn, which is the model's."""
    examples = "".join(
        render(config["doc_to_text"], row) + config["gen_prefix"] + render(config["doc_to_target"], row) + "\n\n" for row in shown
    )
    return [examples + render(config["doc_to_text"], row) for row in rows]


def facts(all):
    joined = "".join(prompt + "\0" for prompt in all)
    return {"count": len(all), "characters": len(all[0]), "sha256": hashlib.sha256(joined.encode()).hexdigest()}


print(json.dumps({
    "mbpp": facts(prompts(task("mbpp", "mbpp"), map(json.loads, open(mbpp)), samples())),
    "humaneval": facts(prompts(task("humaneval", "humaneval"), map(json.loads, gzip.open(humaneval)), [])),
    "mbpp_instruct": facts(instruct(task("mbpp", "mbpp_instruct"), map(json.loads, open(mbpp)), samples())),
    "humaneval_instruct": facts(instruct(task("humaneval", "humaneval_instruct"), map(json.loads, gzip.open(humaneval)), [])),
}, indent=1))

"""This crate beside PyTorch, transformers and PEFT, on the same weights, shapes and token ids.

    cargo bench --no-run --bench timed                     prints the path of the program that is meant below
    PROGRAM --model target/llama-lab --make lab            random weights of the lab model's shape; or: --make 30m
    python benches/compare.py --program PROGRAM --model target/llama-lab [--python PYTHON] [--rounds 2] [options of pytorch.py]

Runs each case by turns, ours, theirs, ours, theirs, so that whatever else the machine does meets both alike, and prints
one table of medians. On a CPU theirs runs in float32 and in bfloat16, and the faster one counts, for memory as well; the table names it. With
--own-model ours reads another form of the same weights, such as a GGUF file. The model's freed load buffers would hide what the work takes, so our extra memory comes from one more
step, untimed, whose allocator returns pages at once; the peak is that of the timed runs. A ratio above 1 is in our favour in speed; in memory it is ours over theirs, so below 1 is. `first_loss` must
agree with float32's to 1e-4 (with bf16 products, another form of the weights or a GPU to 0.05), else the two did not do the same work and nothing is printed but that. PYTHON, by default the one that runs
this, has the packages that pytorch.py imports.

On a GPU (`cargo bench --no-run --bench timed --features cuda`, then `--device cuda` here) memory is the card's, asked of nvidia-smi ten
times a second: extra is its peak beyond what was used when the process began, weights included, and so is peak. Nothing else may
run on the card. Models: `python benches/make_random.py gemma2-2b` and `llama3-8b`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent


def line(command, **environment):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def card_mb():
    asked = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"], stdout=subprocess.PIPE, text=True, check=True)
    return float(asked.stdout.split()[0])


def line_on_card(command):
    """As `line`, with the card's memory in place of the process's."""
    before = most = card_mb()
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.wait(0.1):
            most = max(most, card_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = line(command)
    finally:
        done.set()
        watcher.join()
    return result | {"extra_mb": most - before, "peak_mb": most - before}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the built benchmark `timed`")
    parser.add_argument("--model", required=True, metavar="DIR")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--own-model", metavar="PATH", help="the weights in the form that ours reads [default: those of --model]")
    parser.add_argument("--precision", default="f32", help="of ours: f32, bf16x2 or bf16")
    parser.add_argument("--dtypes", help="of theirs, separated by commas [default: float32,bfloat16 on a CPU, bfloat16 on a GPU]")
    parser.add_argument("--what", default="lora,full,score,sample")
    parser.add_argument("--replay", action="store_true", help="ours computes blocks again in the backward pass")
    given, rest = parser.parse_known_args()
    if "--threads" not in rest:
        rest += ["--threads", "1"]
    on_card = "cuda" in rest
    measured = line_on_card if on_card else line
    dtypes = (given.dtypes or ("bfloat16" if on_card else "float32,bfloat16")).split(",")
    near = 1e-4 if given.precision == "f32" and not on_card and not given.own_model else 0.05
    ours_is = f"ours {given.precision}{' of ' + given.own_model if given.own_model else ''}{', --replay' if given.replay else ''}"
    print(f"--model {given.model} {' '.join(rest)}, {ours_is}, median of {given.rounds} rounds by turns\n")
    print("| case | theirs in | tokens/s ours | theirs | ratio | tokens/cpu s ours | theirs | ratio | extra MB ours | theirs | ratio | peak MB ours | theirs | ratio |")
    print("|---|---|" + "--:|" * 12)
    for what in given.what.split(","):
        options = [*rest, "--what", what]
        own = [given.program, *options, "--model", given.own_model or given.model, "--precision", given.precision, *(["--replay"] if given.replay else [])]
        ours, all_theirs = [], {dtype: [] for dtype in dtypes}
        for _ in range(given.rounds):
            ours.append(measured(own))
            for dtype, lines in all_theirs.items():
                lines.append(measured([given.python, str(HERE / "pytorch.py"), *options, "--model", given.model, "--dtype", dtype]))
        for dtype, lines in all_theirs.items():
            losses = ours[0]["first_loss"], lines[0]["first_loss"]
            if losses[0] is not None and abs(losses[0] - losses[1]) > (near if dtype == "float32" else 0.05):
                sys.exit(f"{what}: first losses differ, {losses[0]} and {losses[1]} in {dtype}: not the same work")
        dtype, theirs = max(all_theirs.items(), key=lambda lines: statistics.median(l["tokens_per_s"] for l in lines[1]))
        if not on_card:
            extra = line([*own, "--steps", "1"], MIMALLOC_PURGE_DELAY="0")["extra_mb"]
            for each in ours:
                each["extra_mb"] = extra
        cells = [what, dtype]
        for value in (
            lambda l: l["tokens_per_s"],
            lambda l: l["tokens_per_s"] * l["seconds"] / l["cpu_seconds"],
            lambda l: l["extra_mb"],
            lambda l: l["peak_mb"],
        ):
            a, b = (statistics.median(map(value, lines)) for lines in (ours, theirs))
            cells += [f"{a:.0f}", f"{b:.0f}", f"{a / b:.2f}" if b else "–"]
        print("| " + " | ".join(cells) + " |", flush=True)


main()

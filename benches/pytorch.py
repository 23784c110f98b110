"""The benchmarks of this crate in PyTorch, transformers and PEFT, on the same weights, shapes and token ids.

    python benches/pytorch.py --model DIR [--what lora,full,score,sample] [--batch 4] [--length 128] [--steps 5]
                              [--threads 2] [--prompts 1] [--samples 32] [--new-tokens 64] [--device cuda] [--dtype bfloat16]

Cases, in float32 on the CPU and in bfloat16 on a GPU unless --dtype says otherwise; adapters are float32:

  lora     one training step: rank 16 on all linear modules, forward, backward, AdamW
  full     one training step of all weights
  score    log-probability of every token, no gradient
  sample   `samples` answers to each of `prompts` prompts of `length` tokens, temperature 0.7, top-p 0.95, exactly `new-tokens` each

One JSON line per case on stdout. `seconds` is for all timed steps after one that is not timed; `tokens_per_s` counts
batch * length * steps tokens, for sampling the new ones; `cpu_seconds` are the processor's, all threads. `loaded_mb` is the
resident memory right after loading the model, `peak_mb` the largest from then on (on Linux; elsewhere from the start), `extra_mb`
their difference. Each case
runs in a process of its own, so that its memory is its own. `first_loss` (lora, full, score) is the mean NLL before any
step: equal to this crate's, or the two did not do the same work.

Token t of row b is (7919 b + 104729 t + 31 t t) mod vocabulary.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

CASES = ["lora", "full", "score", "sample"]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="DIR")
    parser.add_argument("--what", default=",".join(CASES), help="cases, separated by commas")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    parser.add_argument("--here", action="store_true", help="run the one case in this process")
    given = parser.parse_args()
    given.dtype = given.dtype or ("float32" if given.device == "cpu" else "bfloat16")
    given.what = given.what.split(",")
    for what in given.what:
        if what not in CASES:
            parser.error(f"--what {what}: no such case, there are {', '.join(CASES)}")
    if not os.path.exists(os.path.join(given.model, "config.json")):
        parser.error(f"--model {given.model}: no config.json here; benches/make_random.py makes a model")
    return given


def peak_mb():
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def forget_peak():
    """Lets the peak start anew at the memory resident now, which is returned, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    return peak_mb()


def run(what, given):
    import peft
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(given.model, dtype=getattr(torch, given.dtype))
    model.to(given.device)
    vocabulary = model.config.vocab_size
    ids = torch.tensor([[(7919 * b + 104729 * t + 31 * t * t) % vocabulary for t in range(given.length)] for b in range(max(given.batch, given.prompts))]).to(given.device)
    prompts, ids = ids[: given.prompts], ids[: given.batch]
    for parameter in model.parameters():
        parameter.sum()  # else the file's pages are read, and counted, only during the first step
    loaded = forget_peak()

    if what in ("lora", "full"):
        if what == "lora":
            config = peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
            model = peft.get_peft_model(model, config)
        model.train()
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

        def step():
            optimiser.zero_grad()
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimiser.step()
            return loss.item()

        tokens = given.batch * given.length
    elif what == "score":
        model.eval()

        def step():
            with torch.no_grad():
                logits = model(input_ids=ids).logits[:, :-1]
                nll = torch.nn.functional.cross_entropy(logits.float().reshape(-1, vocabulary), ids[:, 1:].reshape(-1), reduction="none")
            return nll.mean().item()

        tokens = given.batch * given.length
    else:
        model.eval()

        def step():
            with torch.no_grad():
                out = model.generate(
                    prompts, attention_mask=torch.ones_like(prompts), do_sample=True, temperature=0.7, top_p=0.95, top_k=0, pad_token_id=0,
                    num_return_sequences=given.samples, max_new_tokens=given.new_tokens, min_new_tokens=given.new_tokens,
                )
            assert out.shape == (given.prompts * given.samples, given.length + given.new_tokens), out.shape

        tokens = given.prompts * given.samples * given.new_tokens

    settle = torch.cuda.synchronize if given.device == "cuda" else lambda: None
    first_loss = step()
    settle()
    begin, cpu = time.perf_counter(), time.process_time()
    for _ in range(given.steps):
        step()
    settle()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    line = {
        "what": what, "tokens_per_s": round(tokens * given.steps / seconds, 1), "seconds": round(seconds, 4), "cpu_seconds": round(cpu, 4),
        "peak_mb": round(peak_mb(), 1), "loaded_mb": round(loaded, 1), "extra_mb": round(peak_mb() - loaded, 1),
        "first_loss": first_loss, "batch": given.prompts if what == "sample" else given.batch, "length": given.length, "steps": given.steps,
        "threads": given.threads, "device": given.device, "dtype": given.dtype, "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__,
    }
    if what == "sample":
        line |= {"samples": given.samples, "new_tokens": given.new_tokens}
    print(json.dumps(line), flush=True)


def main():
    given = options()
    if given.here:
        for what in given.what:
            run(what, given)
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads), "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    failed = 0
    for what in given.what:
        # A later --what wins over an earlier one.
        child = subprocess.run([sys.executable, *sys.argv, "--what", what, "--here"], env=environment)
        failed |= child.returncode
    sys.exit(1 if failed else 0)


main()

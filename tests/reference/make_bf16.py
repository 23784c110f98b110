"""How far transformers and PEFT in bfloat16 are from themselves in float32, on the models of make_families.py.

Writes bf16.json: for each model the log-probability of every token but the first of both sequences, and the loss with the adapter,
computed in bfloat16 on a CPU with eager attention (logits are rounded to bfloat16 there, and made float32 before the softmax); and how
far the gradient of the adapter's tensors in bfloat16 is from that in float32, of all together.

    python make_bf16.py          torch 2.11.0, transformers and peft as make_families.py has them
"""

import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)
here = Path(__file__).parent
table = {}
for folder in sorted((here / "families").iterdir()):
    expected = json.loads((folder / "expected.json").read_text())
    sequences = [torch.tensor(ids) for ids in expected["sequences"]]

    def compute(dtype):
        def load():
            return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()

        def scores(model):
            logits = [model(ids[None]).logits[0].float().log_softmax(-1) for ids in sequences]
            return [each[range(len(ids) - 1), ids[1:]] for each, ids in zip(logits, sequences)]

        with torch.no_grad():
            plain = [each.tolist() for each in scores(load())]
        peft = PeftModel.from_pretrained(load(), folder / "lora", is_trainable=True).eval()
        learned = [torch.tensor(flags)[1:] for flags in expected["learned"]]
        loss = -torch.cat([each[flags] for each, flags in zip(scores(peft), learned)]).mean()
        loss.backward()
        gradients = torch.cat([p.grad.double().flatten() for p in peft.parameters() if p.requires_grad])
        return plain, loss.item(), gradients

    (_, _, exact), (plain, loss, rounded) = compute(torch.float32), compute(torch.bfloat16)
    apart = ((rounded - exact).norm() / exact.norm()).item()
    table[folder.name] = {"log_probs": plain, "lora_loss": loss, "gradient_apart": apart}
    print(folder.name, loss, expected["loss"], apart, flush=True)
(here / "bf16.json").write_text(json.dumps(table) + "\n")

"""Losses that are more than weighted cross-entropy, with their gradients: what PyTorch's autograd makes of the published formulas.

Writes `objectives.json`: logits of 5 positions over 13 tokens from hidden states `h` (5 x 4) and a head `w` (13 x 4), computed in float64.

    h, w, h0, targets, weights    the inputs; h0 are the reference model's hidden states, under the same head
    objectives.<name>             value of the sum over positions, and its gradients `dh`, `dw`
    kl.<direction>.<top>          the divergence of each position, and the gradients of its weighted sum
    l2_sp                         1/2 |s B A|^2 with its gradients

Run with Python 3.11 and torch 2.11.0: python tests/reference/make_objectives.py
"""

import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)

rows, width, vocabulary = 5, 4, 13
# as float32 holds them, so that both sides start from the same numbers
single = lambda *shape: torch.randn(*shape).float().double()
h, h0, w = single(rows, width), single(rows, width), single(vocabulary, width)
targets = torch.tensor([3, 0, 12, 7, 7])
weights = torch.tensor([1.0, 0.5, 2.0, 0.25, 1.0])


def log_prob(h, w):
    return F.log_softmax(h @ w.T, -1).gather(1, targets[:, None])[:, 0]


def gradients(of):
    a, b = h.clone().requires_grad_(), w.clone().requires_grad_()
    loss = of(a, b)
    loss.backward()
    return {"value": loss.item(), "dh": a.grad.tolist(), "dw": b.grad.tolist()}


def probability(q):
    # Beyond-Log-Likelihood: (1 - p^q) / q
    return lambda a, b: (weights * (1 - log_prob(a, b).exp() ** q) / q).sum()


def dft(a, b):
    # TRL and the authors' code: the surprisal times its own probability, detached
    l = log_prob(a, b)
    return (weights * l.exp().detach() * -l).sum()


def psft(low, high):
    # PPO's clipped objective with advantage 1; the old model is the one with hidden states h0
    def of(a, b):
        ratio = (log_prob(a, b) - log_prob(h0, w).detach()).exp()
        return -(weights * torch.min(ratio, ratio.clamp(1 - low, 1 + high))).sum()

    return of


def kl_rows(a, b, direction, top):
    """Divergence of each row; with `top`, tokens outside the reference's `top` most probable are one."""
    l, l0 = F.log_softmax(a @ b.T, -1), F.log_softmax(h0 @ w.T, -1).detach()
    if top is not None:
        kept = torch.zeros_like(l0, dtype=torch.bool).scatter(1, l0.topk(top, -1).indices, True)
        lump = lambda x: torch.cat(
            [x[kept].view(rows, top), x.masked_fill(kept, -math.inf).logsumexp(-1, keepdim=True)], -1
        )
        l, l0 = lump(l), lump(l0)
    p, q = (l0, l) if direction == "forward" else (l, l0)
    return F.kl_div(q, p, log_target=True, reduction="none").sum(-1)


kls = {}
for direction in ["forward", "reverse"]:
    kls[direction] = {}
    for top in [None, 3]:
        made = gradients(lambda a, b: (weights * kl_rows(a, b, direction, top)).sum())
        made["rows"] = kl_rows(h, w, direction, top).tolist()
        kls[direction]["all" if top is None else str(top)] = made

a, b = single(3, 6), single(5, 3)
s = 1.5
va, vb = a.clone().requires_grad_(), b.clone().requires_grad_()
penalty = 0.5 * (s * vb @ va).square().sum()
penalty.backward()

result = {
    "h": h.tolist(),
    "h0": h0.tolist(),
    "w": w.tolist(),
    "targets": targets.tolist(),
    "weights": weights.tolist(),
    "objectives": {
        "surprisal": gradients(lambda a, b: -(weights * log_prob(a, b)).sum()),
        "dft": gradients(dft),
        "probability:0.5": gradients(probability(0.5)),
        "probability:1": gradients(probability(1.0)),
        "psft:0.28": gradients(psft(0.2, 0.28)),
    },
    "kl": kls,
    "l2_sp": {
        "a": a.tolist(),
        "b": b.tolist(),
        "scale": s,
        "value": penalty.item(),
        "da": va.grad.tolist(),
        "db": vb.grad.tolist(),
    },
}
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
(folder / "objectives.json").write_text(json.dumps(result) + "\n")

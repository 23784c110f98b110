"""Golden vectors of the token weights of `select::PRESETS`, in `weights.json`.

Each published loss is written here as its paper or code has it, in float64, and differentiated by PyTorch with respect to the log-probability of
each completion token. Since a weighted loss is sum(w_t * -log p_t) / Z, that derivative is -w_t / Z: it fixes the weight and the
normaliser together. `weights.json` has for every preset the expression, the derivative of each token, and for masks which tokens are
kept. What a method stops the gradient of is detached, as in its code. Logits are random, of a vocabulary of 50 (EAFT takes the 20 most
probable of them). Random controls have no vectors: their generators differ; tests of this crate count what they keep.

Written with Python 3.11, torch 2.11.0, numpy 2.4: python tests/reference/make_weights.py [FOLDER]
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch

torch.manual_seed(0)
torch.set_num_threads(1)
VOCABULARY = 50
# prompt tokens and completion tokens of each example; the first token of an example has no context
SHAPES = [(3, 7), (2, 4), (4, 9), (2, 5)]
CLASSES = ["words", "numbers", "symbols", "end_of_turn"]


def model(sharpness):
    """Log-probability, entropy, rank and top-20 entropy of each completion token, for each example."""
    out = []
    for (_, completion), favours in zip(SHAPES, LABELS):
        logits = torch.randn(completion, VOCABULARY, dtype=torch.float64) * sharpness
        # most targets are likely, as in real answers
        logits[torch.arange(completion), favours] += 9 * torch.rand(completion, dtype=torch.float64)
        logp = torch.log_softmax(logits, -1)
        target = logp.gather(1, favours[:, None])[:, 0]
        top = torch.softmax(torch.topk(logits, 20, dim=-1).values, -1)
        out.append(
            dict(
                # stored as float32, and computed with what is stored
                log_prob=target.float().double(),
                entropy=-(logp.exp() * logp).sum(-1).float().double(),
                rank=(logp > target[:, None]).sum(-1),
                top_entropy=-(top * top.log()).sum(-1).float().double(),
            )
        )
    return out


LABELS = [torch.randint(0, VOCABULARY, (completion,)) for _, completion in SHAPES]
BASE, CURRENT, REFERENCE = model(1.5), model(1.8), model(1.6)
CLASS = [[CLASSES[int(i)] for i in torch.randint(0, 3, (c - 1,))] + ["end_of_turn"] for _, c in SHAPES]
SIZES = [c for _, c in SHAPES]


def flat(model, name):
    return torch.cat([example[name] for example in model])


base, current, reference = (flat(m, "log_prob") for m in (BASE, CURRENT, REFERENCE))
entropy_top = flat(CURRENT, "top_entropy")
classes = sum(CLASS, [])
ppl = torch.exp(-base)
N = len(base)


def derivative(loss):
    """d loss / d log p_t at the current model; `loss` is a function of the log-probabilities."""
    logp = current.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logp), logp)
    return gradient


def kept(mask):
    """Labels of -100 and torch's cross-entropy: the mean over the tokens that are left."""
    return derivative(lambda logp: -logp[mask].mean())


def split(values):
    return [part.tolist() for part in torch.split(values, SIZES)]


VECTORS = {}


def vector(rule, gradient, mask=None):
    VECTORS[rule] = dict(gradient=split(gradient))
    if mask is not None:
        VECTORS[rule]["kept"] = split(mask)


def masked(rule, mask, gradient=None):
    vector(rule, kept(mask) if gradient is None else gradient, mask)


# --- 2501.14315: m_i = 1[ppl_i <= tau]; L = -sum m_i ln P / sum m_i; App. G: d_i = ppl_SFT - ppl_base
masked("stm(2.5)", ppl <= 2.5)
masked("stm(10)", ppl <= 10)
masked("stm_quantile(0.8)", ppl <= float(np.quantile(ppl.numpy(), 0.8)))
limits = torch.tensor([{"words": 2.5, "numbers": 20.0}.get(c, 6.0) for c in classes], dtype=torch.float64)
masked("stm_by_class(words: 2.5, numbers: 20, else: 6)", ppl <= limits)
masked("stm_scorer(2.5)", torch.exp(-reference) <= 2.5)
difference = torch.exp(-reference) - ppl
masked("dpf(0)", ~(difference > 0))
masked("dpf(1.5)", ~(difference > 1.5))
masked("stm_dpf(100, 0)", ~((difference > 0) | (ppl > 100)))
masked("stm_dpf(6, 1)", ~((difference > 1) | (ppl > 6)))

# --- control of 2501.14315, counts made equal in each example: the lowest are masked
low = []
for of in torch.split(ppl, SIZES):
    count = int((of > 2.5).sum())
    order = np.argsort(of.numpy(), kind="stable")
    mask = np.ones(len(of), bool)
    mask[order[:count]] = False
    low.append(torch.from_numpy(mask))
masked("lowest_mask(2.5)", torch.cat(low))


def topk(score, share):
    count = int(len(score) * share)
    mask = torch.zeros(len(score), dtype=torch.bool)
    mask[torch.topk(score, count).indices] = True
    return mask


# --- RHO-1 2404.07965, eq. 4-5: excess loss = loss_theta - loss_ref; L = -1/(N * k%) sum I_k% log P
for share in (0.6, 0.3):
    masked(f"rho1({share})", topk(-current + reference, share))

# --- Token Cleaning, generate_token_label.py: loss_base - loss_ref, global: sorted(reverse=True)[:int(n * prop)]; sample: torch.topk(k=int(len * prop))
score = -base + reference
masked("token_cleaning(0.6)", topk(score, 0.6))
masked("token_cleaning_per_sample(0.6)", torch.cat([topk(s, 0.6) for s in torch.split(score, SIZES)]))

# --- ProFit, trainer_utils._profit_cross_entropy: labels where p < t become -100, reduction "sum", divided by num_items_in_batch
p = current.exp()


def over_items(mask):
    return derivative(lambda logp: -logp[mask].sum() / N)


masked("profit(0.1)", ~(p < 0.1), over_items(~(p < 0.1)))
masked("profit_lower(0.3)", ~(p > 0.3), over_items(~(p > 0.3)))
middle = ~((p < 0.1) | (p > 0.7))
masked("profit_middle(0.1, 0.7)", middle, over_items(middle))

# --- DFT 2508.05629: loss = loss * softmax(logits).gather(labels).detach(), mean over valid tokens (its code, LLaMA-Factory's and ASFT's alike)
dft = derivative(lambda logp: (-logp * logp.exp().detach()).sum() / N)
vector("dft", dft)
# --- ASFT train_v2.py, mode asft, without its term kl_weight * KL: (token_losses * weights)[valid].sum() / valid.sum()
vector("asft", dft)

# --- EAFT 2601.02151: weight (H_top20 / ln 20)^alpha; LLaMA-Factory: entropy / 3.0; Axolotl: torch.pow(entropy, alpha); / num_items_in_batch
for alpha in (1, 2):
    for name, scale in (("eaft", math.log(20)), ("eaft_llamafactory", 3.0), ("eaft_axolotl", 1.0)):
        weight = torch.pow(entropy_top / scale, alpha)
        vector(f"{name}({alpha})", derivative(lambda logp: (-logp * weight).sum() / N))

# --- TALR 2509.20758: w = max(0.01, p^(1/tau)), tau = median over the batch of the sequences' mean NLL
sequences = np.array([-s.mean().item() for s in torch.split(current, SIZES)])
tau = float(np.median(sequences))
for least in (0.01, 0.3):
    weight = torch.clamp(p ** (1 / tau), min=least)
    vector(f"talr({least})", derivative(lambda logp: (-logp * weight).sum() / N))

# --- FLOW create_weighted_dataset.py: exp(-loss / temperature), temperature the median (get_dataset_temperature.py); loss * weight, sum / num_items
losses = [(-s).mean() for s in torch.split(base, SIZES)]
temperature = float(np.median([l.item() for l in losses]))
weight = torch.cat([torch.exp(-l / temperature).expand(n) for l, n in zip(losses, SIZES)])
vector("flow", derivative(lambda logp: (-logp * weight).sum() / N))
token_temperature = float(np.median(-base.numpy()))
token_weight = torch.exp(base / token_temperature)
vector("flow_token", derivative(lambda logp: (-logp * token_weight).sum() / N))

# --- PSFT 2508.17784: -mean(min(r, clip(r, 1 - 0.2, 1 + high))), r = exp(logp - old); old is the reference here
for high in (0.28, 5.0):

    def psft(logp):
        ratio = torch.exp(logp - reference)
        return -torch.minimum(ratio, torch.clamp(ratio, 1 - 0.2, 1 + high)).sum() / N

    vector(f"psft({high})", derivative(psft))

# --- 2510.00526 fsdp_sft_trainer.py: GeneralFamily -(p^q - 1) / q; OnlyTopP and OnlyBottomP (1 - p) * mask; sum / sum(mask)
for q in (0.5, 1, 2):
    vector(f"probability({q})", derivative(lambda logp: (-(torch.exp(q * logp) - 1) / q).sum() / N))
for name, mask in (("top", p >= 0.2), ("bottom", p <= 0.2)):
    vector(f"probability_{name}(0.2)", derivative(lambda logp: ((1 - logp.exp()) * mask).sum() / mask.sum()))

# --- InfoSFT 2605.14967, infosft_loss.py: -p.detach() * relu(1 - (logp - (1 - p).log()).detach() / log(P / (1 - P))) * logp, / num_items_in_batch
for P in (0.93, 0.7):

    def infosft(logp):
        logit = (logp - (1 - logp.exp()).log()).detach()
        return (-logp.exp().detach() * torch.relu(1 - logit / math.log(P / (1 - P))) * logp).sum() / N

    vector(f"infosft({P})", derivative(infosft))

# --- TRAPO 2512.17636, mix_core_alg.py: clip_low -p / max(p.detach(), 0.1); clip_low_and_shift -p * (1 / max(p.detach(), 0.1) - 0.5); mean over tokens
for low in (0.1, 0.4):
    floor = torch.clamp(p, min=low)
    vector(f"trsft({low})", derivative(lambda logp: (-logp.exp() / floor).sum() / N))
    vector(f"trsft_shift({low})", derivative(lambda logp: (-logp.exp() * (1 / floor - 0.5)).sum() / N))

# --- CHORD 2508.11408, Trinity-RFT phi_function: loss * (p * (1 - p)).detach(), mean over tokens
vector("chord_phi", derivative(lambda logp: (-logp * (logp.exp() * (1 - logp.exp())).detach()).sum() / N))

# --- DEFT 2602.11424, fsdp_sft_trainer.py, Cayley_Trans, without its 1e-8: -(exp(alpha * logp) - 1) / alpha
floor = 0.5 * p.mean()
alpha = (floor + (1 - floor) * p / (2 - p)).clamp(0.001, 1)
vector("deft_cayley", derivative(lambda logp: (-(torch.exp(alpha * logp) - 1) / alpha).sum() / N))

# --- EKSFT 2605.29303, trainer.py, entropy alone: labels at torch.topk(entropy, int(n * 0.2)) become -100, the mean over the rest; each place is
# the one that predicts the token, while its code masks the label before it
entropy = flat(CURRENT, "entropy")
masked("eksft_entropy(0.2)", ~topk(entropy, 0.2))


def column(example, name, prompt):
    return [None] * prompt + example[name].tolist()


def signals(models):
    return [
        {name: column(example, name, prompt) for name in ("log_prob", "entropy", "rank", "top_entropy")}
        for example, (prompt, _) in zip(models, SHAPES)
    ]


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
with open(folder / "weights.json", "w") as file:
    document = dict(
        prompts=[prompt for prompt, _ in SHAPES],
        classes=[["words"] * prompt + of for of, (prompt, _) in zip(CLASS, SHAPES)],
        base=signals(BASE),
        current=signals(CURRENT),
        reference=signals(REFERENCE),
        vectors=VECTORS,
    )
    json.dump(document, file, indent=1)
    file.write("\n")
for rule, of in VECTORS.items():
    if "kept" in of:
        print(f"{rule:50} keeps {sum(map(sum, of['kept'])):2} of {N}")

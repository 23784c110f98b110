"""How often intervals of 95 % hold the truth where a few seeds are crossed with 100 items: the table in src/stats/bootstrap.rs.

Values are -1, 0 and 1 (an item gained or lost), with true mean 0; items and seeds each shift them. numpy 2.4.6, scipy 1.17.1, a minute.
"""

import numpy as np
from scipy import stats as st

rng = np.random.default_rng(0)


def crossed(x):
    """Mean, standard error and degrees of freedom, as stats::Crossed."""
    seeds, items = x.shape
    mean, by_item, by_seed = x.mean(), x.mean(0), x.mean(1)
    between = seeds * ((by_item - mean) ** 2).sum() / (items - 1)
    left = ((x - by_seed[:, None] - by_item + mean) ** 2).sum() / ((seeds - 1) * (items - 1))
    a, b = max(0, between - left) / (seeds * items), max(by_seed.var(ddof=1), left / items) / seeds
    if a + b == 0:
        return mean, 0.0, np.inf
    return mean, (a + b) ** 0.5, (a + b) ** 2 / (a * a / (items - 1) + b * b / (seeds - 1))


def replicates(x, drawn_seeds, draws):
    seeds, items = x.shape
    of_seeds, of_items = np.zeros((draws, seeds)), np.zeros((draws, items))
    rows = np.arange(draws)[:, None]
    np.add.at(of_seeds, (rows, rng.integers(0, seeds, (draws, drawn_seeds))), 1 / drawn_seeds)
    np.add.at(of_items, (rows, rng.integers(0, items, (draws, items))), 1 / items)
    return np.einsum("bs,sn,bn->b", of_seeds, x, of_items, optimize=True)


def simulate(seeds, between_seeds, items=100, between_items=0.6, left=0.6, times=1500, draws=600):
    held, n = dict(all_seeds=0, one_less=0, t=0, wider=0), 0
    for _ in range(times):
        latent = rng.normal(0, between_items, items) + rng.normal(0, between_seeds, seeds)[:, None] + rng.normal(0, left, (seeds, items))
        x = (latent > 1).astype(float) - (latent < -1)
        mean, se, degrees = crossed(x)
        if se == 0:
            continue
        n += 1
        t = abs(mean) <= st.t.ppf(0.975, degrees) * se
        held["t"] += t
        for name, drawn in [("all_seeds", seeds), ("one_less", seeds - 1)]:
            low, high = np.percentile(replicates(x, drawn, draws), [2.5, 97.5])
            held[name] += low <= 0 <= high
        held["wider"] += (low <= 0 <= high) or t
    print(seeds, "seeds, spread between them", between_seeds, {name: round(float(count / n), 3) for name, count in held.items()}, flush=True)


for seeds in (2, 3, 5):
    for between_seeds in (0, 0.2, 0.5):
        simulate(seeds, between_seeds)

"""Numbers of scipy and statsmodels that the tests of src/stats compare with.

Writes statistics.json (samples, bootstrap replicates and the BCa intervals that scipy makes of them) beside this script, or into the
folder given as argument, and prints the numbers that stand in the tests themselves. scipy 1.17.1, statsmodels 0.15.0, numpy 2.4.6:
    pip install scipy==1.17.1 statsmodels==0.15.0 numpy==2.4.6
"""

import json
import sys
from math import ceil
from pathlib import Path

import numpy as np
from scipy import stats as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent


def show(name, rows):
    print(f"# {name}")
    for row in rows:
        print("  ", *(repr(float(x)) if isinstance(x, (float, np.floating)) else x for x in row))


# src/stats/distribution.rs
show("student: degrees, 97.5 % quantile, share above 2.1",
     [(df, st.t.ppf(0.975, df), st.t.sf(2.1, df)) for df in (1.0, 2.0, 2.5, 17.3, 99.0)])
show("normal: p, quantile", [(p, st.norm.ppf(p)) for p in (1e-8, 0.025, 0.8)])

# src/stats/mcnemar.rs
pairs = [(1, 0), (3, 9), (5, 5), (12, 2), (40, 61), (300, 240)]
show("mcnemar: gained, lost, exact, mid-p", [
    (b, c, p := mcnemar([[0, b], [c, 0]], exact=True).pvalue, p - st.binom.pmf(min(b, c), b + c, 0.5))
    for b, c in pairs])

# src/stats/sign_flip.rs
flips = [[1.0, 1.0, -1.0, 1.0, 1.0, 0.0], [0.25, -0.5, 0.75, 1.0, 0.5, 0.5, 0.25], [0.3, 0.1, -0.7, -0.2, -0.9, -0.4, -0.6, -0.3]]
for x in flips:
    p = st.permutation_test((np.array(x),), lambda x, axis: x.mean(axis), permutation_type="samples",
                            vectorized=True, n_resamples=np.inf).pvalue
    show(f"sign flip of {x}", [(p,)])

# src/stats/holm.rs
ps = [0.04, 0.001, 0.2, 0.012, 0.9, 0.012, 0.5]
show(f"holm of {ps}", [tuple(multipletests(ps, method="holm")[1])])

# src/stats/equivalence.rs
d = np.array([0, 0, 1, 0, -1] + [0] * 6 + [-1] + [0] * 8, float)
for margin in (0.05, 0.2, 0.4):
    _, (_, lower, _), (_, higher, _) = ttost_paired(d, np.zeros(20), -margin, margin)
    show("tost: margin, lower, higher", [(margin, lower, higher)])


# src/stats/power.rs
def items(psi, delta, alpha=0.05, power=0.8):
    a, b = st.norm.ppf(1 - alpha / 2), st.norm.ppf(power)
    return ceil(((a * psi**0.5 + b * (psi - delta**2) ** 0.5) / delta) ** 2)


def items_for_equivalence(psi, margin, alpha=0.05, power=0.8):
    return ceil(psi * ((st.norm.ppf(1 - alpha) + st.norm.ppf((1 + power) / 2)) / margin) ** 2)


def real_power(psi, delta, n, alpha=0.05):
    """Of the test (gained - lost)^2 / (gained + lost) against chi squared, over all outcomes."""
    total = 0.0
    for m in range(1, n + 1):
        gained = np.arange(m + 1)
        rejected = (2 * gained - m) ** 2 / m > st.chi2.ppf(1 - alpha, 1)
        total += st.binom.pmf(m, n, psi) * st.binom.pmf(gained, m, (1 + delta / psi) / 2)[rejected].sum()
    return total


for psi, delta in [(0.1, 0.02), (0.1, 0.05), (0.3, 0.05), (0.04, 0.03)]:
    n = items(psi, delta)
    show("power: discordant, difference, items, items for equivalence, power it really has",
         [(psi, delta, n, items_for_equivalence(psi, delta), real_power(psi, delta, n))])
show("smallest effect", [((st.t.ppf(0.975, 20) + st.t.ppf(0.8, 20)) * 1.5,)])

# src/stats/bootstrap.rs
rng = np.random.default_rng(1)
one = [1.0, 0.0, 0.0, -1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
two = [-1.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0]
cases = []
for samples, statistic in [
    ([one], lambda x, axis: x.mean(axis)),
    ([one, two], lambda x, y, axis: (x.mean(axis) + y.mean(axis)) / 2),
]:
    found = st.bootstrap([np.array(s) for s in samples], statistic, n_resamples=400, method="BCa", confidence_level=0.95,
                         vectorized=True, rng=rng)
    cases.append({
        "samples": samples,
        "replicates": found.bootstrap_distribution.tolist(),
        "interval": [found.confidence_interval.low, found.confidence_interval.high],
    })
    print("# bca", cases[-1]["interval"])
(folder / "statistics.json").write_text(json.dumps({"bca": cases}) + "\n")

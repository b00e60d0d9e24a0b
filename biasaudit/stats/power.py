"""Power and the smallest detectable difference, for the t-test over topics and for the normal.

Source: planning variance of CONTRACT §3, SE² = τ²_topic/G + ω²_prompt/P + within/(P·n) with df = G − 1, which holds
Miller 2024 (arXiv 2411.00640, §5) as its case of one prompt a topic.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats


def planning_se(
    *,
    topics: int,
    prompts: int,
    completions: int,
    within: float,
    topic_variance: float = 0.0,
    prompt_variance: float = 0.0,
) -> float:
    """Standard error of the headline difference that a design will have.

    Args:
        topics: G.
        prompts: P, over all topics.
        completions: n a prompt, in each arm.
        within: sampling variance of one completion's difference, for rates [p0·q0 + p1·q1]·(1 − ρ).
        topic_variance: τ², variance of the true difference between topics.
        prompt_variance: ω², variance of the true difference between prompts of one topic.
    """
    return math.sqrt(topic_variance / topics + prompt_variance / prompts + within / (prompts * completions))


def power(difference: float, se: float, *, df: float = math.inf, alpha: float = 0.05) -> float:
    """Probability that the two-sided test at level `alpha` rejects when the true difference is `difference`."""
    shift = abs(difference) / se
    if math.isinf(df):
        critical = float(stats.norm.ppf(1 - alpha / 2))
        return float(stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift))
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    # nct.cdf is NaN far in the tail: take sf of the near tail and let the far one vanish (METHODS §2.8).
    near, far = stats.nct.sf(critical, df, shift), stats.nct.cdf(-critical, df, shift)
    return float(min(1.0, np.nan_to_num(near, nan=1.0 if shift > critical else 0.0) + np.nan_to_num(far)))


def detectable(se: float, *, df: float = math.inf, alpha: float = 0.05, target: float = 0.8) -> float | None:
    """Smallest difference that is found with probability `target`; None when `se` is 0 or `df` below 1."""
    if se <= 0 or df < 1:
        return None
    high = 1.0
    while power(high, 1.0, df=df, alpha=alpha) < target:
        high *= 2
        if high > 1e6:
            return None
    return se * float(optimize.brentq(lambda d: power(d, 1.0, df=df, alpha=alpha) - target, 0.0, high, xtol=1e-9))

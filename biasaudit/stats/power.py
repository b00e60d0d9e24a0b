"""Power and the smallest detectable difference, for the t-test over topics and for the normal.

Source: planning variance of CONTRACT §3, SE² = τ²_topic/G + ω²_prompt/P + within/(P·n) with df = G − 1, which holds
Miller 2024 (arXiv 2411.00640, §5) as its case of one prompt a topic.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from biasaudit.stats.interval import t_value, z_value

BISECTIONS = 40


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
        critical = z_value(1 - alpha)
        return float(special.ndtr(shift - critical) + special.ndtr(-critical - shift))
    critical = t_value(1 - alpha, df)
    near, far = 1 - special.nctdtr(df, shift, critical), special.nctdtr(df, shift, -critical)
    # The noncentral t is NaN far in its tails, where the near one is 1 and the far one 0.
    return float(min(1.0, np.nan_to_num(near, nan=1.0 if shift > critical else 0.0) + np.nan_to_num(far)))


def detectable(se: float, *, df: float = math.inf, alpha: float = 0.05, target: float = 0.8) -> float | None:
    """Smallest difference that is found with probability `target`; None when `se` is 0 or `df` below 1."""
    if se <= 0 or df < 1:
        return None
    low, high = 0.0, 1.0
    while power(high, 1.0, df=df, alpha=alpha) < target:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, 1.0, df=df, alpha=alpha) < target else (low, middle)
    return se * high

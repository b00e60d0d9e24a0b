"""How much an effect varies between topics: Cochran's Q, I², τ² and a prediction interval.

Source: DerSimonian & Laird 1986 (method of moments); Higgins & Thompson 2002 (I²); Higgins, Thompson & Spiegelhalter
2009 (prediction interval with t on G − 2). The prediction interval centres on the headline difference, not on the
inverse-variance mean, so that a report holds one number.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from biasaudit.results import Heterogeneity, Interval
from biasaudit.stats.interval import t_value

MIN_TOPICS = 5
"""Below this nothing is inferred about topics that were not asked: no POPULATION test, no prediction interval."""
SPLIT_SHARE = 0.25
"""Signs are split when more than this share of the prompts that moved went against the headline."""
LARGE_I_SQUARED = 0.5
ROUNDING = 1e-20
"""A variance below this share of the largest one is 0 that a mean's rounding moved (its error is of order 1e-32)."""


def heterogeneity(
    effects: npt.NDArray[np.float64], variances: npt.NDArray[np.float64], *, level: float = 0.95
) -> Heterogeneity | None:
    """Describe the spread of topic effects beyond what sampling explains.

    Args:
        effects: shape (G,), one difference a topic.
        variances: shape (G,), their sampling variances; all must be above 0.
        level: of the prediction interval.

    Returns:
        None for fewer than two topics or when a variance is 0 but for rounding, where Q does not exist.
    """
    topics = effects.size
    if topics < 2 or not bool(np.all(variances > ROUNDING * variances.max())):
        return None
    weights = 1 / variances
    pooled = float((weights * effects).sum() / weights.sum())
    q = float((weights * (effects - pooled) ** 2).sum())
    df = topics - 1
    spread = float(weights.sum() - (weights**2).sum() / weights.sum())
    tau_squared = max(0.0, (q - df) / spread)
    i_squared = max(0.0, (q - df) / q) if q > 0 else 0.0
    return Heterogeneity(
        q=q,
        df=df,
        p=float(special.chdtrc(df, q)),
        i_squared=i_squared,
        tau_squared=tau_squared,
        prediction=_prediction(effects, tau_squared, level),
    )


def _prediction(effects: npt.NDArray[np.float64], tau_squared: float, level: float) -> Interval | None:
    """Where the effect of one more topic like these would lie; None for fewer than `MIN_TOPICS`."""
    topics = effects.size
    if topics < MIN_TOPICS:
        return None
    centre = float(effects.mean())
    se_squared = float(effects.var(ddof=1)) / topics
    half = t_value(level, topics - 2) * math.sqrt(tau_squared + se_squared)
    return Interval(low=centre - half, high=centre + half, level=level, method=f"prediction-t{topics - 2}")


def signs_split(differences: npt.NDArray[np.float64], headline: float) -> bool:
    """Whether more than `SPLIT_SHARE` of the prompts that moved went against the headline difference.

    Args:
        differences: shape (P,), one difference a prompt.
        headline: the difference that the verdict speaks of.
    """
    moved = differences[differences != 0.0]
    against = int(np.count_nonzero(np.sign(moved) != np.sign(headline)))
    return bool(moved.size) and against > SPLIT_SHARE * moved.size

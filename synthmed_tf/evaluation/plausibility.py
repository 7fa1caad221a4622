"""How unusual a single synthetic tree is among real ones."""

import numpy as np

LEAST_UNUSUAL = 3.0
"""Standard deviations from the median that are not yet unusual, however alike a few real masks are."""


def atypicality(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """How unusual each figure of each synthetic row is, in units of the most atypical real row.

    The distance of a figure from the real median is divided by the largest that a real row has, or by three standard
    deviations of the real rows if that is more, or by three if all real rows are alike. Each figure has its own unit:
    one real mask that is very unusual in one of them would else excuse all synthetic masks in all.

    Args:
        real: `(n, figures)`, floating point, NaN where missing.
        synthetic: `(m, figures)`, alike.

    Returns:
        `(m, figures)`, 0 or more, 0 where missing: 1 is as unusual as the most atypical real row. The largest of a
        row's figures says how unusual the row is.
    """
    scores = np.zeros(synthetic.shape)
    for column, others, score in zip(real.T, synthetic.T, scores.T, strict=True):
        known = column[~np.isnan(column)]
        if known.size:
            middle, spread = np.median(known), known.std() if np.ptp(known) else 1.0
            unit = max(np.abs(known - middle).max(), LEAST_UNUSUAL * spread)
            score[:] = np.nan_to_num(np.abs(others - middle) / unit)
    return scores

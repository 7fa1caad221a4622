"""How many different images a generator can draw, by how often it draws two alike: the birthday paradox.

Among m pairs drawn evenly from N images, m (m - 1) / 2 N couples show the same image (Arora, Risteski, Zhang 2018,
who look for any such couple; here they are counted). Images that are drawn unevenly count as so many drawn evenly.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from synthmed_tf.evaluation.groups import numbered
from synthmed_tf.evaluation.kid_fid import blocks

NEARNESS = 0.25
"""Two synthetic images are alike where they are nearer than so much of the distance of the two nearest patients."""


@dataclass(frozen=True)
class Repeats:
    """How often a synthetic set repeats itself.

    Attributes:
        couples: of synthetic rows that are alike.
        repeated: share of the synthetic rows that are alike with another one, in [0, 1].
        images: how many different images the generator can draw, at least 1; infinite where no rows are alike.
        low, high: its interval.
        radius: below which two rows are alike, in units of the features.
    """

    couples: int
    repeated: float
    images: float
    low: float
    high: float
    radius: float


def find_repeats(
    real: np.ndarray, synthetic: np.ndarray, patients: Sequence[Hashable], confidence: float = 0.95
) -> Repeats:
    """Estimates how many different images a generator can draw from how alike its images are.

    Alike are rows whose distance is below a quarter of the least one between real images of different patients. For
    the generator that draws what the patients were drawn from, two rows are below that least distance once in as many
    couples as there are couples of patients, and below its quarter hardly ever where there are many features.

    The interval is that of a Poisson count of couples, or that of the jackknife over rows, whichever is wider: the
    first holds where couples are rare, the second where some images come up much oftener than others.

    Args:
        real: `(n, d)`, from `distribution.standardize`.
        synthetic: `(m, d)`, from there, m at least 2.
        patients: n labels, two different ones or more: whose each real row is.
        confidence: of the interval, in (0, 1). Defaults to 0.95.

    Raises:
        ValueError: labels of another number, or fewer than two patients.
    """
    owners = numbered(patients, len(real))
    if owners.max(initial=0) < 1:
        raise ValueError(f"Expected two patients or more. Received: {len(owners)} labels of 1 patients")
    radius = NEARNESS * cdist(real, real)[owners[:, None] != owners].min()
    m = len(synthetic)
    alike = np.concatenate([(cdist(synthetic[part], synthetic) <= radius).sum(axis=1) - 1 for part in blocks(m, m)])
    couples, possible = int(alike.sum()) // 2, m * (m - 1) // 2
    low, high = _couples_interval(couples, alike, confidence)
    with np.errstate(divide="ignore"):
        images, fewest, most = np.maximum(1.0, possible / np.array([couples, high, low], np.float64))
    return Repeats(couples, float(np.mean(alike > 0)), float(images), float(fewest), float(most), float(radius))


def _couples_interval(couples: int, alike: np.ndarray, confidence: float) -> tuple[float, float]:
    """The wider interval of the number of couples. A row has `alike` others; their mean is twice the couples by m."""
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * couples) / 2 if couples else 0.0
    high = stats.chi2.ppf(1 - tail, 2 * couples + 2) / 2
    margin = stats.norm.ppf(1 - tail) * alike.std() * np.sqrt(len(alike))
    return max(0.0, min(low, couples - margin)), max(high, couples + margin)

"""Is a synthetic set nearer to its training images than to others: DCR, NNDR, shares and C_T.

All metrics come from distances between images; which distance is the caller's choice (`vector_distances` for feature
vectors). Images that the generator was trained on are called train, those of other patients holdout.
"""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from synthmed_tf.evaluation.privacy_results import Closeness

FEWEST_FOR_CELLS = 100
"""Holdout images below which C_T is taken over one cell: cells of fewer than about 20 images tell nothing."""

_FEWEST_IN_CELL = 20


def vector_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean distances `(n, m)`, float64, between feature vectors `(n, features)` and `(m, features)`."""
    return cdist(one, other)


def closest(distances: np.ndarray) -> np.ndarray:
    """DCR: the distance `(n,)` from each synthetic image to the closest record.

    Args:
        distances: `(n, records)`, not negative, at least one record.
    """
    return _checked(distances, records=1).min(axis=1)


def nearest_ratio(distances: np.ndarray) -> np.ndarray:
    """NNDR: the least distance over the second least, `(n,)` in [0, 1]; near 0 an image is close to one record alone.

    Args:
        distances: `(n, records)`, not negative, at least two records.

    Returns:
        1 where both distances are 0.
    """
    first, second = np.partition(_checked(distances, records=2), 1, axis=1)[:, :2].T
    return np.divide(first, second, out=np.ones(len(first)), where=second > 0)


def share_nearer(to_train: np.ndarray, to_holdout: np.ndarray) -> float:
    """The share of synthetic images whose closest record is in train; equal distances count one half.

    With t and h exchangeable records it is t / (t + h) on average, not one half: 0.714 for 20 and 8.

    Args:
        to_train, to_holdout: distances `(n, t)` and `(n, h)`.
    """
    train, holdout = closest(to_train), closest(to_holdout)
    return float(np.mean((train < holdout) + 0.5 * (train == holdout)))


def compare(
    distances: np.ndarray,
    in_train: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
    subsamples: int = 20,
    permutations: int = 200,
) -> Closeness:
    """DCR, NNDR and the share nearer to train, at equal numbers of train and holdout images.

    Whole patients of the larger set are chosen until there are as many images as in the smaller one (of the last
    patient only as many as are missing); each metric is the mean over such subsamples. The null of the share permutes
    which patients are train, as many as there were, with the synthetic images fixed.

    Args:
        distances: `(n, records)`: from each synthetic image to each real one.
        in_train: `(records,)`, bool: whether the generator was trained on it; at least two of both kinds.
        patients: `(records,)`: whose image it is. A patient is wholly in train or wholly in holdout.
        rng: chooses patients and images.
        subsamples: 1 or more.
        permutations: of the null, 1 or more.

    Raises:
        ValueError: lengths differ, a patient is in both sets, or a set has fewer than two images.
    """
    in_train, patients = np.asarray(in_train, bool), np.asarray(patients)
    if not np.shape(distances)[1:] == in_train.shape == patients.shape:
        received = f"{np.shape(distances)}, {in_train.shape} and {patients.shape}"
        raise ValueError(f"Expected distances (n, records) and two vectors of as many records. Received: {received}")
    names, owner = np.unique(patients, return_inverse=True)
    trained = np.bincount(owner[in_train], minlength=len(names)) > 0
    if not np.array_equal(trained[owner], in_train):
        raise ValueError(
            f"Patients must not be in both sets. Received: {set(names[owner[trained[owner] & ~in_train]])}"
        )
    if min(in_train.sum(), (~in_train).sum()) < 2:
        raise ValueError(f"Expected two images in each set. Received: {in_train.sum()} and {(~in_train).sum()}")
    metrics = np.mean([_metrics(distances, *_equal_sets(in_train, owner, rng)) for _ in range(subsamples)], axis=0)
    null = [
        _mean_share(distances, rng.permutation(trained)[owner], owner, rng, subsamples) for _ in range(permutations)
    ]
    p = (1 + np.count_nonzero(np.array(null) >= metrics[-1] - 1e-12)) / (1 + permutations)
    values = map(float, (*metrics, *np.quantile(null, (0.025, 0.975)), p))
    return Closeness(**dict(zip(Closeness.model_fields, values, strict=True)))


def copying_z(synthetic: np.ndarray, holdout: np.ndarray) -> float:
    """The data-copying test of Meehan, Chaudhuri, Dasgupta (2020) in one cell.

    U counts the pairs in which the synthetic image is further from train than the holdout image (equal ones by
    half); Z = (U - nm / 2 + 1 / 2) / sqrt(nm (n + m + 1) / 12). Far below 0 the set copies, far above 0 it misses
    train. Z takes all images for independent; of patients with several images one should be given each.

    Args:
        synthetic: `(m,)`: distances to the closest train image.
        holdout: `(n,)`: the same of holdout images.

    Returns:
        About a standard normal number where both come from one distribution.
    """
    m, n = len(synthetic), len(holdout)
    if not m or not n:
        raise ValueError(f"The test needs images of both kinds. Received: {m} synthetic and {n} holdout distances")
    above = rankdata(np.concatenate([synthetic, holdout]))[:m].sum() - m * (m + 1) / 2
    return float((above - n * m / 2 + 0.5) / np.sqrt(n * m * (n + m + 1) / 12))


def copying_score(
    synthetic: np.ndarray, holdout: np.ndarray, synthetic_cells: np.ndarray, holdout_cells: np.ndarray
) -> float:
    """C_T: the mean of `copying_z` over cells of the space, weighted by the holdout images in each.

    One cell takes all where there are fewer than 100 holdout images; else cells with fewer than 20 images of either
    kind are left out.

    Args:
        synthetic, holdout: as in `copying_z`.
        synthetic_cells, holdout_cells: of their shapes: the cell of each, for instance by k-means of train.

    Raises:
        ValueError: no cell has enough images.
    """
    if len(holdout) < FEWEST_FOR_CELLS:
        return copying_z(synthetic, holdout)
    parts = [(synthetic[synthetic_cells == cell], holdout[holdout_cells == cell]) for cell in np.unique(holdout_cells)]
    parts = [part for part in parts if min(map(len, part)) >= _FEWEST_IN_CELL]
    if not parts:
        raise ValueError(f"Expected a cell with {_FEWEST_IN_CELL} synthetic and holdout images. Received: none")
    return float(np.average([copying_z(*part) for part in parts], weights=[len(part[1]) for part in parts]))


def _metrics(distances: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> list[float]:
    to_train, to_holdout = distances[:, train], distances[:, holdout]
    medians = [np.median(metric(part)) for metric in (closest, nearest_ratio) for part in (to_train, to_holdout)]
    return [*medians, share_nearer(to_train, to_holdout)]


def _mean_share(
    distances: np.ndarray, in_train: np.ndarray, owner: np.ndarray, rng: np.random.Generator, subsamples: int
) -> float:
    sets = (_equal_sets(in_train, owner, rng) for _ in range(subsamples))
    return float(np.mean([share_nearer(distances[:, train], distances[:, holdout]) for train, holdout in sets]))


def _equal_sets(in_train: np.ndarray, owner: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of train and of holdout images, equally many, by whole patients as far as that goes."""
    shuffled = rng.permutation(len(owner))
    turn = rng.permutation(owner.max() + 1)[owner]
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    train, holdout = order[in_train[order]], order[~in_train[order]]
    size = min(len(train), len(holdout))
    return train[:size], holdout[:size]


def _checked(distances: np.ndarray, records: int) -> np.ndarray:
    distances = np.asarray(distances, np.float64)
    if distances.ndim != 2 or not len(distances) or distances.shape[1] < records:
        raise ValueError(f"Expected distances (n, records), records >= {records}. Received: shape={distances.shape}")
    if not (distances >= 0).all():
        raise ValueError("Distances must be numbers of 0 or more. Received: a NaN or a negative one")
    return distances

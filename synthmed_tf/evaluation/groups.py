"""Rows that belong together, such as the photographs of one patient."""

from collections.abc import Hashable, Sequence

import numpy as np


def numbered(groups: Sequence[Hashable] | None, count: int) -> np.ndarray:
    """`(count,)`, int: the number of each row's group, from 0 in the order of their first rows.

    Args:
        groups: a label for each row; None makes each row a group.
        count: rows.

    Raises:
        ValueError: labels of another number.
    """
    if groups is None:
        return np.arange(count)
    if len(groups) != count:
        raise ValueError(f"Expected a group for each of {count} rows. Received: {len(groups)}")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], int)

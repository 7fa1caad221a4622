"""The measurements behind the data doctor's thresholds: right and swapped pairs, and images that differ.

python benchmarks/data_doctor.py --data ../shared/data
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from synthmed_tf.data import alignment
from synthmed_tf.data.doctor import duplicates
from synthmed_tf.data.doctor.photographs import reduce_square
from synthmed_tf.data.phantom import generate_phantoms
from synthmed_tf.data.preprocessing import derive_fov, square_around
from synthmed_tf.images import read_image, read_mask

SETS = {
    "CHASE_DB1, first observer": ("chase_db1", "images/*.jpg", "labels1/{}_1stHO.png"),
    "CHASE_DB1, second observer": ("chase_db1", "images/*.jpg", "labels2/{}_2ndHO.png"),
    "HRF": ("hrf", "images/*.jpg", "manual1/{}.tif"),
}
WHITE = np.uint8(255)
PHANTOMS = 64
SMALL = 64


def main() -> None:
    """Prints a few lines for each set: contrast of right and swapped pairs, similarity of different images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds chase_db1/ and hrf/")
    options = parser.parse_args()
    for name, (folder, photographs, mask) in SETS.items():
        found = sorted((options.data / folder).glob(photographs))
        masks = [options.data / folder / mask.format(path.stem) for path in found]
        pairs = [read(path, other) for path, other in zip(found, masks, strict=True) if other.exists()]
        report(name, pairs)
        report(f"{name}, reduced to {SMALL} pixels", [tuple(smaller(array) for array in pair) for pair in pairs])
    generated = generate_phantoms(alignment.SIDE, PHANTOMS, seed=0)
    report("phantoms", [(s.image[..., 1], (s.mask[..., 0] >= 128) * WHITE, s.fov[..., 0]) for s in generated])


def read(photograph: Path, mask: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Green channel, coverage and field of view of the square around the field, `(SIDE, SIDE)`, uint8."""
    pixels = read_image(photograph)
    field = derive_fov(pixels)
    arrays = (np.ascontiguousarray(pixels[..., 1]), read_mask(mask) * WHITE, field * WHITE)
    return tuple(reduce_square(array, square_around(field)) for array in arrays)


def smaller(array: np.ndarray) -> np.ndarray:
    """An image of 64 pixels as the doctor compares it."""
    image = Image.fromarray(array).resize((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(image.resize((alignment.SIDE, alignment.SIDE), Image.Resampling.BOX))


def report(name: str, pairs: list) -> None:
    """Prints what was measured on pairs as `read` gives them."""
    fields = [field >= 128 for *_, field in pairs]
    greens = [alignment.detail(pair[0], field) for pair, field in zip(pairs, fields, strict=True)]
    contrast = np.array(
        [
            [alignment.contrast(green, pair[1], field) for pair in pairs]
            for green, field in zip(greens, fields, strict=True)
        ]
    )
    photographs, masks = (
        [duplicates.fingerprint(pair[i], field) for pair, field in zip(pairs, fields, strict=True)] for i in (0, 1)
    )
    belongs = -np.tensordot(np.stack(photographs), np.stack(masks), ((1, 2), (1, 2)))
    print(f"{name}: {len(pairs)} right pairs, {len(pairs) * (len(pairs) - 1)} swapped ones")
    for quantity, values in (("contrast", contrast), ("likeness of photograph and mask", belongs)):
        own, others = np.diag(values), values[~np.eye(len(pairs), dtype=bool)]
        print(
            f"  {quantity}: right {own.min():.2f} to {own.max():.2f}, swapped {others.min():.2f} to {others.max():.2f}"
        )
    print(f"  different images: photographs {likest(photographs):.2f}, masks {likest(masks):.2f} at most")


def likest(prints: list[np.ndarray]) -> float:
    """The lowest threshold, in hundredths, at which no two different images are called the same."""
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if duplicates.same_images(prints, middle / 100) else (low, middle)
    return high / 100


if __name__ == "__main__":
    main()

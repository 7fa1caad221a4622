"""Makes the folder that the model `retina` is trained on: CHASE_DB1 and healthy eyes of HRF, at one angle of view.

    python benchmarks/retina_data.py --chase CHASE_DB1 --hrf HRF --out DIR
    synthmed train --preset recommended --data DIR --patient-regex '^([ch]\\d+)' --patients c01-c10,h01-h10 --run RUN

CHASE_DB1 has 30 degrees and its discs are near the middle; HRF has 45 degrees, cut at the top and the bottom, and its
discs are at a side. So of an HRF photograph a circle of 30 degrees is taken, as near to the disc as the field allows:
its fields of view are full circles then, as those of CHASE_DB1 are. Children 11 to 14 (c11 to c14) and eyes 14 and 15
(h14, h15; 11 to 13 have no masks) are for evaluation. Images and masks are copied as they are; circles are in `fov/`.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from scipy import ndimage

from synthmed_tf import images
from synthmed_tf.data.preprocessing import derive_fov
from synthmed_tf.data.sources import Pair, find_pairs

HRF_DEGREES, DEGREES = 45, 30


def main() -> None:
    """Writes images, masks and fields of view."""
    options = _options()
    for folder in ("images", "masks", "fov"):
        (options.out / folder).mkdir(parents=True)
    for pair in find_pairs(options.chase).pairs:
        copy(pair, f"c{pair.patient}{pair.photograph.stem[-1]}", options.out)
    for pair in find_pairs(options.hrf).pairs:
        if pair.patient.endswith("_h") and pair.mask is not None:
            name = f"h{pair.patient[:2]}"
            copy(pair, name, options.out)
            images.write_png(options.out / "fov" / f"{name}.png", circle_at_disc(images.read_image(pair.photograph)))


def copy(pair: Pair, name: str, out: Path) -> None:
    """Copies what a pair has under another name."""
    parts = {"images": pair.photograph, "masks": pair.mask, "fov": pair.fov}
    for folder, file in parts.items():
        if file is not None:
            shutil.copyfile(file, out / folder / f"{name}{file.suffix}")


def circle_at_disc(photograph: np.ndarray) -> np.ndarray:
    """A circle of 30 degrees in a photograph of 45, moved sideways to the disc: `(height, width, 1)`, 0 or 255.

    The disc is taken to be where green is brightest, averaged over 240 pixels.
    """
    columns = np.flatnonzero(derive_fov(photograph).any(axis=0))
    middle, radius = (columns[0] + columns[-1]) / 2, (columns[-1] - columns[0] + 1) / 2
    bright = ndimage.uniform_filter(photograph[::8, ::8, 1].astype(np.float32), 30)
    disc = 8 * np.unravel_index(bright.argmax(), bright.shape)[1]
    smaller = radius * DEGREES / HRF_DEGREES
    room = radius - smaller
    x = middle + np.clip(disc - middle, -room, room)
    rows, columns = np.ogrid[: photograph.shape[0], : photograph.shape[1]]
    inside = (rows - photograph.shape[0] / 2) ** 2 + (columns - x) ** 2 <= smaller**2
    return np.where(inside, np.uint8(255), np.uint8(0))[..., None]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chase", type=Path, required=True)
    parser.add_argument("--hrf", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()

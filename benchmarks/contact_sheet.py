"""The images of the README and of docs/results.md: pairs from an artifact, and masks with several styles each.

python benchmarks/contact_sheet.py --model MODEL --seed 1 --out docs/images
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from synthmed_tf import images
from synthmed_tf.exporting import artifact

COLUMNS, PAIRS, MASKS, STYLES = 4, 8, 4, 3
AT_ONCE = 4
DETAIL = 256


def main() -> None:
    """Writes pairs.jpg (masks above their images), styles.jpg (a mask a column, a style a row) and detail.png (1:1)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="an artifact with a SavedModel")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    opened = artifact.open_artifact(options.model, "savedmodel")
    options.out.mkdir(parents=True, exist_ok=True)
    masks, pixels = first_pairs(opened, options.seed)
    save(options.out / "pairs.jpg", pairs(masks, pixels))
    save(options.out / "styles.jpg", styles(opened, masks[:MASKS], options.seed))
    images.write_png(options.out / "detail.png", detail(masks[0], pixels[0]))


def first_pairs(opened: artifact.SavedModelArtifact, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first 8 pairs of a seed, unselected: masks `(8, size, size, 1)` and images `(8, size, size, 3)`, uint8."""
    parts = [np.arange(start, start + AT_ONCE) for start in range(0, PAIRS, AT_ONCE)]
    masks, pixels = zip(*(opened.pixels(np.full(len(part), seed), part) for part in parts), strict=True)
    return np.concatenate(masks), np.concatenate(pixels)


def pairs(masks: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Masks above images, four per row."""
    rows = [shown[i : i + COLUMNS] for i in range(0, PAIRS, COLUMNS) for shown in (_rgb(masks), pixels)]
    return images.grid(np.concatenate(rows), COLUMNS)


def styles(opened: artifact.SavedModelArtifact, masks: np.ndarray, seed: int) -> np.ndarray:
    """Masks, each with 3 styles below it; all images of a row have one style."""
    count = len(masks)
    rows = [_rgb(masks)]
    rows += [opened.translate(masks, np.full(count, seed), np.full(count, 1000 + style)) for style in range(STYLES)]
    return images.grid(np.concatenate(rows), count)


def detail(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The middle of a pair, pixel for pixel: mask and image side by side."""
    first = (len(mask) - DETAIL) // 2
    middle = slice(first, first + DETAIL)
    return np.concatenate([_rgb(mask[None])[0][middle, middle], image[middle, middle]], axis=1)


def save(file: Path, pixels: np.ndarray) -> None:
    """Writes a JPEG file."""
    Image.fromarray(pixels).save(file, quality=88)


def _rgb(masks: np.ndarray) -> np.ndarray:
    return np.repeat(masks, 3, axis=-1)


if __name__ == "__main__":
    main()

"""The images of the README and of docs/results.md: pairs from an artifact, and masks with several styles each.

python benchmarks/contact_sheet.py --model MODEL --seed 1 --out docs/images
"""

import argparse
from pathlib import Path

import numpy as np

from synthmed_tf import images
from synthmed_tf.exporting import artifact

PAIRS, MASKS, STYLES = 16, 8, 3


def main() -> None:
    """Writes pairs.png (masks above their images, two rows) and styles.png (one mask per column, one style per row)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="an artifact with a SavedModel")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    opened = artifact.open_artifact(options.model, "savedmodel")
    options.out.mkdir(parents=True, exist_ok=True)
    images.write_png(options.out / "pairs.png", pairs(opened, options.seed))
    images.write_png(options.out / "styles.png", styles(opened, options.seed))


def pairs(opened: artifact.SavedModelArtifact, seed: int) -> np.ndarray:
    """The first 16 pairs of a seed, unselected: masks above images, eight per row."""
    masks, pixels = opened.pixels(np.full(PAIRS, seed), np.arange(PAIRS))
    columns = PAIRS // 2
    rows = [shown[i : i + columns] for i in (0, columns) for shown in (_rgb(masks), pixels)]
    return images.grid(np.concatenate(rows), columns)


def styles(opened: artifact.SavedModelArtifact, seed: int) -> np.ndarray:
    """The first 8 masks of a seed, each with 3 styles below it; all images of a row have one style."""
    masks, _ = opened.pixels(np.full(MASKS, seed), np.arange(MASKS))
    rows = [_rgb(masks)]
    rows += [opened.translate(masks, np.full(MASKS, seed), np.full(MASKS, 1000 + style)) for style in range(STYLES)]
    return images.grid(np.concatenate(rows), MASKS)


def _rgb(masks: np.ndarray) -> np.ndarray:
    return np.repeat(masks, 3, axis=-1)


if __name__ == "__main__":
    main()

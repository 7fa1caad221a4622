"""Generates fluorescence images of cells with masks of their nuclei: a set that is no retina.

    python benchmarks/nuclei.py --out NUCLEI --wells 24 --fields 5 --size 128

Each well has its own density, nuclear size and stain; images are named `well01_f1.png`, so that the pattern
`(well[0-9]+)` gives the wells in place of patients. Blue shows nuclei, green fibres around them, red specks.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from synthmed_tf.images import write_png

_WAVES = np.arange(2, 6)


def generate(well: int, field: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One image `(size, size, 3)`, uint8, and its mask `(size, size)`, bool; a function of the arguments alone."""
    of_well, rng = np.random.default_rng((seed, well)), np.random.default_rng((seed, well, field + 1))
    radius = size * of_well.uniform(0.062, 0.088)
    count = rng.poisson(of_well.uniform(14, 26))
    gains = of_well.uniform((0.8, 0.9, 0.9), (1.4, 1.6, 1.3))
    labels, light = _nuclei(count, radius, size, rng)
    mask = labels > 0
    away = ndimage.distance_transform_edt(~mask)
    body = np.exp(-away / (1.2 * radius)) * (away < 3 * radius)
    fibres = _noise(rng, size, 0.008 * size) * 0.6 + _noise(rng, size, 0.02 * size) * 0.5
    specks = np.clip(_noise(rng, size, 0.009 * size) - 1.3, 0, None)
    planes = [
        gains[0] * (60 * specks * body * (1 - 0.7 * mask) + 14 * body),
        gains[1] * body * (1 - 0.55 * mask) * np.clip(95 + 55 * fibres, 0, None),
        gains[2] * light * np.clip(170 + 26 * _noise(rng, size, 0.014 * size), 0, None),
    ]
    blurred = np.stack([ndimage.gaussian_filter(plane, 0.006 * size) for plane in planes], axis=-1)
    counts = rng.poisson((blurred + 5) * 1.5) / 1.5
    return np.clip(np.rint(counts), 0, 255).astype(np.uint8), mask


def _nuclei(count: int, radius: float, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The number of the nucleus at each pixel, from 1, and how bright it is there."""
    labels, light = np.zeros((size, size), int), np.zeros((size, size))
    rows, columns = np.mgrid[:size, :size]
    for number in range(1, count + 1):
        row, column = rng.uniform(-0.03 * size, 1.03 * size, 2)
        long, turn = rng.uniform(1.0, 1.45), rng.uniform(0, np.pi)
        scale = radius * rng.normal(1, 0.13)
        down, right = rows - row, columns - column
        along, across = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
        angle = np.arctan2(across, along)
        waves, phases = rng.normal(0, 0.028, len(_WAVES)), rng.uniform(0, 2 * np.pi, len(_WAVES))
        ripple = 1 + np.sum(waves * np.cos(_WAVES * angle[..., None] + phases), axis=-1)
        away = np.hypot(along / long**0.5, across * long**0.5) / (scale * ripple)
        inside = away <= 1
        if np.mean(labels[inside] > 0) > 0.08 or inside.sum() < 0.3 * np.pi * scale**2:
            continue
        free = inside & (labels == 0)
        labels[free] = number
        light[free] = (rng.uniform(0.55, 1.0) * (1 - 0.35 * away**2))[free]
    return labels, light


def _noise(rng: np.random.Generator, size: int, blur: float) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.standard_normal((size, size)), blur, mode="wrap")
    return smooth / smooth.std()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--wells", type=int, default=24)
    parser.add_argument("--fields", type=int, default=5)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for well in range(1, options.wells + 1):
        for field in range(1, options.fields + 1):
            name = f"well{well:02d}_f{field}.png"
            photograph, mask = generate(well, field, options.size, options.seed)
            write_png(options.out / "images" / name, photograph)
            write_png(options.out / "masks" / name, mask)
    print(f"{options.wells * options.fields} pairs of {options.size}x{options.size} pixels in {options.out}")


if __name__ == "__main__":
    main()

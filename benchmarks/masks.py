"""Stage-I's masks compared with real ones: connectedness, diversity, and distance from the training masks.

    python benchmarks/masks.py --run RUN --data CHASE_DB1 --train 01-10 --test 11-14 -n 1000 --geometry 48

The masks are those that an export would have, at the size of the run. `--geometry` measures as many of each kind as
`synthmed evaluate` does (calibre, ends, loops and more; a second or more a mask), `--latest` takes the latest step
of each stage, and `--sheet FILE` writes rows of real and generated masks.

Masks are compared by the correlation of their blurred forms inside the field of view (Gaussian, 1/64 of the side), the
best of the eight flips and quarter turns. For each kind of mask: the nearest training mask, and the nearest of its own
kind. Real masks of unseen patients are the reference: a copy would score far above them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from exchange import real_pairs
from scipy import ndimage

from synthmed_tf import images
from synthmed_tf.evaluation import vessel_tree
from synthmed_tf.exporting import exporter
from synthmed_tf.models import latents
from synthmed_tf.training import snapshot
from synthmed_tf.training.calibration import extent

ALL_NEIGHBOURS = np.ones((3, 3))


def main() -> None:
    """Prints one JSON object."""
    options = _options()
    taken, refiner = exporter.load_stage1(options.run, options.latest)
    size = taken.config.size
    train, test = (real_masks(options, patients, size) for patients in (options.train, options.test))
    generated, fog = generate(taken, refiner, options)
    kinds = {"training": train, "unseen": test, "synthetic": generated}
    codes = {name: blurred(masks) for name, masks in kinds.items()}
    report = {name: shape(masks) for name, masks in kinds.items()}
    for name, code in codes.items():
        if name != "training":
            report[name]["nearest training mask"] = quartiles(nearest(code, codes["training"], same=False))
        report[name]["nearest of its kind"] = quartiles(nearest(code, code, same=True))
    for name, masks in kinds.items() if options.geometry else ():
        report[name]["geometry"] = medians(masks[: options.geometry], taken.fov[..., 0] >= 128)
    report["synthetic"]["grey share before the threshold"] = fog
    report["steps"] = {part.stage: part.step for part in (taken, refiner) if part is not None}
    report["threshold"] = round(taken.threshold, 3) if refiner is None else refiner.thresholds._asdict()
    if options.sheet:
        rows = np.concatenate([train[:8], generated[:16]])[..., None]
        images.write_png(options.sheet, images.grid(np.where(rows, 255, 0).astype(np.uint8), 8))
    print(json.dumps(report, indent=2))


def generate(
    taken: snapshot.Snapshot, refiner: snapshot.Snapshot | None, options: argparse.Namespace
) -> tuple[np.ndarray, float]:
    """Masks `(count, size, size)` bool, and the share of the field where coverage lies between a quarter and three."""
    model = tf.function(exporter.make_mask_generator(taken, options.run, refiner), reduce_retracing=True)
    count = options.count
    inside = taken.fov[..., 0] >= 128
    masks, grey = [], []
    for start in range(0, count, 20):
        index = tf.range(start, min(count, start + 20), dtype=tf.int64)
        stage = taken.config.stage1
        latent = latents.sample(tf.ones_like(index), index, stage.latent_dim, latents.LATENT, stage.latent)
        coverage_tanh = model(latent).numpy()[..., 0]
        masks.append((coverage_tanh > taken.threshold) & inside)
        grey.append(np.mean(np.abs(coverage_tanh[:, inside]) < 0.5))
    return np.concatenate(masks), round(float(np.mean(grey)), 4)


def medians(masks: np.ndarray, fov: np.ndarray) -> dict[str, float]:
    """The median of each metric of the vessel trees."""
    measured = [vessel_tree.measure(mask, fov) for mask in masks]
    return {
        name: round(float(np.nanmedian([getattr(each, name) for each in measured])), 3)
        for name in vessel_tree.TreeMetrics.__annotations__
    }


def shape(masks: np.ndarray) -> dict[str, float]:
    """Vessel share and width, and means per mask: pieces of 5 pixels or more, and the largest piece's share."""
    found, largest = extent(masks), []
    for mask in masks:
        labels, _ = ndimage.label(mask, ALL_NEIGHBOURS)
        sizes = np.bincount(labels.ravel())[1:]
        largest.append(sizes.max(initial=0) / max(1, sizes.sum()))
    return {
        "masks": len(masks),
        "vessel share": round(float(np.mean(masks)), 4),
        "width": round(found.width, 2),
        "pieces": round(found.pieces, 2),
        "largest piece": round(float(np.mean(largest)), 3),
    }


def blurred(masks: np.ndarray) -> np.ndarray:
    """Standardized vectors `(8, masks, pixels)` float32: each mask under each flip and quarter turn."""
    soft = ndimage.gaussian_filter(masks.astype(np.float32), (0, masks.shape[1] / 64, masks.shape[1] / 64))
    turned = [np.rot90(flipped, k, axes=(1, 2)) for flipped in (soft, soft[:, :, ::-1]) for k in range(4)]
    vectors = np.stack([image.reshape(len(masks), -1) for image in turned])
    vectors -= vectors.mean(axis=2, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def nearest(codes: np.ndarray, others: np.ndarray, same: bool) -> np.ndarray:
    """The largest correlation of each mask with another, over all flips and turns; `same`: not with itself."""
    best = np.max([codes[0] @ turned.T for turned in others], axis=0)
    if same:
        np.fill_diagonal(best, -1.0)
    return best.max(axis=1)


def quartiles(values: np.ndarray) -> dict[str, float]:
    """Median, 95th percentile and largest value."""
    return {
        "median": round(float(np.median(values)), 3),
        "p95": round(float(np.quantile(values, 0.95)), 3),
        "largest": round(float(values.max()), 3),
    }


def real_masks(options: argparse.Namespace, patients: str, size: int) -> np.ndarray:
    """Two-valued masks `(n, size, size)` of some patients."""
    return real_pairs(options.data, patients, size, options.patient_regex)[..., 3] >= 128


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", required=True, help="folder of the real pairs")
    parser.add_argument("--patient-regex", help="as of synthmed train")
    parser.add_argument("--train", required=True, help="patients that were trained on, such as 01-10")
    parser.add_argument("--test", required=True, help="patients that were not, such as 11-14")
    parser.add_argument("-n", dest="count", type=int, default=1000)
    parser.add_argument("--geometry", type=int, default=0, metavar="N", help="measure N masks of each kind")
    parser.add_argument(
        "--latest", action="store_true", help="the latest step, not the best by the validation patients"
    )
    parser.add_argument("--sheet", type=Path, help="PNG file of real and generated masks")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Does the score that chooses a step agree with the eye? Images of increasing steps, and degraded ones.

    python benchmarks/step_choice.py --snapshots SNAPSHOTS --data CHASE_DB1 --test 11-14 --out docs/images/choosing.png

`SNAPSHOTS` holds snapshots named `<stage>-<step>` (copies of RUN/<stage>/snapshot). Stage-I's masks are compared with
the masks of patients that were not trained on, Stage-II's photographs of those masks with their photographs. Lower is
better. The image has a column for each step, Stage-I above Stage-II.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy import ndimage

from synthmed_tf import images
from synthmed_tf.data import pipeline
from synthmed_tf.data.preprocessing import load_samples
from synthmed_tf.data.sources import find_pairs, parse_patients
from synthmed_tf.metrics.sliced_wasserstein import mask_distance, patch_distance
from synthmed_tf.models import factory, latents
from synthmed_tf.training import snapshot
from synthmed_tf.training.stages import condition

SEEDS = range(5)
SHOWN = 4
BATCH = 16


def main() -> None:
    """Prints one JSON object, and writes the image."""
    options = _options()
    folders = {stage: steps(options.snapshots, stage) for stage in ("stage1", "stage2")}
    size = snapshot.load(next(iter(folders["stage1"].values()))).config.size
    pairs = real_pairs(options.data, options.test, size)
    others = real_pairs(options.data, options.train, size)
    real = {"stage1": two_valued(pairs[..., pipeline.COVERAGE]), "stage2": pairs[..., pipeline.IMAGE]}
    known = {"stage1": two_valued(others[..., pipeline.COVERAGE]), "stage2": others[..., pipeline.IMAGE]}
    report, rows = {}, []
    for stage, found in folders.items():
        generated = {
            step: generate_masks(folder, options.count)
            if stage == "stage1"
            else generate_images(folder, pairs, options.count)
            for step, folder in found.items()
        }
        sets = {f"step {step}": shown for step, shown in generated.items()}
        sets["one image of the last step again and again"] = np.repeat(
            list(generated.values())[-1][:1], options.count, 0
        )
        sets |= {"training images": known[stage], **spoiled(stage, known[stage])}
        report[stage] = {name: metrics(stage, real[stage], shown) for name, shown in sets.items()}
        rows += sheet(list(generated.values()))
    images.write_png(options.out, images.grid(np.stack(rows), columns=max(map(len, folders.values()))))
    print(json.dumps(report, indent=2))


def steps(folder: Path, stage: str) -> dict[int, Path]:
    """The snapshots of a stage by their step, in order."""
    found = {int(path.name.rsplit("-", 1)[1]): path for path in folder.glob(f"{stage}-*")}
    return dict(sorted(found.items()))


def metrics(stage: str, real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """The stage's distance for the first seed, its standard deviation over 5 seeds, and that of the patches alone."""
    measure = mask_distance if stage == "stage1" else patch_distance
    values = [measure(real, generated, seed) for seed in SEEDS]
    found = {"distance": values[0], "SD over seeds": np.std(values, ddof=1), "patches": patch_distance(real, generated)}
    return {name: round(float(value), 4) for name, value in found.items()}


def generate_masks(folder: Path, count: int) -> np.ndarray:
    """Masks `(count, size, size, 1)` uint8 in {0, 255}, of the first indices of seed 1."""
    taken = snapshot.load(folder)
    model = factory.mask_generator(taken.config)
    snapshot.restore(model, taken, folder)
    stage = taken.config.stage1
    masks = []
    for index in np.array_split(np.arange(count), -(-count // BATCH)):
        latent = latents.sample(tf.ones_like(index), tf.constant(index), stage.latent_dim, latents.LATENT, stage.latent)
        masks.append((model(latent).numpy() > taken.threshold) & (taken.fov >= 128))
    return np.concatenate(masks) * np.uint8(255)


def generate_images(folder: Path, pairs: np.ndarray, count: int) -> np.ndarray:
    """Images `(about count, size, size, 3)` uint8 of the pairs' masks, each in several styles of seed 1."""
    taken = snapshot.load(folder)
    model = factory.image_generator(taken.config)
    snapshot.restore(model, taken, folder)
    stage = taken.config.stage2
    masks, fov = (tf.constant(pairs[..., part] / 255, tf.float32) for part in (pipeline.COVERAGE, pipeline.FOV))
    given = condition(masks, fov if stage.use_fov else None)
    generated = []
    for start in range(0, count if stage.style_dim else len(pairs), len(pairs)):
        index = tf.range(start, start + len(pairs), dtype=tf.int64)
        style = latents.sample(tf.ones_like(index), index, stage.style_dim, latents.STYLE) if stage.style_dim else None
        generated.append(np.round((model(given, style).numpy() + 1) * 127.5).astype(np.uint8))
    return np.concatenate(generated)


def spoiled(stage: str, shown: np.ndarray) -> dict[str, np.ndarray]:
    """Real images of other patients, each visibly degraded in one way."""
    rng = np.random.default_rng(0)
    sets = {"one image again and again": np.repeat(shown[:1], len(shown), axis=0)}
    if stage == "stage1":
        thick = np.stack([ndimage.grey_dilation(image, (3, 3, 1)) for image in shown])
        holes = rng.random((len(shown), *(side // 4 for side in shown.shape[1:3]), 1)) < 0.2
        dots = rng.random(shown.shape) < 0.01
        return sets | {
            "vessels 2 pixels thicker": thick,
            "a fifth of all 4 x 4 blocks missing": np.where(np.kron(holes, np.ones((1, 4, 4, 1))), 0, shown),
            "1 % of the pixels flipped": np.where(dots, 255 - shown, shown),
        }
    blurs = (ndimage.gaussian_filter(shown.astype(np.float32), (0, sigma, sigma, 0)) for sigma in (0.7, 1.5))
    noisy = (shown + rng.normal(0, deviation, shown.shape) for deviation in (5, 15))
    names = ("blurred by 0.7 pixels", "blurred by 1.5 pixels", "noise of 5 grey levels", "noise of 15 grey levels")
    sets |= dict(zip(names, map(to_uint8, (*blurs, *noisy)), strict=True))
    return sets | {"half the contrast": to_uint8(shown * 0.5 + shown.mean(axis=(1, 2), keepdims=True) * 0.5)}


def sheet(generated: list[np.ndarray]) -> list[np.ndarray]:
    """The first generated images of each step: a row an index, a column a step, in three channels."""
    return [np.broadcast_to(step[i], (*step[i].shape[:2], 3)) for i in range(SHOWN) for step in generated]


def two_valued(coverage_u8: np.ndarray) -> np.ndarray:
    """Masks, uint8 in {0, 255}."""
    return np.where(coverage_u8 >= 128, 255, 0).astype(np.uint8)


def to_uint8(shown: np.ndarray) -> np.ndarray:
    """Rounds and cuts to [0, 255]."""
    return np.round(shown).clip(0, 255).astype(np.uint8)


def real_pairs(folder: str, patients: str, size: int) -> np.ndarray:
    """`(n, size, size, 5)` uint8 of some patients, as `pipeline.stack_samples` lays them out."""
    source = find_pairs(folder)
    chosen = parse_patients(patients, source.patients)
    return pipeline.stack_samples(load_samples([pair for pair in source.pairs if pair.patient in chosen], size))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snapshots", type=Path, required=True)
    parser.add_argument("--data", required=True, help="folder of the real pairs")
    parser.add_argument("--train", default="01-10", help="patients whose images are spoiled")
    parser.add_argument("--test", default="11-14", help="patients whose images are compared with")
    parser.add_argument("-n", dest="count", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()

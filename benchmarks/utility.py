"""What synthetic pairs are worth: a U-Net trained on them, tried on real photographs of patients it has not seen.

    python benchmarks/utility.py --artifact MODEL --data CHASE_DB1 --train 01-10 --test 11-14 --other HRF --out FILE

Each arm trains the same U-Net for as many steps on: the real pairs; the artifact's pairs; Stage-II's photographs of
the real masks; real and synthetic pairs, half each. Figures are inside the field of view: F1 at 0.5 over all pixels,
area under the ROC curve, and Dice averaged over images. Finished runs are kept in FILE: the same
command goes on.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from synthmed_tf import artifact, augment, files
from synthmed_tf.data import pipeline
from synthmed_tf.data.reading import load_samples
from synthmed_tf.data.sources import find_pairs, parse_patients

ARMS = ("real", "synthetic", "stage2", "mixed")
RANGES = augment.Ranges(True, True, 30.0, 0.2, 0.1, 0.05)
COLOUR, BATCH, RATE = 0.2, 8, 1e-3


def main() -> None:
    """Trains and scores what is missing."""
    options = _options()
    real = _real_pairs(options.data, options.train, options.size)
    tests = {"patients": _real_pairs(options.data, options.test, options.size)}
    if options.other:
        tests["other camera"] = _real_pairs(options.other, None, options.size)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    for seed in range(options.seeds):
        for arm in options.arms.split(","):
            key = f"{arm}/{seed}"
            if key not in results:
                model = train(_arm(arm, real, options), seed, options.steps)
                results[key] = {name: score(model, pairs) for name, pairs in tests.items()}
                files.write_text(options.out, json.dumps(results, indent=2) + "\n")
            print(key, json.dumps(results[key]), flush=True)
    print(summary(results))


def train(pairs: np.ndarray, seed: int, steps: int) -> keras.Model:
    """A U-Net of 12 filters, trained with cross-entropy and Dice inside the field of view; the rate falls to 0."""
    keras.utils.set_random_seed(seed)
    model = unet(pairs.shape[1])
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps))
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(batch) -> tf.Tensor:
        target, fov = tf.round(batch["coverage"]), batch["fov"]
        with tf.GradientTape() as tape:
            logits = model(batch["photograph"], training=True)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
            probability = tf.sigmoid(logits) * fov
            overlap = 2 * tf.reduce_sum(probability * target) / tf.reduce_sum(probability + target * fov)
            loss = tf.reduce_sum(entropy * fov) / tf.reduce_sum(fov) + 1.0 - overlap
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for batch in pipeline.batches(pairs, BATCH, seed, RANGES, colour=COLOUR).take(steps):
        step(batch)
    return model


def unet(size: int, filters: int = 12, levels: int = 4) -> keras.Model:
    """Photograph in [-1, 1] to logits, both `(batch, size, size, ...)`."""

    def block(x, width):
        for _ in range(2):
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.95)(x))
        return x

    inputs = x = keras.layers.Input((size, size, 3))
    skips = []
    for level in range(levels):
        x = block(x, filters << level)
        skips.append(x)
        x = keras.layers.MaxPooling2D()(x)
    x = block(x, filters << levels)
    for level in reversed(range(levels)):
        x = keras.layers.Concatenate()([keras.layers.UpSampling2D()(x), skips[level]])
        x = block(x, filters << level)
    return keras.Model(inputs, keras.layers.Conv2D(1, 1)(x))


def score(model: keras.Model, pairs: np.ndarray) -> dict[str, float]:
    """Pooled F1 at 0.5, AUC, and Dice averaged over images, inside the field of view."""
    photographs = pairs[..., :3].astype(np.float32) * (pairs[..., 4:] >= 128) / 127.5 - 1.0
    logits = np.concatenate([model(photographs[i : i + 8], training=False).numpy() for i in range(0, len(pairs), 8)])
    inside, target = pairs[..., 4] >= 128, pairs[..., 3] >= 128
    found = logits[..., 0] > 0
    dice = [_dice(found[i][inside[i]], target[i][inside[i]]) for i in range(len(pairs))]
    auc = roc_auc_score(target[inside], logits[..., 0][inside])
    return {"f1": _dice(found[inside], target[inside]), "auc": float(auc), "dice": float(np.mean(dice))}


def summary(results: dict[str, dict]) -> str:
    """A line an arm and test set: mean and spread over seeds, and the share of the real arm's F1."""
    lines = []
    for test in next(iter(results.values())):
        reference = [r[test]["f1"] for key, r in results.items() if key.startswith("real/")]
        for arm in ARMS:
            rows = [r[test] for key, r in results.items() if key.startswith(f"{arm}/")]
            if rows:
                f1, auc, dice = (np.array([row[name] for row in rows]) for name in ("f1", "auc", "dice"))
                lines.append(
                    f"{test} | {arm} | {len(rows)} seeds | F1 {f1.mean():.3f} (SD {f1.std(ddof=len(f1) > 1):.3f}) | "
                    f"AUC {auc.mean():.3f} | Dice {dice.mean():.3f}"
                    + (f" | of real {f1.mean() / np.mean(reference):.3f}" if reference else "")
                )
    return "\n".join(lines)


def _arm(arm: str, real: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    if arm == "real":
        return real
    opened = artifact.open_artifact(options.artifact, "savedmodel")
    if arm == "stage2":
        return np.concatenate([_redrawn(opened, real, style) for style in range(options.pairs // len(real))])
    synthetic = _drawn(opened, options.pairs)
    if arm == "synthetic":
        return synthetic
    return np.concatenate([np.repeat(real, options.pairs // len(real), axis=0), synthetic])


def _drawn(opened: artifact.Artifact, count: int) -> np.ndarray:
    parts = []
    for start in range(0, count, 20):
        index = np.arange(start, min(count, start + 20), dtype=np.int64)
        masks, photographs = opened.pixels(np.full_like(index, 2), index)
        parts.append(np.concatenate([photographs, masks, _fov(photographs)], axis=-1))
    return np.concatenate(parts)


def _redrawn(opened: artifact.SavedModelArtifact, real: np.ndarray, style: int) -> np.ndarray:
    index = np.arange(len(real), dtype=np.int64) + style * len(real)
    masks = np.where(real[..., 3:4] >= 128, 255, 0).astype(np.uint8)
    photographs = opened.translate(masks, np.full_like(index, 2), index)
    return np.concatenate([photographs, masks, _fov(photographs)], axis=-1)


def _fov(photographs: np.ndarray) -> np.ndarray:
    """An artifact's photographs are black outside one field of view, the same for all."""
    inside = (photographs.max(axis=(0, 3), keepdims=True) > 0).astype(np.uint8) * np.uint8(255)
    return np.broadcast_to(inside, (*photographs.shape[:3], 1))


def _real_pairs(folder: str, patients: str | None, size: int) -> np.ndarray:
    source = find_pairs(folder)
    chosen = parse_patients(patients, source.patients) if patients else source.patients
    pairs = [pair for pair in source.pairs if pair.patient in chosen and pair.mask is not None]
    return pipeline.stack_samples(load_samples(pairs, size))


def _dice(found: np.ndarray, target: np.ndarray) -> float:
    return float(2 * np.sum(found & target) / max(1, np.sum(found) + np.sum(target)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artifact", required=True)
    parser.add_argument("--data", required=True, help="folder of real pairs")
    parser.add_argument("--train", required=True, help="patients that the artifact was trained on, such as 01-10")
    parser.add_argument("--test", required=True, help="patients to test on, such as 11-14")
    parser.add_argument("--other", help="folder of another camera's pairs, to test on as well")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=128)
    return parser.parse_args()


if __name__ == "__main__":
    main()

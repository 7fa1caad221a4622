"""Where generated images lose what a segmenter learns from: parts of real and generated ones are exchanged.

    python benchmarks/exchange.py --artifact ARTIFACT --data CHASE_DB1 --train 01-08 --test 09-10 --other HRF

Stage-II generates images of the real masks, in several styles. Both kinds are reduced to `--pixels` and taken
apart: into low and high spatial frequencies, and into vessels (with the pixels around them) and background. For each
combination a segmenter is trained, all alike, and scored on the photographs of other patients: where a combination
scores as real photographs do, the loss is not in its generated part. The table has the mean F1 of each test set at a
threshold that the training pairs choose, and the AUC; below it, local contrast (green, minus the low frequencies).
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from synthmed_tf.data.pipeline import COVERAGE, FOV, IMAGE, stack_samples
from synthmed_tf.data.preprocessing import load_samples
from synthmed_tf.data.sources import find_pairs, parse_patients
from synthmed_tf.data.vessel_maps import reduce_maps
from synthmed_tf.evaluation import segmenters
from synthmed_tf.evaluation.pairs import Block
from synthmed_tf.exporting import artifact
from synthmed_tf.metrics.segmentation import best_threshold, image_scores

BOX = 13
AROUND = 3
AT_ONCE = 8


def main() -> None:
    """Prints one JSON object: scores of each arm, and the contrast of both kinds."""
    options = _options()
    model = artifact.open_artifact(options.artifact, "savedmodel")
    size = model.card["size"]
    pairs = real_pairs(options.data, options.train, size)
    real, generated = reduced(np.tile(pairs, (options.styles, 1, 1, 1)), redrawn(model, pairs, options), options.pixels)
    tests = {"unseen": blocks(real_pairs(options.data, options.test, options.pixels))}
    if options.other:
        tests["other camera"] = blocks(real_pairs(options.other, None, options.pixels))
    report = {"contrast": {"real": contrast(real), "generated": contrast(generated)}, "arms": {}}
    chosen = options.arms.split(",") if options.arms else list(arms(real[:1], generated[:1]))
    for name in chosen:
        array = arms(real, generated)[name]
        scores = [scored(array, real, seed, options.steps, tests) for seed in range(options.seeds)]
        report["arms"][name] = {key: round(float(np.mean([s[key] for s in scores])), 4) for key in scores[0]}
        print(json.dumps({name: report["arms"][name]}), flush=True)
    print(json.dumps(report, indent=2))


def real_pairs(data: Path, patients: str | None, size: int, patient_regex: str | None = None) -> np.ndarray:
    """Pairs of a folder, `(n, size, size, 5)` uint8."""
    source = find_pairs(data, patient_regex)
    chosen = parse_patients(patients, source.patients) if patients else source.patients
    return stack_samples(load_samples([pair for pair in source.pairs if pair.patient in chosen and pair.mask], size))


def redrawn(model: artifact.Artifact, pairs: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    """Generated images of the masks of real pairs, `(styles * n, size, size, 3)` uint8."""
    masks = np.tile(np.where(pairs[..., COVERAGE] >= 128, np.uint8(255), np.uint8(0)), (options.styles, 1, 1, 1))
    index = np.arange(len(masks), dtype=np.int64)
    seed = np.full(len(masks), options.seed, np.int64)
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(masks), AT_ONCE)]
    return np.concatenate([model.translate(masks[part], seed[part], index[part]) for part in parts])


def reduced(pairs: np.ndarray, images: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Real pairs and the same with generated images, both averaged down, inside the fields of view of both."""
    factor = pairs.shape[1] // pixels
    inside = (pairs[..., FOV] >= 128) & (images.max(axis=-1, keepdims=True) > 0)
    both = []
    for shown in (pairs[..., IMAGE], images):
        array = np.concatenate([shown * inside, pairs[..., COVERAGE] * inside, inside * np.uint8(255)], axis=-1)
        small = reduce_maps(array, factor)
        small[..., FOV] = np.where(small[..., FOV] >= 250, 255, 0)
        both.append(small * (small[..., FOV] > 0))
    return tuple(both)


def arms(real: np.ndarray, generated: np.ndarray) -> dict[str, np.ndarray]:
    """What segmenters are trained on: pairs of the same masks, whose images are put together from both kinds."""
    ours, theirs = (pairs[..., IMAGE].astype(np.float32) for pairs in (real, generated))
    low_ours, low_theirs = low(ours), low(theirs)
    near = ndimage.maximum_filter(real[..., COVERAGE] >= 64, (1, 2 * AROUND + 1, 2 * AROUND + 1, 1))
    shown = {
        "real": ours,
        "generated": theirs,
        "generated low, real high": low_theirs + ours - low_ours,
        "real low, generated high": low_ours + theirs - low_theirs,
        "real vessels, generated background": low_ours + np.where(near, ours - low_ours, theirs - low_theirs),
        "generated vessels, real background": low_ours + np.where(near, theirs - low_theirs, ours - low_ours),
    }
    inside = real[..., FOV] > 0
    return {
        name: np.concatenate([np.round(image.clip(0, 255) * inside).astype(np.uint8), real[..., 3:]], axis=-1)
        for name, image in shown.items()
    }


def low(images: np.ndarray) -> np.ndarray:
    """Low spatial frequencies: a box of 13 pixels, twice."""
    size = (1, BOX, BOX, 1)
    return ndimage.uniform_filter(ndimage.uniform_filter(images, size), size)


def contrast(pairs: np.ndarray) -> dict[str, float]:
    """Green minus its low frequencies, in [-1, 1], at least 6 pixels inside the field of view."""
    light = pairs[..., IMAGE].astype(np.float32) / np.float32(127.5)
    detail = light - low(light)
    green, blue, coverage = detail[..., 1], detail[..., 2], pairs[..., 3] / np.float32(255)
    inside = np.stack([ndimage.binary_erosion(field > 0, iterations=6) for field in pairs[..., 4]])
    away = np.stack([ndimage.distance_transform_edt(each < 0.3) for each in coverage])
    thin = inside & (coverage > 0.3) & (coverage < 0.6) & (ndimage.maximum_filter(coverage, (1, 3, 3)) < 0.75)
    thick, background = inside & (coverage > 0.95), inside & (coverage < 0.01)
    steep = np.hypot(*np.gradient(light[..., 1], axis=(1, 2)))
    values = {
        "thin vessels": green[thin].mean(),
        "thin vessels, SD": green[thin].std(),
        "thick vessels": green[thick].mean(),
        "thick vessels, SD": green[thick].std(),
        "1 pixel outside": green[inside & (away == 1)].mean(),
        "2 pixels outside": green[inside & (away == 2)].mean(),
        "gradient in vessels": steep[inside & (coverage > 0.5)].mean(),
        "gradient in background": steep[background].mean(),
        "correlation with the mask": np.corrcoef(green[inside], coverage[inside])[0, 1],
        "correlation of green and blue": np.corrcoef(green[inside], blue[inside])[0, 1],
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def scored(array: np.ndarray, real: np.ndarray, seed: int, steps: int, tests: dict[str, Block]) -> dict[str, float]:
    """Trains a segmenter; mean F1 and AUC on each test set, with a threshold chosen on the arm's own pairs."""
    model = segmenters.train([array], seed, steps)
    some = blocks(array[segmenters.evenly(len(array), 60)])
    threshold = best_threshold(some.masks, segmenters.find(model, some), some.fields)
    found = {}
    for name, block in tests.items():
        scores = image_scores(block.masks, segmenters.find(model, block), block.fields, threshold)
        found |= {f"{name} F1": np.mean(scores["dice"]), f"{name} AUC": np.mean(scores["auc"])}
    return found


def blocks(pairs: np.ndarray) -> Block:
    """Pairs as segmenters are given them."""
    inside = pairs[..., 4] >= 128
    return Block(pairs[..., IMAGE] * inside[..., None], (pairs[..., 3] >= 128) & inside, inside)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", default="01-08")
    parser.add_argument("--test", default="09-10")
    parser.add_argument("--other", type=Path, help="photographs of another camera, with masks")
    parser.add_argument("--arms", help="some of the arms, with commas between them")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--styles", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the styles")
    return parser.parse_args()


if __name__ == "__main__":
    main()

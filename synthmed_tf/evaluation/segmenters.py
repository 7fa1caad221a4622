"""Segmenters for the evaluation: U-Nets that are trained on pairs, and the vessels that they find in images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf.data import augmentation, pipeline
from synthmed_tf.evaluation.context import Arrays, EvaluationContext
from synthmed_tf.evaluation.pairs import Block, Pairs
from synthmed_tf.metrics.segmentation import best_threshold
from synthmed_tf.metrics.segmentation_losses import dice_loss, masked_cross_entropy
from synthmed_tf.models.segmenter import Segmenter, probabilities

VERSION = 1
"""Of the recipe below; part of every key, so that a change of the recipe trains again."""

MOST_PAIRS = 2000
"""Pairs of a set that a segmenter sees at most; more would not change it within its steps."""

_FILTERS, _BATCH, _RATE, _COLOUR = 12, 8, 5e-3, 0.2
_AUGMENTATION = augmentation.Ranges(True, True, 30.0, 0.2, 0.1, 0.05)
_MOST_BYTES = 1 << 29
_FOUND_AT_ONCE = 16
_PAIRS_FOR_THRESHOLD = 200
_REPORTED = 10

Steps = Callable[[int], None]
"""Called with the number of steps that are done."""


@dataclass(frozen=True)
class Arm:
    """What one kind of segmenter is trained on.

    Attributes:
        name: for people, and to tell two arms of the same pairs apart.
        sets: pairs; each gives as many to a batch, and the threshold is chosen on the first.
        augmented: whether pairs are flipped, rotated, zoomed, shifted and recoloured.
    """

    name: str
    sets: tuple[Pairs, ...]
    augmented: bool = True


def real_arm(context: EvaluationContext) -> Arm:
    """The real pairs that the generator was trained on."""
    return Arm("real", (context.train,))


def on_real(context: EvaluationContext, seed: int = 0) -> Segmenter:
    """The segmenter that was trained on the real training pairs, as `trained`."""
    return trained(context, real_arm(context), seed)


def key_on_real(context: EvaluationContext, seed: int = 0) -> dict[str, Any]:
    """Everything that the segmenter of `on_real` depends on, for the key of what is measured with it."""
    return key(context, real_arm(context), seed)


def trained(context: EvaluationContext, arm: Arm, seed: int) -> Segmenter:
    """A segmenter that was trained on an arm, from the cache if it is there.

    Args:
        context: its cache, and its settings, which say for how many steps.
        arm: what it is trained on.
        seed: which of the segmenters that differ in nothing else; arms of one seed begin with the same weights.
    """
    steps, what = context.settings.segmenter_steps, f"segmenter {arm.name}/{seed}"
    random_seed = int(context.rng(f"segmenter {seed}").integers(1 << 31))

    def compute() -> Arrays:
        parts = [training_array(pairs, steps * _BATCH // len(arm.sets)) for pairs in arm.sets]
        model = train(parts, random_seed, steps, arm.augmented, lambda done: context.progress(what, done, steps))
        return {f"weight{i:03d}": weight for i, weight in enumerate(model.get_weights())}

    weights = context.cache.arrays("segmenter", key(context, arm, seed), compute)
    model = untrained(arm.sets[0].size, random_seed)
    model.set_weights([weights[name] for name in sorted(weights)])
    return model


def threshold(context: EvaluationContext, arm: Arm, seed: int) -> float:
    """The probability from which on a pixel counts as vessel: chosen on the segmenter's training pairs, then frozen.

    It is `best_threshold` of 200 pairs, or of all where there are fewer.
    """

    def compute() -> Arrays:
        pairs = arm.sets[0]
        block = pairs.read(evenly(len(pairs), _PAIRS_FOR_THRESHOLD))
        found = find(trained(context, arm, seed), block)
        return {"threshold": np.array(best_threshold(block.masks, found, block.fields))}

    return float(context.cache.arrays("threshold", key(context, arm, seed), compute)["threshold"])


def key(context: EvaluationContext, arm: Arm, seed: int) -> dict[str, Any]:
    """Everything that such a segmenter depends on."""
    return {
        "segmenter": VERSION,
        "arm": arm.name,
        "augmented": arm.augmented,
        "trained on": [pairs.fingerprint for pairs in arm.sets],
        "steps": context.settings.segmenter_steps,
        "seeds": [context.settings.seed, seed],
    }


def find(model: keras.Model, block: Block) -> np.ndarray:
    """How probably each pixel is vessel: `(n, size, size)`, float32 in [0, 1]; 0 outside the field of view."""
    found = []
    for start in range(0, len(block.masks), _FOUND_AT_ONCE):
        rows = slice(start, start + _FOUND_AT_ONCE)
        inside = block.fields[rows, ..., None]
        seen = (block.images[rows] * inside).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
        found.append(probabilities(model, tf.constant(seen)).numpy()[..., 0] * inside[..., 0])
    return np.concatenate(found)


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of the rows 0 to count - 1, spread evenly: `(n,)`, int64."""
    return np.arange(count) if count <= most else np.arange(most) * count // most


def most_pairs(size: int) -> int:
    """How many pairs of a size a training array holds at most: `MOST_PAIRS`, or as many as fit into 512 MB."""
    return max(1, min(MOST_PAIRS, _MOST_BYTES // (5 * size**2)))


def training_array(pairs: Pairs, most: int) -> np.ndarray:
    """The pairs that a segmenter is trained on, chosen evenly; its memory does not grow with the set.

    Args:
        pairs: of any number.
        most: pairs that the training takes in all; more are not read.

    Returns:
        `(n, size, size, 5)`, uint8, as `pipeline.stack_samples` has it.
    """
    rows = evenly(len(pairs), min(most, most_pairs(pairs.size)))
    array = np.empty((len(rows), pairs.size, pairs.size, 5), np.uint8)
    for start in range(0, len(rows), 64):
        here = slice(start, start + 64)
        block = pairs.read(rows[here])
        array[here, ..., pipeline.IMAGE] = block.images
        array[here, ..., pipeline.COVERAGE] = block.masks[..., None] * np.uint8(255)
        array[here, ..., pipeline.FOV] = block.fields[..., None] * np.uint8(255)
    return array


def untrained(size: int, seed: int) -> Segmenter:
    """A segmenter for images of a size, with the first weights of a seed."""
    keras.utils.set_random_seed(seed)
    model = Segmenter(_FILTERS)
    model(tf.zeros((1, size, size, 3)))
    return model


def train(
    parts: Sequence[np.ndarray], seed: int, steps: int, augmented: bool = True, progress: Steps = lambda done: None
) -> Segmenter:
    """Trains a segmenter with cross-entropy and Dice inside the field of view; the learning rate falls to 0.

    Args:
        parts: pairs `(n, size, size, 5)`, uint8, as `training_array` has them; each gives as many to a batch.
        seed: of first weights, order and augmentation: the same call gives the same weights on one machine.
        steps: batches of 8.
        augmented: whether pairs are flipped, rotated, zoomed, shifted and recoloured.
        progress: called every few steps.
    """
    model = untrained(parts[0].shape[1], seed)
    step = _step(model, keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, steps)))
    for done, batch in enumerate(batches(parts, seed, augmented).take(steps), start=1):
        step(batch)
        if done % _REPORTED == 0 or done == steps:
            progress(done)
    return model


def batches(parts: Sequence[np.ndarray], seed: int, augmented: bool) -> tf.data.Dataset:
    """The batches of `train`: as `pipeline.batches`, with as many pairs of each part, one part after the other."""
    ranges, colour = (_AUGMENTATION, _COLOUR) if augmented else (augmentation.Ranges(), 0.0)
    streams = [pipeline.batches(part, _BATCH // len(parts), seed, ranges, colour=colour) for part in parts]

    def joined(*several):
        return {name: tf.concat([batch[name] for batch in several], axis=0) for name in several[0]}

    return tf.data.Dataset.zip(tuple(streams)).map(joined)


def _step(model: Segmenter, optimizer: keras.optimizers.Optimizer) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """One update, traced once."""
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(batch):
        target, fov = tf.round(batch["coverage"]), batch["fov"]
        with tf.GradientTape() as tape:
            logits = model(batch["image"], training=True)
            terms = masked_cross_entropy(target, logits, fov) + dice_loss(target, logits, fov)
            loss = tf.reduce_mean(terms)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step

"""Contexts for the evaluation, of procedural trees."""

from pathlib import Path

import numpy as np

from synthmed_tf.data.phantom import generate_phantom
from synthmed_tf.evaluation.context import Cache, EvaluationContext, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, Block


def generated(size: int, indices, seed: int = 3) -> Block:
    """Phantom pairs."""
    samples = [generate_phantom(size, seed, index) for index in indices]
    return Block(
        np.stack([sample.image for sample in samples]),
        np.stack([sample.mask[..., 0] >= 128 for sample in samples]),
        np.stack([sample.fov[..., 0] > 0 for sample in samples]),
    )


def picked(block: Block, rows) -> Block:
    """Some pairs of a block."""
    return Block(block.images[rows], block.masks[rows], block.fields[rows])


def joined(*blocks: Block) -> Block:
    """Pairs of several blocks."""
    return Block(*(np.concatenate([getattr(b, part) for b in blocks]) for part in ("images", "masks", "fields")))


def pairs(block: Block, name: str) -> ArrayPairs:
    """Pairs of as many patients, called name-0, name-1 and so on."""
    return ArrayPairs(block, [f"{name}-{row}" for row in range(len(block.masks))])


def make_context(
    folder: Path, synthetic: Block, train: Block, holdout: Block | None, settings: Settings, **more
) -> EvaluationContext:
    """A context whose pairs are called synthetic-0, train-0, holdout-0 and so on."""
    held = None if holdout is None else pairs(holdout, "holdout")
    sets = pairs(synthetic, "synthetic"), pairs(train, "train"), held
    return EvaluationContext(*sets, Cache(folder), settings, **more)

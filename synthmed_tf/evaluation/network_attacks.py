"""Membership scores from the generator's networks: its discriminators' logits for real pairs, and how well its Stage-II
reconstructs the image of a real mask.

A run's discriminators are only in its checkpoints, as lists of variables; these are read without any training code.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from synthmed_tf import files
from synthmed_tf.config.schema import Config, config_from_json
from synthmed_tf.data.vessel_maps import reduce_maps, stack_maps
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.pairs import Block
from synthmed_tf.exporting import artifact
from synthmed_tf.models import factory, layers, pyramid

STYLES = 8
"""Styles that are tried for each mask; the nearest image counts."""

_BATCH = 16
_COMPARED_SIZE = 128
_SMALLEST = 0.01
_TIMES = 9
_DISCRIMINATORS = {"stage1": factory.mask_discriminator, "stage2": factory.image_discriminator}


def logits(run: Path, stage: str, block: Block) -> np.ndarray:
    """The logits of a stage's discriminator for real pairs, `(n,)`; higher is more real, and so more likely a member.

    Each pair is evaluated alone, with the statistics of inference: the score of one image must not depend on others.

    Args:
        run: the run's folder, with its checkpoints.
        stage: `stage1` or `stage2`.
        block: n pairs of the run's size.

    Raises:
        SynthMedError: the run has no configuration or checkpoint that can be read, no discriminator, or is of another
            size.
    """
    config = _config(run)
    _refuse_size(run, config, block)
    if stage == "stage2" and config.stage2.architecture == "pyramid":
        raise SynthMedError(f"Stage-II of {run} is a pyramid, which is trained without a discriminator.")
    model = _DISCRIMINATORS[stage](config)
    _restore(model, Path(run) / stage / "checkpoints", "discriminator")
    masks = np.where(block.masks, np.float32(1), np.float32(-1))[..., None]
    seen = _vessel_maps(config, block) if config.stage1.architecture == "coarse_to_fine" else masks
    images = block.images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    fields = np.where(block.fields, np.float32(1), np.float32(-1))[..., None]
    conditions = np.concatenate([masks, fields], axis=-1) if config.stage2.use_fov else masks

    @tf.function(autograph=False)
    def one(mask, condition, image):
        output = model(mask) if stage == "stage1" else model(condition, image)
        return tf.reduce_mean(output[0] if isinstance(output, tuple) else output)

    rows = range(len(masks))
    return np.array([one(*(part[row : row + 1] for part in (seen, conditions, images))).numpy() for row in rows])


def reconstruction(folder: Path, block: Block, seed: int) -> np.ndarray:
    """How well Stage-II reconstructs the images of real masks, `(n,)`; higher: more likely a member.

    The distance of an image x to the nearest of `STYLES` images generated from its own mask is the mean of |x - G2| in
    the field of view, averaged to at most 128 pixels. An image of rare colors is far from all that is
    generated, whether it was trained on or not; so the score is what a line through the logarithms of this distance and
    of the median distance to the images of the other masks leaves, with the sign changed.

    Args:
        folder: the artifact's, with a SavedModel.
        block: n pairs of its size, three at least.
        seed: of the styles.

    Raises:
        SynthMedError: there is no SavedModel that can be opened, or it is of another size.
    """
    model = artifact.open_artifact(folder, "savedmodel")
    if block.masks.shape[1] != model.card["size"]:
        raise SynthMedError(f"{folder} is of {model.card['size']} pixels, but the set has {block.masks.shape[1]}.")
    factor = max(1, block.masks.shape[1] // _COMPARED_SIZE)
    real, fields = _reduced(block.images, factor), _inside(block.fields, factor)
    nearest = np.full((len(real), len(real)), np.inf)
    for start in range(0, len(real), _BATCH):
        masks = np.where(block.masks[start : start + _BATCH], np.uint8(255), np.uint8(0))[..., None]
        for style in range(STYLES):
            index = np.arange(start, start + len(masks)) * STYLES + style
            generated = model.translate(masks, np.full(len(masks), seed), index)
            made = zip(_reduced(generated, factor), _inside(generated.any(axis=-1), factor), strict=True)
            for column, (image, field) in enumerate(made, start=start):
                both = fields & field
                away = (np.abs(real - image).mean(axis=-1, keepdims=True) * both).sum(axis=(1, 2, 3))
                mean = away / np.maximum(both.sum(axis=(1, 2, 3)), 1)
                nearest[:, column] = np.minimum(nearest[:, column], mean)
    own = np.diag(nearest)
    others = np.median(nearest[~np.eye(len(real), dtype=bool)].reshape(len(real), -1), axis=1)
    return -_unexplained(*(np.log(np.maximum(found, _SMALLEST)) for found in (own, others)))


def _reduced(images: np.ndarray, factor: int) -> np.ndarray:
    """Averages of images over `factor` x `factor` pixels, float32 in grey levels."""
    return reduce_maps(images, factor).astype(np.float32)


def _inside(fields: np.ndarray, factor: int) -> np.ndarray:
    """Which of those averages lie in a field of view with all their pixels, `(n, size, size, 1)` bool."""
    return reduce_maps(np.where(fields, np.uint8(255), np.uint8(0))[..., None], factor) == 255


def velocities(run: Path, block: Block, seed: int) -> np.ndarray:
    """How well a pyramid's networks know the way from noise to real photographs, `(n,)`; higher: more likely a member.

    The loss of flow matching is measured for the thumbnail and for the detail of 128 pixels, at `_TIMES` times with
    the same noise for each pair. A photograph with much detail has a larger loss whether it was trained on or not, so
    the score is what a line through the logarithms of loss and mean square leaves, with the sign changed; the mean of
    both networks.

    Args:
        run: the run's folder, with its Stage-II.
        block: n pairs of the run's size.
        seed: of the noise.

    Raises:
        SynthMedError: the run cannot be read, its Stage-II is no pyramid, or it is of another size.
    """
    config = _config(run)
    if config.stage2.architecture != "pyramid":
        raise SynthMedError(f"Stage-II of {run} is no pyramid, so it has no velocities.")
    _refuse_size(run, config, block)
    model = factory.image_generator(config)
    _restore(model, Path(run) / "stage2" / "checkpoints", "network_ema")
    conditions = np.stack([block.masks & block.fields, block.fields], axis=-1) * np.float32(2) - np.float32(1)
    coverage, fov = pyramid.reduced(tf.constant(conditions), model.size)
    inside = tf.constant(block.fields[..., None], tf.float32)
    image = pyramid.averaged(tf.constant(block.images / np.float32(127.5) - 1.0), inside, config.size // model.size)
    base, detail = pyramid.coarse_detail(image, fov)
    parts = (
        (
            model.thumbnails,
            pyramid.thumbnail_values(image, fov),
            pyramid.thumbnail_condition(coverage, fov, model.placed),
            pyramid.pooled(fov),
        ),
        (model.network, detail, pyramid.coarse_condition(coverage, fov, base, model.placed), fov),
    )
    return np.mean([-_unexplained(*_losses(*part, seed)) for part in parts], axis=0)


def _losses(
    network: keras.Model, target: tf.Tensor, condition: tf.Tensor, fov: tf.Tensor, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the loss of flow matching and of the target's mean square, in the field of view, `(n,)` each."""
    inside = tf.cast(fov > 0.0, tf.float32)
    rng, loss = np.random.default_rng(seed), []
    for time in np.linspace(0.1, 0.9, _TIMES):
        noise = tf.constant(rng.standard_normal((1, *target.shape[1:])), tf.float32)
        point = (1.0 - time) * noise + time * target
        rows = [slice(start, start + _BATCH) for start in range(0, len(target), _BATCH)]
        at = tf.constant([time], tf.float32)
        found = tf.concat([network(point[part], condition[part], at, training=False) for part in rows], axis=0)
        loss.append(tf.reduce_sum(tf.square(found - (target - noise)) * inside, axis=(1, 2, 3)))
    pixels = tf.reduce_sum(inside, axis=(1, 2, 3))
    mean_square = tf.reduce_sum(tf.square(target) * inside, axis=(1, 2, 3))
    return np.log(np.mean(loss, axis=0) / pixels), np.log(mean_square / pixels)


def _unexplained(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """What a straight line leaves of the values."""
    return values - np.polyval(np.polyfit(by, values, 1), by)


def _refuse_size(run: Path, config: Config, block: Block) -> None:
    if block.masks.shape[1] != config.size:
        raise SynthMedError(f"{run} is of {config.size} pixels, but the set has {block.masks.shape[1]}.")


def _vessel_maps(config: Config, block: Block) -> np.ndarray:
    """What the discriminator of a coarse-to-fine Stage-I sees of real masks: `(n, coarse_size, coarse_size, 2)`."""
    size = config.coarse_size
    coverage = np.where(block.masks & block.fields, np.uint8(255), np.uint8(0))[..., None]
    maps = stack_maps(coverage, size, structures=config.data.structures)
    return reduce_maps(maps, config.size // size) / np.float32(255)


def _config(run: Path) -> Config:
    file = Path(run) / "config.json"
    try:
        return config_from_json(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise SynthMedError(f"{file} cannot be read ({error.strerror}); name the folder of synthmed train.") from error


def _restore(model: keras.Model, folder: Path, part: str) -> None:
    """Reads a network of the newest checkpoint by its name there."""
    steps = sorted((int(file.stem[len("ckpt-") :]) for file in folder.glob("ckpt-*.index")), reverse=True)
    if not steps:
        raise SynthMedError(f"{folder} holds no checkpoint, from which the attack reads the {part}.")
    variables = layers.plain_variables(model)
    try:
        with files.glob_free(folder) as place:
            reader = tf.train.load_checkpoint(str(place / f"ckpt-{steps[0]}"))
            names = (f"{part}/{number}/.ATTRIBUTES/VARIABLE_VALUE" for number in range(len(variables)))
            values = [reader.get_tensor(name) for name in names]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except Exception as error:  # TensorFlow meets damage with errors of many classes
        reason = " ".join(str(error).split())[:120]
        raise SynthMedError(f"{folder}/ckpt-{steps[0]} holds no {part} of this run ({reason}).") from error

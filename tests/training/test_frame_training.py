"""Both families of networks on images that fill their frame: trained for two steps, joined, and generated from."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.steps import COARSE, make_config

from synthmed_tf.exporting.exporter import load_stage1, load_stage2, make_chain
from synthmed_tf.images import write_png
from synthmed_tf.training import run

pytestmark = pytest.mark.slow

KIND = ("data.field_of_view=frame", "data.structures=any")
FEW = [f"{stage}.steps=2" for stage in ("stage1", "stage1_fine", "stage2", "stage2_fine")]


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Dark frames with bright squares, as masks mark them."""
    root = tmp_path_factory.mktemp("squares")
    for number in range(6):
        rng = np.random.default_rng(number)
        mask = np.zeros((80, 96), bool)
        for top, left in rng.integers(0, 70, (5, 2)):
            mask[top : top + 14, left : left + 18] = True
        photograph = rng.integers(2, 9, (80, 96, 3)).astype(np.uint8)
        photograph[mask] += np.uint8(150)
        write_png(root / "images" / f"{number}.png", photograph)
        write_png(root / "masks" / f"{number}.png", mask)
    return root


@pytest.mark.parametrize("preset", ["gan", "recommended"])
def test_frames_are_trained_and_generated_to_their_edges(squares, tmp_path, preset):
    coarse = COARSE if preset == "recommended" else ()
    config = make_config(preset, *coarse, *KIND, *FEW)
    run.train(config, str(squares), tmp_path / "run", ("stage1", "stage2"), say=lambda line: None)
    stage1, refiner = load_stage1(tmp_path / "run", latest=True)
    stage2, renderer = load_stage2(tmp_path / "run", latest=True)
    assert (stage1.fov == 255).all()
    assert stage1.data["structures"] == "any"
    chain = make_chain(stage1, stage2, tmp_path / "run", refiner, renderer)
    image = chain.pixels(tf.constant([1], tf.int64), tf.constant([0], tf.int64))["image"].numpy()[0]
    assert image.shape == (config.size, config.size, 3)
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert np.mean(edges.max(axis=-1) > 0) > 0.5

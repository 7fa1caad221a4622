"""OpenVINO generates the images of TensorFlow, from the ONNX file and from the SavedModel."""

import numpy as np
import pytest

from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: the extra [openvino]")

SEED = np.array([0, 5, -9, 2**31 - 1, -(2**31), 77_003] * 8, np.int64)
INDEX = np.concatenate([np.arange(24), 2**31 - 1 - np.arange(24)]).astype(np.int64)


@pytest.fixture(scope="module")
def generated(tiny_artifact):
    return artifact.open_artifact(tiny_artifact, "savedmodel").pixels(SEED, INDEX)


def test_the_onnx_file(tiny_artifact, generated):
    opened = artifact.open_artifact(tiny_artifact, "openvino")
    assert (opened.runtime, opened.precision) == ("openvino", "float32")
    for rows in (slice(None), slice(3, 4)):
        masks, images = opened.pixels(SEED[rows], INDEX[rows])
        np.testing.assert_array_equal(masks, generated[0][rows])
        np.testing.assert_allclose(images.astype(int), generated[1][rows], atol=1)


def test_the_savedmodel(tiny_artifact, generated):
    from openvino.frontend import ConversionExtension

    core = openvino.Core()
    core.add_extension(ConversionExtension("EncodePng", lambda node: [node.get_input(0)]))
    model = core.compile_model(
        core.read_model(tiny_artifact / artifact.SAVEDMODEL), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    pair = model({"seed": SEED, "index": INDEX})
    np.testing.assert_array_equal(pair["mask_bytes"], generated[0])
    np.testing.assert_allclose(pair["image_bytes"].astype(int), generated[1], atol=1)


@pytest.mark.parametrize(("seed", "index", "name"), [(2**31, 0, "seed"), (0, 2**40, "index")])
def test_numbers_beyond_32_bits(tiny_artifact, seed, index, name):
    opened = artifact.open_artifact(tiny_artifact, "openvino")
    with pytest.raises(SynthMedError, match=f"OpenVINO generates no {name} beyond 32 bits"):
        opened.pixels(np.array([seed]), np.array([index]))

"""The compact artifact: weights in float16, once, and the same pairs in both runtimes."""

import math
import shutil

import numpy as np
import onnx
import pytest
import tensorflow as tf

from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact, exporter, shared_weights, starting
from synthmed_tf.training import discriminators, snapshot

STAGES = ("stage1", "stage2")
SEED, INDEX = np.array([5, -9]), np.array([0, 2**40])


@pytest.fixture(scope="module")
def compact(tiny_run, tmp_path_factory):
    """A compact artifact. Not to be changed."""
    folder = tmp_path_factory.mktemp("compact") / "model"
    exporter.export(tiny_run, folder, formats=["savedmodel", "onnx", "training"], compact=True)
    return folder


@pytest.mark.once
def test_both_runtimes_read_one_file_of_weights_and_generate_the_same_pairs(compact, tiny_artifact, tiny_run):
    card = artifact.read_card(compact)
    assert card["weights"]["precision"] == "float16" and card["weights"]["pairs_compared"] == 4
    assert 0 <= card["weights"]["mean_grey_levels"] <= card["weights"]["grey_levels"] <= 16
    assert card["weights"]["mask_share"] < 0.01
    assert card["model_sha256"] != artifact.read_card(tiny_artifact)["model_sha256"]
    assert "in savedmodel/1/variables/variables.data-00000-of-00001; rounding" in (compact / "card.md").read_text()
    held = onnx.load(str(compact / "generator.onnx"), load_external_data=False).graph.initializer
    elsewhere = sum(math.prod(tensor.dims) for tensor in held if tensor.data_location == onnx.TensorProto.EXTERNAL)
    weights = [weight for stage in STAGES for weight in snapshot.load(tiny_run / stage / "snapshot").weights]
    assert elsewhere > 0.95 * sum(weight.size for weight in weights if weight.size >= 256) > 10_000
    pairs = [artifact.open_artifact(compact, runtime).pixels(SEED, INDEX) for runtime in ("savedmodel", "onnx")]
    np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
    np.testing.assert_allclose(pairs[0][1].astype(int), pairs[1][1], atol=1)
    assert np.ptp(pairs[0][1]) > 50 and 0.02 < np.mean(pairs[0][0] == 255) < 0.5


@pytest.mark.once
def test_the_onnx_file_is_not_opened_with_other_weights(compact, tmp_path):
    copied = shutil.copytree(compact, tmp_path / "model")
    weights = copied / artifact.read_card(copied)["weights"]["file"]
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(SynthMedError, match=r"variables.data-00000-of-00001 is not the file that card.json lists"):
        artifact.open_artifact(copied, "onnx")


@pytest.mark.once
def test_a_run_may_begin_with_the_weights_of_an_artifact(compact, tiny_run):
    start = starting.open_start(compact)
    assert start.lineage["model_sha256"] == artifact.read_card(compact)["model_sha256"]
    assert start.config == snapshot.load(tiny_run / "stage1" / "snapshot").config
    assert not any("discriminator" in name for name in start.networks)  # the run has no checkpoints
    for stage in STAGES:
        expected = snapshot.load(tiny_run / stage / "snapshot").weights
        for found, weight in zip(start.networks[f"{stage}/generator"].get_weights(), expected, strict=True):
            np.testing.assert_array_equal(found, np.float16(weight))


def test_a_compact_artifact_needs_a_savedmodel(tiny_run, tmp_path):
    with pytest.raises(SynthMedError, match="keeps its weights in the SavedModel; add savedmodel to the formats"):
        exporter.export(tiny_run, tmp_path / "model", formats=["onnx"], compact=True)


def test_kernels_are_found_as_they_are_in_float16_and_with_their_axes_in_tensorflows_order(tmp_path):
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    kernel, dense = (rng.normal(size=shape).astype(np.float16) for shape in ((3, 3, 8, 16), (24, 32)))
    table, exact = np.arange(400, dtype=np.int64), rng.normal(size=300).astype(np.float32)
    stored = tmp_path / "below" / "weights"
    stored.parent.mkdir()
    stored.write_bytes(b"odd" + b"".join(part.tobytes() for part in (kernel, dense, table)))
    tensors = {"kernel": kernel.transpose(3, 2, 0, 1), "dense": dense, "table": table, "exact": exact}
    tensors = {
        name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in tensors.items()
    }
    kinds = {name: TensorProto.INT64 if name == "table" else TensorProto.FLOAT for name in tensors}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in tensors],
        "numbers",
        [],
        [helper.make_tensor_value_info(f"{name}_out", kinds[name], value.shape) for name, value in tensors.items()],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in tensors.items()],
    )
    file = tmp_path / "graph.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    file.write_bytes(model.SerializeToString())
    shared_weights.share(file, stored)
    assert file.stat().st_size < 300 * 4 + 1500  # what the file of weights does not have stays
    import onnxruntime

    found = onnxruntime.InferenceSession(str(file)).run([f"{name}_out" for name in tensors], {})
    for value, expected in zip(found, tensors.values(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_discriminators_are_kept_in_half_precision(tmp_path):
    weights = {"stage1/discriminator": [np.float32([[0.1, 2.0]]), np.float32([3.0])]}
    discriminators.save(weights, tmp_path / "training.npz")
    found = discriminators.load(tmp_path / "training.npz")
    assert list(found) == ["stage1/discriminator"]
    np.testing.assert_array_equal(found["stage1/discriminator"][0], np.float32([[np.float16(0.1), 2.0]]))
    assert found["stage1/discriminator"][1].dtype == np.float32


def test_discriminators_are_read_from_the_newest_checkpoint(tiny_run, tmp_path):
    part = snapshot.load(tiny_run / "stage1" / "snapshot")
    network = discriminators.networks("stage1", part.config)["discriminator"]
    run = tmp_path / "run"
    assert discriminators.read(run, [part]) == {}
    for step in (5, 20):
        network.set_weights([np.full_like(weight, step) for weight in network.get_weights()])
        from synthmed_tf.models.layers import plain_variables

        variables = {"discriminator": plain_variables(network)}
        tf.train.Checkpoint(**variables).write(str(run / "stage1" / "checkpoints" / f"ckpt-{step}"))
    found = discriminators.read(run, [part])["stage1/discriminator"]
    assert [weight.shape for weight in found] == [weight.shape for weight in network.get_weights()]
    assert all((weight == 20).all() for weight in found)

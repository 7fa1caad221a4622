"""Smaller files: the mask stays, the loss is measured, and too much of it is refused."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact, exporter, label_visibility, parity, quantization
from synthmed_tf.generation import set_card, synthesis
from synthmed_tf.training import snapshot

SEED, INDEX = np.full(16, 9, np.int64), np.arange(16, dtype=np.int64)
PRECISION = {"onnx-fp16": "float16", "onnx-int8": "int8"}


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """With a last kernel as gentle as a trained one; random ones go from black to white in a pixel."""
    folder = shutil.copytree(tiny_run, tmp_path_factory.mktemp("reduced") / "run")
    made = snapshot.load(folder / "stage2" / "snapshot")
    weights = [weight * np.float32(0.1) if weight.shape[-1] == 3 else weight for weight in made.weights]
    snapshot.save(snapshot.Snapshot(**(vars(made) | {"weights": weights})), folder / "stage2" / "snapshot")
    return folder


@pytest.fixture(scope="module")
def model(run):
    """The artifact in every format but the SavedModel."""
    exporter.export(run, run.parent / "model", ("onnx-int8", "onnx-fp16", "onnx-latent", "onnx"))
    return run.parent / "model"


@pytest.fixture(scope="module")
def exact(model):
    return artifact.open_artifact(model, "onnx").pixels(SEED, INDEX)


@pytest.mark.parametrize("runtime", PRECISION)
def test_masks_stay_and_images_lose_what_the_card_says(model, exact, runtime):
    opened = artifact.open_artifact(model, runtime)
    assert (opened.runtime, opened.precision) == (runtime, PRECISION[runtime])
    masks, images = opened.pixels(SEED, INDEX)
    np.testing.assert_array_equal(masks, exact[0])
    apart = np.abs(images.astype(int) - exact[1])
    loss = json.loads((model / "parity.json").read_text())[runtime]
    assert loss == artifact.read_card(model)["parity"][runtime]
    assert loss["mask_share"] == 0 and 0 < apart.max() <= loss["grey_levels"] + 1
    assert apart.mean() == pytest.approx(loss["mean_grey_levels"], rel=0.5)
    seen = loss["visibility"]
    assert seen["measure"] == "local contrast of vessels in green"
    assert f"| {runtime} | {loss['mean_grey_levels']:.3f} | {seen['measure']} | {seen['float32']:.4f} |" in (
        model / "card.md"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("runtime", PRECISION)
def test_only_the_inner_convolutions_of_stage2_are_reduced(model, runtime):
    small, whole = (onnx.load(str(model / artifact.RUNTIMES[name])) for name in (runtime, "onnx"))
    kind = {"onnx-fp16": TensorProto.FLOAT16, "onnx-int8": TensorProto.INT8}[runtime]
    reduced_kernels = [t for t in small.graph.initializer if t.data_type == kind and len(t.dims) == 4]
    kernels = {tuple(t.dims) for t in whole.graph.initializer if len(t.dims) == 4}
    # Stage-II at 32 pixels: 4 levels down, 3 up, 3 convolutions in the head; without the first and the last.
    assert len(reduced_kernels) == 4 + 3 + 3 - 2
    assert {tuple(t.dims) for t in reduced_kernels} <= kernels
    sizes = [
        sum(numpy_helper.to_array(t).nbytes for t in m.graph.initializer if len(t.dims) == 4) for m in (small, whole)
    ]
    assert sizes[0] < 0.7 * sizes[1]
    facts = {entry.key: entry.value for entry in small.metadata_props}
    assert facts["precision"] == PRECISION[runtime]
    assert facts["model_sha256"] == artifact.read_card(model)["model_sha256"]


def test_float16_weights_are_the_rounded_ones(model):
    small, whole = (onnx.load(str(model / artifact.RUNTIMES[name])) for name in ("onnx-fp16", "onnx"))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    halves = [tensor for tensor in small.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    for tensor in halves:
        expected = weights[tensor.name.removesuffix("/float16")].astype(np.float16)
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected)


def test_the_latent_file_has_no_integer_arithmetic_and_generates_the_same(model):
    graph = onnx.load(str(model / artifact.ONNX_LATENT)).graph
    assert [value.name for value in graph.input] == ["latent", "style"]
    assert not {node.op_type for node in graph.node} & {"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"}
    loss = artifact.read_card(model)["parity"]["onnx-latent"]
    assert loss["mask_share"] <= parity.MOST_MASK_SHARE and loss["grey_levels"] <= parity.MOST_GREY_LEVELS


@pytest.mark.once
def test_a_format_that_loses_too_much_leaves_nothing(run, tmp_path, monkeypatch):
    def coarser(float_file, file, card, runtime):
        model = onnx.load(str(float_file))
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        names = set(quantization.inner_convolutions(model))
        for node in model.graph.node:
            if node.name in names:
                tensor = weights[node.input[1]]
                values = numpy_helper.to_array(tensor)
                step = np.abs(values).max() / 2
                tensor.CopyFrom(
                    numpy_helper.from_array((np.round(values / step) * step).astype(np.float32), tensor.name)
                )
        onnx.save(model, str(file))

    monkeypatch.setattr(quantization, "write", coarser)
    with pytest.raises(SynthMedError) as caught:
        exporter.export(run, tmp_path / "model", ("onnx", "onnx-int8"))
    assert str(caught.value).startswith("An image of the onnx-int8 differs from Keras by ")
    assert str(caught.value).endswith(" grey levels, more than 32; nothing was exported.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"mean_grey_levels": 1.25}, "differ from Keras by 1.25 grey levels on average, more than 1.0"),
        (
            {"visibility": {"measure": "Dice of the run's segmenter", "float32": 0.8, "reduced": 0.78}},
            "show their masks less: Dice of the run's segmenter is 0.780, and 0.800 in float32, of which at least 98%",
        ),
    ],
)
def test_each_limit_of_a_smaller_file(loss, said):
    whole = {"mask_share": 0.0, "grey_levels": 9, "mean_grey_levels": 0.4}
    limits = {"mask_share": 1e-5} | parity.MOST_LOSS["onnx-int8"]
    parity._check("onnx-int8", whole, limits)
    with pytest.raises(SynthMedError, match=said):
        parity._check("onnx-int8", whole | loss, limits)


def test_contrast_is_what_was_generated():
    masks = np.zeros((2, 64, 64, 1), np.uint8)
    masks[:, :, 32:33] = 255
    light = np.linspace(100, 160, 64)[:, None] * np.ones(64)
    images = np.repeat(np.where(masks >= 128, -51, 0) + light[..., None], 3, axis=-1).round().astype(np.uint8)
    inside = np.ones((64, 64, 1), bool)
    # Of 9 columns around a vessel pixel one is 0.2 darker; that column's own share is taken off, and so is its
    # shadow on the 8 columns next to it.
    expected = 0.2 * 8 / 9 + 0.2 * 8 / 9 / 63
    assert label_visibility.contrast(masks, images, inside) == pytest.approx(expected, abs=0.005)


def test_a_set_says_its_precision_and_takes_no_other(model, tmp_path):
    opened = {name: artifact.open_artifact(model, name) for name in ("onnx", "onnx-int8")}
    synthesis.generate_set(opened["onnx-int8"], tmp_path / "set", 2, seed=4)
    assert set_card.read(tmp_path / "set")["precision"] == "int8"
    with pytest.raises(SynthMedError, match="holds a set with precision int8, not float32; choose another --out."):
        synthesis.generate_set(opened["onnx"], tmp_path / "set", 3, seed=4)


def test_a_set_from_before_precision_was_noted_goes_on(model, tmp_path):
    opened = artifact.open_artifact(model, "onnx")
    synthesis.generate_set(opened, tmp_path / "set", 1, seed=4)
    card = set_card.read(tmp_path / "set")
    del card["precision"]
    (tmp_path / "set" / "card.json").write_text(json.dumps(card))
    assert synthesis.generate_set(opened, tmp_path / "set", 2, seed=4).generated == 1

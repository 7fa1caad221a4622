"""The artifact: one image in every runtime, without Keras and without this package."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact
from synthmed_tf.exporting.model_card import write_card

SEED = np.array([5, 5, -9, 2**40], np.int64)
INDEX = np.array([0, 1, 7, 2**63 - 1], np.int64)

# Runs the code with modules that cannot be imported, and keeps what it calls `mask` and `image`.
_ISOLATED = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import numpy as np
seed, index = np.array({seed!r}, np.int64), np.array({index!r}, np.int64)
{code}
assert not any(module for name, module in sys.modules.items() if name.split(".")[0] in {blocked!r})
np.savez("generated.npz", mask=mask, image=image)
"""


def _generate_isolated(code, blocked, folder):
    script = _ISOLATED.format(code=code, blocked=blocked, seed=SEED.tolist(), index=INDEX.tolist())
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "generated.npz")


@pytest.fixture(scope="module")
def generated(tiny_artifact):
    return artifact.open_artifact(tiny_artifact).pixels(SEED, INDEX)


def _same(masks, images, generated):
    np.testing.assert_array_equal(masks, generated[0])
    np.testing.assert_allclose(images.astype(int), generated[1], atol=1)


def test_the_runtimes_generate_one_image_in_any_batch(tiny_artifact, tiny_chain, generated):
    pair = tiny_chain.pixels(tf.constant(SEED), tf.constant(INDEX))
    _same(pair["mask"].numpy(), pair["image"].numpy(), generated)
    for runtime in ("savedmodel", "onnx"):
        opened = artifact.open_artifact(tiny_artifact, runtime)
        assert opened.runtime == runtime
        for rows in ([0], [3, 2, 1, 0], [1, 1]):
            masks, images = opened.pixels(SEED[rows], INDEX[rows])
            assert masks.dtype == images.dtype == np.uint8
            _same(masks, images, [shown[rows] for shown in generated])


def test_signatures_have_the_names_types_and_shapes_that_clients_rely_on(tiny_artifact):
    signatures = tf.saved_model.load(str(tiny_artifact / artifact.SAVEDMODEL)).signatures

    def described(specs):
        return {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()}

    number = {"seed": ("int64", (None,)), "index": ("int64", (None,))}
    mask, image = ("uint8", (None, 32, 32, 1)), ("uint8", (None, 32, 32, 3))
    latent = {"latent": ("float32", (None, 6)), "style": ("float32", (None, 3))}
    expected = {
        "serving_default": (number, {"mask_bytes": ("string", (None,)), "image_bytes": ("string", (None,))}),
        "pixels": (number, {"mask": mask, "image": image}),
        "from_latent": (latent, {"mask": mask, "image": image}),
        "translate": ({"mask": mask, **number}, {"image": image}),
    }
    found = {
        name: (described(function.structured_input_signature[1]), described(function.structured_outputs))
        for name, function in signatures.items()
    }
    assert found == expected


def test_all_signatures_of_the_savedmodel_agree(tiny_artifact, generated):
    loaded = tf.saved_model.load(str(tiny_artifact / artifact.SAVEDMODEL))
    encoded = loaded.signatures["serving_default"](seed=tf.constant(SEED), index=tf.constant(INDEX))
    for name, shown in zip(("mask_bytes", "image_bytes"), generated, strict=True):
        decoded = np.stack([images.decode_png(data) for data in encoded[name].numpy()])
        np.testing.assert_array_equal(decoded, shown)
    translated = artifact.open_artifact(tiny_artifact, "savedmodel").translate(generated[0], SEED, INDEX)
    np.testing.assert_allclose(translated.astype(int), generated[1], atol=1)
    pair = loaded.signatures["from_latent"](latent=tf.zeros((2, 6)), style=tf.constant([[1.0, 0, 0], [-1.0, 0, 0]]))
    np.testing.assert_array_equal(*pair["mask"].numpy())
    assert np.abs(np.subtract(*pair["image"].numpy().astype(int))).mean() > 1


def test_onnx_file_is_valid_and_describes_itself(tiny_artifact):
    import onnx

    model = onnx.load(str(tiny_artifact / artifact.ONNX))
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == 18
    assert [value.name for value in model.graph.input] == ["seed", "index"]
    assert {value.name for value in model.graph.output} == {"mask", "image"}
    facts = {entry.key: entry.value for entry in model.metadata_props}
    card = json.loads((tiny_artifact / "card.json").read_text())
    assert facts["model_sha256"] == card["model_sha256"]
    assert (facts["name"], facts["license"], facts["synthetic"]) == ("model", "CC BY 4.0", "yes")
    assert json.loads(facts["training_data"]) == card["data"]
    assert model.doc_string and model.domain == "synthmed"


def test_tensorflow_alone_opens_the_savedmodel(tiny_artifact, generated, tmp_path):
    code = f"""
import tensorflow as tf
pixels = tf.saved_model.load({str(tiny_artifact / artifact.SAVEDMODEL)!r}).signatures["pixels"]
generated = pixels(seed=tf.constant(seed), index=tf.constant(index))
mask, image = generated["mask"].numpy(), generated["image"].numpy()
"""
    pair = _generate_isolated(code, ("keras", "synthmed_tf", "tensorflow_addons"), tmp_path)
    _same(pair["mask"], pair["image"], generated)


def test_onnxruntime_alone_opens_the_onnx_file(tiny_artifact, generated, tmp_path):
    code = f"""
import onnxruntime
session = onnxruntime.InferenceSession({str(tiny_artifact / artifact.ONNX)!r}, providers=["CPUExecutionProvider"])
mask, image = session.run(["mask", "image"], dict(seed=seed, index=index))
"""
    pair = _generate_isolated(code, ("tensorflow", "keras", "onnx", "synthmed_tf"), tmp_path)
    _same(pair["mask"], pair["image"], generated)


def test_saved_model_cli_lists_the_signatures(tiny_artifact):
    tool = Path(sys.executable).with_name("saved_model_cli")
    if not tool.exists():
        pytest.skip("no saved_model_cli next to this Python")
    command = [str(tool), "show", "--dir", str(tiny_artifact / artifact.SAVEDMODEL), "--tag_set", "serve"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("serving_default", "pixels", "from_latent", "translate"):
        assert f'"{name}"' in shown


def test_an_artifact_is_opened_by_its_folder_or_its_onnx_file(tiny_artifact):
    assert artifact.open_artifact(tiny_artifact).runtime == "savedmodel"
    assert artifact.open_artifact(str(tiny_artifact / "generator.onnx")).runtime == "onnx"
    assert artifact.open_artifact(tiny_artifact / "generator.onnx", "savedmodel").runtime == "savedmodel"


def _refusal(folder, runtime="auto"):
    with pytest.raises(SynthMedError) as caught:
        artifact.open_artifact(folder, runtime)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def copy(tiny_artifact, tmp_path):
    return shutil.copytree(tiny_artifact, tmp_path / "copy")


def test_what_is_no_artifact(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    for other in (tmp_path, tmp_path / "none", tmp_path / "a.txt", tmp_path / "none.onnx"):
        assert _refusal(other) == f"{other} is not an artifact: it has no card.json; make one with synthmed export."


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (b"", "copy/card.json is damaged (Expecting value"),
        (b"\xff\xfe", "copy/card.json is damaged ("),
        (b'{"kind": "generator", "size": 3}', "copy/card.json is damaged (model_sha256, license, data missing)"),
        (b"[]", "copy is not an artifact: its card.json is of another kind; name an artifact's folder."),
        (b'{"kind": "synthetic set", "size": 3}', "copy is not an artifact: its card.json is of another kind"),
    ],
)
def test_a_card_that_is_damaged_or_of_something_else(copy, card, said):
    (copy / "card.json").write_bytes(card)
    assert said in _refusal(copy)


def test_a_format_that_is_not_there(copy):
    (copy / "generator.onnx").unlink()
    assert _refusal(copy, "onnx") == f"{copy} holds no ONNX file; export the run again with synthmed export."
    shutil.rmtree(copy / "savedmodel")
    assert _refusal(copy, "savedmodel") == f"{copy} holds no SavedModel; export the run again with synthmed export."
    assert _refusal(copy) == f"{copy} holds no SavedModel or ONNX file; export the run again with synthmed export."


FILES = [
    ("onnx", "generator.onnx"),
    ("savedmodel", "savedmodel/1/saved_model.pb"),
    ("savedmodel", "savedmodel/1/variables/variables.index"),
    ("savedmodel", "savedmodel/1/variables/variables.data-00000-of-00001"),
]


@pytest.mark.parametrize(("runtime", "file"), FILES)
def test_a_changed_model_file(copy, runtime, file):
    content = bytearray((copy / file).read_bytes())
    old = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    new = hashlib.sha256(content).hexdigest()
    assert _refusal(copy, runtime) == (
        f"{copy / file} is not the file that card.json lists (its SHA-256 begins with {new[:12]}, not {old[:12]}); "
        "copy the artifact again or export the run again."
    )
    other = "onnx" if runtime == "savedmodel" else "savedmodel"
    assert artifact.open_artifact(copy, other).runtime == other


@pytest.mark.parametrize("file", [file for _, file in FILES if "variables" in file])
def test_a_missing_model_file(copy, file):
    (copy / file).unlink()
    assert _refusal(copy) == f"{copy / file} is missing; copy the artifact again or export the run again."


@pytest.mark.parametrize(("runtime", "file"), FILES[:3])
def test_a_damaged_model_file_that_the_card_agrees_with(copy, runtime, file):
    (copy / file).write_bytes((copy / file).read_bytes()[: (copy / file).stat().st_size // 2])
    write_card(copy, artifact.read_card(copy))
    assert _refusal(copy, runtime).startswith(f"{copy / artifact.RUNTIMES[runtime]} cannot be opened (")


def test_an_onnx_file_of_another_model(copy):
    true = artifact.read_card(copy)["model_sha256"]
    write_card(copy, artifact.read_card(copy) | {"model_sha256": "ab" * 32})
    assert _refusal(copy, "onnx") == (
        f"{copy / 'generator.onnx'} is of model {true}, and its card.json is of {'ab' * 32}; export the run again."
    )

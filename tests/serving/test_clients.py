"""The examples of `docs/serving.md`, run as they stand; and what clients of other languages send."""

import base64
import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
pytest.importorskip("uvicorn", reason="needs the extra serving")

import requests
import tensorflow as tf
from helpers.paths import ROOT
from helpers.served import served_artifact

from synthmed_tf import images
from synthmed_tf.exporting import artifact

_BLOCK = re.compile(r"^```(bash|python|javascript|json)\n(.*?)^```$", re.M | re.S)
BLOCKS = _BLOCK.findall((ROOT / "docs" / "serving.md").read_text(encoding="utf-8"))
PATH = "/v1/models/synthmed:predict"


def _blocks(language):
    found = [text for name, text in BLOCKS if name == language]
    return [pytest.param(text, id=f"{language}{number}") for number, text in enumerate(found)]


@pytest.fixture(scope="module")
def served(tiny_artifact):
    with served_artifact(tiny_artifact) as server:
        yield server


@pytest.fixture(scope="module")
def reference(served):
    return artifact.open_artifact(served.artifact, "onnx")


@pytest.fixture
def here(served, tmp_path, monkeypatch):
    """A folder with MODEL in it; gives an example with the ports of the server."""
    (tmp_path / "MODEL").symlink_to(served.artifact, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    ports = {"localhost:8501": served.url.removeprefix("http://"), "localhost:8500": served.grpc}
    return lambda text: re.sub("|".join(ports), lambda found: ports[found[0]], text)


def _post(served, body):
    return requests.post(served.url + PATH, data=body, timeout=60)


@pytest.mark.parametrize("example", _blocks("bash"))
def test_curl(served, reference, here, example):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    done = subprocess.run(["bash", "-c", here(example)], capture_output=True, text=True, check=True, timeout=60)
    document = json.loads(done.stdout)
    first = document["predictions"][0] if "predictions" in document else document["outputs"]
    mask = first["mask_bytes"] if "predictions" in document else first["mask_bytes"][0]
    expected = reference.pixels(np.array([0]), np.array([42]))[0][0]
    np.testing.assert_array_equal(images.decode_png(_decoded(mask)), expected)


def _decoded(value):
    return base64.b64decode(value["b64"])


@pytest.mark.parametrize("example", _blocks("python"))
def test_python(here, reference, example):
    if "TFSMLayer" in example and keras.__version__.startswith("2."):
        pytest.skip("Keras 2 has no TFSMLayer")
    names = {}
    exec(compile(here(example), "docs/serving.md", "exec"), names)
    expected = reference.pixels(np.zeros(2, np.int64), np.array([42, 43]))
    if isinstance(names.get("masks"), list):
        names["masks"] = [images.decode_png(file) for file in names["masks"]]
    if "masks" in names:
        np.testing.assert_array_equal(names["masks"], expected[0])
    elif "pairs" in names:
        np.testing.assert_array_equal(names["pairs"]["mask"], expected[0])
    elif "dataset" in names:
        found = next(iter(names["dataset"].unbatch().skip(42).batch(2)))
        np.testing.assert_array_equal(found[1], expected[0])
    else:
        found = names["model"].predict([np.zeros(2, np.int64), np.array([42, 43])], verbose=0)
        np.testing.assert_array_equal(found["mask"], expected[0])
        np.testing.assert_allclose(found["image"].astype(int), expected[1], atol=1)


@pytest.mark.skipif(keras.__version__.startswith("2."), reason="Keras 2 has no TFSMLayer")
def test_a_keras_layer_takes_a_latent_and_a_mask(tiny_artifact, reference):
    saved = str(tiny_artifact / artifact.SAVEDMODEL)
    latent = tf.zeros((2, reference.card["latent_dim"]))
    layer = keras.layers.TFSMLayer(saved, call_endpoint="from_latent")
    pairs = layer(latent, style=tf.zeros((2, reference.card["style_dim"])))
    np.testing.assert_array_equal(pairs["mask"][0], pairs["mask"][1])
    seed, index = tf.constant([3], tf.int64), tf.constant([5], tf.int64)
    mask, image = reference.pixels(seed.numpy(), index.numpy())
    translated = keras.layers.TFSMLayer(saved, call_endpoint="translate")(tf.constant(mask), seed=seed, index=index)
    np.testing.assert_allclose(translated["image"].numpy().astype(int), image, atol=1)


@pytest.mark.parametrize("example", _blocks("javascript"))
def test_javascript(served, reference, here, tmp_path, example):
    node = shutil.which("node") or pytest.skip("Node.js is not installed")
    (tmp_path / "client.mjs").write_text(here(example))
    subprocess.run([node, "client.mjs"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    if "42.png" in example:
        expected = reference.pixels(np.array([0]), np.array([42]))[1][0].astype(int)
        np.testing.assert_allclose(images.read_image(tmp_path / "42.png"), expected, atol=1)


def test_javascript_loses_digits_beyond_2_to_the_53(served, reference):
    node = shutil.which("node") or pytest.skip("Node.js is not installed")
    code = "console.log(JSON.stringify({inputs: {seed: [9007199254740993], index: [1]}}))"
    body = subprocess.run([node, "-e", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert json.loads(body)["inputs"]["seed"] == [2**53]
    exact = _post(served, '{"inputs": {"seed": [9007199254740993], "index": [1]}}').json()["outputs"]
    expected = reference.pixels(np.array([2**53 + 1]), np.array([1]))[0][0]
    np.testing.assert_array_equal(images.decode_png(_decoded(exact["mask_bytes"][0])), expected)
    assert exact != _post(served, body).json()["outputs"]


def test_the_body_of_typed_languages(served, reference):
    [example] = [text for name, text in BLOCKS if name == "json"]
    [pair] = _post(served, example).json()["predictions"]
    expected = reference.pixels(np.array([0]), np.array([42]))[0][0]
    np.testing.assert_array_equal(images.decode_png(_decoded(pair["mask_bytes"])), expected)


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ('"0"', 'JSON Value: "0" Type: String is not of expected type: int64'),
        ("0.0", "JSON Value: 0.0 Type: Number is not of expected type: int64"),
        ("0e0", "Type: Number is not of expected type: int64"),
        ("null", "Type: Null is not of expected type: int64"),
        ('{"$numberLong": "0"}', "is not of expected type: int64"),
    ],
)
def test_an_integer_that_is_none_is_refused(served, seed, said):
    answer = _post(served, f'{{"instances": [{{"seed": {seed}, "index": 42}}]}}')
    assert answer.status_code == 400 and said in answer.json()["error"]

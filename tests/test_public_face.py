"""The public functions: each has an example, and each example runs as it stands. Importing the package is cheap."""

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pytest
from helpers import published
from helpers.paths import ENVIRONMENT

import synthmed_tf as sm
from synthmed_tf.data.phantom import write_phantoms

EXAMPLES = ("generate_set", "load", "load_dataset", "Model.dataset", "Model.generate", "Model.generate_from")
LONG_EXAMPLES = ("evaluate", "export", "train")


@pytest.fixture(scope="module")
def folder(tiny_run, tiny_artifact, tmp_path_factory):
    """What the examples open, under the names that they have there."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "RUN").symlink_to(tiny_run)
    (folder / "MODEL").symlink_to(tiny_artifact)
    write_phantoms(folder / "DIR", 64, 6, seed=1)
    sm.generate_set(sm.load(tiny_artifact, "onnx"), folder / "SET", count=6)
    (folder / "REPO").symlink_to(published.make(folder / "made", "phantom@1.0.0"))
    return folder


def _public(name):
    value = sm
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", [*EXAMPLES, *(pytest.param(name, marks=pytest.mark.once) for name in LONG_EXAMPLES)])
def test_the_example_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    [example] = doctest.DocTestFinder(recurse=False).find(_public(name), name, globs={})
    assert example.examples
    said = []
    doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not said, "".join(said)


def test_every_public_function_and_method_is_among_the_examples():
    functions = {name for name in sm.__all__ if inspect.isfunction(getattr(sm, name))}
    methods = {f"Model.{name}" for name, _ in inspect.getmembers(sm.Model, inspect.isfunction) if name[0] != "_"}
    assert functions | methods == {*EXAMPLES, *LONG_EXAMPLES}


def test_no_subpackage_replaces_a_public_name():
    for name in sm.__all__:
        assert not inspect.ismodule(getattr(sm, name))
    assert set(sm.__all__) <= set(dir(sm))
    with pytest.raises(AttributeError, match="module 'synthmed_tf' has no attribute 'generator'"):
        sm.generator  # noqa: B018


def test_the_import_is_cheap():
    code = "import sys, synthmed_tf; print(sorted({'tensorflow', 'keras', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_model_generates_the_pairs_of_seed_and_index_in_any_batch(tiny_artifact):
    model = sm.load(tiny_artifact, runtime="onnx")
    masks, images = model.artifact.pixels(np.full(5, 7), np.array([3, 9, 1, 4, 2**40]))
    for batch_size in (1, 2, 16):
        pairs = model.generate(seed=7, index=[3, 9, 1, 4, 2**40], batch_size=batch_size)
        np.testing.assert_array_equal(pairs.mask, masks)
        np.testing.assert_allclose(pairs.image.astype(int), images, atol=1)
    one = model.generate(seed=7, index=9)
    np.testing.assert_array_equal(one.mask, masks[1:2])
    image, mask = next(iter(model.dataset(seed=7, batch_size=2, first_index=3)))
    np.testing.assert_array_equal(mask[0], masks[0])
    np.testing.assert_allclose(image[1].numpy().astype(int), images[3], atol=1)


def test_images_of_given_masks(tiny_artifact):
    model = sm.load(tiny_artifact, runtime="savedmodel")
    pairs = model.generate(seed=7, index=range(2))
    again = model.generate_from(pairs.mask[..., 0] > 0, seed=7)
    np.testing.assert_array_equal(again.mask, pairs.mask)
    np.testing.assert_allclose(again.image.astype(int), pairs.image, atol=1)
    other = model.generate_from(pairs.mask, seed=7, index=[5, 5])
    assert np.abs(other.image.astype(int) - pairs.image).max() > 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: model.generate(index=[]), "There is no index; give at least one"),
        (lambda model: model.generate_from(np.zeros((1, 8, 8), bool)), r"shape \(1, 8, 8\); give bool or uint8 of"),
        (lambda model: model.generate_from(np.zeros((1, 32, 32))), "The masks are float64 of shape"),
        (lambda model: model.generate_from(np.zeros((2, 32, 32), bool), index=1), "There are 2 masks and 1 indices;"),
        (
            lambda model: model.generate_from(np.zeros((1, 32, 32), bool)),
            "The runtime onnx generates no images of given",
        ),
    ],
)
def test_what_a_model_refuses(tiny_artifact, call, said):
    with pytest.raises(sm.SynthMedError, match=said):
        call(sm.load(tiny_artifact, runtime="onnx"))

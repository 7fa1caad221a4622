"""Pairs for the evaluation: from the disk as they are needed, and in memory."""

import json
import shutil

import numpy as np
import pytest

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.context import Cache, EvaluationContext
from synthmed_tf.evaluation.pairs import ArrayPairs, Block, ReducedPairs, SyntheticSet
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import synthesis


@pytest.fixture(scope="module")
def generated(tiny_artifact, tmp_path_factory):
    """A set of 9 pairs of 32 pixels. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), out, 9, seed=4, first_index=3)
    return out


@pytest.fixture
def folder(generated, tmp_path):
    """A copy to change."""
    return shutil.copytree(generated, tmp_path / "set")


def _refusal(folder):
    with pytest.raises(SynthMedError) as caught:
        SyntheticSet(folder)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


def _block(count=3, size=4):
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 256, (count, size, size, 3), np.uint8)
    fields = np.ones((count, size, size), bool)
    fields[:, 0] = False
    return Block(pixels, rng.random((count, size, size)) < 0.5, fields)


def test_a_set_on_the_disk_has_the_images_of_its_files(generated):
    pairs = SyntheticSet(generated)
    assert (len(pairs), pairs.size, pairs.names[0]) == (9, 32, "00000003")
    block = pairs.read([8, 0])
    for row, name in enumerate(("00000011.png", "00000003.png")):
        np.testing.assert_array_equal(block.images[row], images.read_image(generated / "images" / name))
        np.testing.assert_array_equal(block.masks[row], images.read_mask(generated / "masks" / name))


def test_a_set_of_images_that_fill_the_frame_says_so_on_its_card(folder):
    card = json.loads((folder / "card.json").read_text())
    card["data"]["stage1"] |= {"field_of_view": "frame", "structures": "any"}
    (folder / "card.json").write_text(json.dumps(card))
    pairs = SyntheticSet(folder)
    assert pairs.kind == ("frame", "any")
    assert pairs.field.all()
    image = images.read_image(folder / "images" / "00000003.png")
    np.testing.assert_array_equal(pairs.read([0]).images[0], image)


def test_the_field_of_view_of_a_set_is_where_its_images_are_not_black(generated):
    from helpers import tiny

    np.testing.assert_array_equal(SyntheticSet(generated).field, tiny.FOV[..., 0] == 255)


def test_the_fingerprint_changes_with_any_pair(generated, folder):
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    (folder / "manifest.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert SyntheticSet(folder).fingerprint != SyntheticSet(generated).fingerprint


def test_a_set_without_a_manifest_is_refused(folder):
    (folder / "manifest.jsonl").unlink()
    assert "manifest.jsonl" in _refusal(folder) and "No such file" in _refusal(folder)


def test_a_set_of_one_image_is_refused(folder):
    first = (folder / "manifest.jsonl").read_text().splitlines()[0]
    (folder / "manifest.jsonl").write_text(first + "\n")
    assert "1 pair" in _refusal(folder)


def test_a_folder_that_is_no_set_is_refused(tmp_path):
    assert "not a synthetic set" in _refusal(tmp_path)


def test_a_set_of_another_format_is_refused_with_the_remedy(folder):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"plan": {"format": "tfrecord"}}))
    remedy = "generate it with --format png."
    assert _refusal(folder).endswith(f"is a set of tfrecord, but the evaluation reads plain pairs; {remedy}")


def test_an_image_of_another_size_is_named(folder):
    images.write_png(folder / "masks" / "00000005.png", np.zeros((16, 16), np.uint8))
    pairs = SyntheticSet(folder)
    with pytest.raises(SynthMedError, match=r"00000005.png has 16x16 pixels, not 32x32"):
        pairs.read([2])


def test_pairs_in_memory_are_black_outside_their_fields():
    block = _block()
    pairs = ArrayPairs(block, ["a", "b", "c"], ["p", "p", "q"])
    assert not pairs.all().images[:, 0].any() and not pairs.all().masks[:, 0].any()
    np.testing.assert_array_equal(pairs.read([2]).images[0, 1:], block.images[2, 1:])
    assert pairs.patients == ("p", "p", "q")


def test_reduced_pairs_are_averages_and_thin_vessels_stay_whole():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    masks, fields = np.zeros((2, 64, 64), bool), np.ones((2, 64, 64), bool)
    masks[:, 30, 4:60], fields[:, :, :16] = True, False
    full = ArrayPairs(Block(images, masks, fields), ["a", "b"], ["p", "p"])
    pairs = ReducedPairs(full, 16)
    assert pairs.full is full and full.full is full and pairs.size == 16
    assert pairs.patients == ("p", "p") and pairs.fingerprint not in (
        full.fingerprint,
        ReducedPairs(full, 32).fingerprint,
    )
    block = pairs.read([1])
    averages = images[1].reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(block.images[0, :, 4:], averages[:, 4:], atol=0.51)
    assert not block.images[0, :, :4].any() and not block.fields[0, :, :4].any() and block.fields[0, :, 4:].all()
    # One pixel of four across: covers a quarter of the reduced pixel, and is shown all the same.
    assert block.masks[0, 7, 5:14].all() and block.masks[0].sum(axis=0).max() == 1


def test_pairs_of_other_shapes_or_not_of_bytes_are_refused():
    block = _block()
    floats = Block(np.full(block.images.shape, np.nan), block.masks, block.fields)
    with pytest.raises(ValueError, match="Received: float64"):
        ArrayPairs(floats, ["a", "b", "c"])
    with pytest.raises(ValueError, match="2 and 2"):
        ArrayPairs(block, ["a", "b"])


def test_what_is_measured_is_in_the_order_of_the_pairs_and_is_kept(tmp_path):
    block = _block(300, 2)
    pairs = ArrayPairs(block, [str(i) for i in range(300)])
    context = EvaluationContext(pairs, pairs, None, Cache(tmp_path))
    calls = []

    def measure(part):
        calls.append(len(part.masks))
        return {"red": part.images[..., 0].sum(axis=(1, 2))}

    expected = pairs.all().images[..., 0].sum(axis=(1, 2))
    for _ in range(2):
        np.testing.assert_array_equal(context.measured(pairs, "red", {"version": 1}, measure)["red"], expected)
    assert sum(calls) == 300
    context.measured(pairs, "red", {"version": 2}, measure)
    assert sum(calls) == 600


def test_a_damaged_result_is_made_again(tmp_path):
    cache = Cache(tmp_path)
    cache.arrays("a", {"k": 1}, lambda: {"x": np.arange(3)})
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    again = cache.arrays("a", {"k": 1}, lambda: {"x": np.arange(4)})
    np.testing.assert_array_equal(again["x"], np.arange(4))


def test_random_numbers_belong_to_their_purpose(tmp_path):
    pairs = ArrayPairs(_block(), ["a", "b", "c"])
    context = EvaluationContext(pairs, pairs, None, Cache(tmp_path))
    assert context.rng("kid").random() == context.rng("kid").random() != context.rng("prdc").random()


def test_the_set_of_a_filtered_manifest_leaves_out_what_was_dropped(folder):
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    lines[4]["dropped"] = {"reason": "copy", "score": 0.2, "limit": 0.0}
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert SyntheticSet(folder).names == tuple(f"{i:08d}" for i in (3, 4, 5, 6, 8, 9, 10, 11))

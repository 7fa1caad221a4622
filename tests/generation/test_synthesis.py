"""Synthetic sets: whole, resumable, and any part of one endless set."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import preview
from synthmed_tf.generation.formats.base import Pair
from synthmed_tf.generation.manifest import read_pairs
from synthmed_tf.generation.synthesis import Written, generate, generate_set, make_plan
from synthmed_tf.generation.verification import verify


@pytest.fixture(scope="module")
def opened(tiny_artifact):
    return open_artifact(tiny_artifact, "onnx")


@pytest.fixture(scope="module")
def whole(opened, tmp_path_factory):
    """A set of 11 pairs with seed 4, generated in one go. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "whole"
    assert generate_set(opened, out, 11, seed=4, batch_size=4) == Written(11)
    return out


def _contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _refusal(opened, out, *numbers, **options):
    with pytest.raises(SynthMedError) as caught:
        generate_set(opened, out, *numbers, **options)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_has_the_files_of_the_design_and_no_others(whole):
    pairs = {f"{folder}/{index:08d}.png" for folder in ("images", "masks") for index in range(11)}
    assert _contents(whole).keys() == pairs | {"manifest.jsonl", "card.json", "preview.png"}


def test_the_files_are_the_images_of_seed_and_index(opened, whole):
    masks, pixels = opened.pixels(np.full(11, 4), np.arange(11))
    for index in range(11):
        name = f"{index:08d}.png"
        np.testing.assert_array_equal(images.decode_png((whole / "masks" / name).read_bytes()), masks[index])
        image = images.decode_png((whole / "images" / name).read_bytes())
        np.testing.assert_allclose(image.astype(int), pixels[index], atol=1)


def test_the_manifest_has_a_true_line_for_each_pair(opened, whole):
    lines = list(read_pairs(whole))
    assert [line["index"] for line in lines] == list(range(11))
    for line in lines:
        for folder in ("images", "masks"):
            content = (whole / folder / f"{line['index']:08d}.png").read_bytes()
            assert line[f"{folder}_sha256"] == hashlib.sha256(content).hexdigest()
        mask = images.decode_png((whole / "masks" / f"{line['index']:08d}.png").read_bytes())
        assert line["vessel_share"] == round(np.count_nonzero(mask) / 1024, 5)
        assert (line["seed"], line["model_sha256"]) == (4, opened.model_sha256)


def test_the_card_and_the_preview(opened, whole):
    card = json.loads((whole / "card.json").read_text())
    facts = {"kind": "synthetic set", "model_sha256": opened.model_sha256, "seed": 4, "size": 32, "synthetic": True}
    facts |= {"license": "CC BY 4.0", "data": opened.card["data"]}
    assert {name: card[name] for name in facts} == facts
    sheet = images.decode_png((whole / "preview.png").read_bytes())
    assert sheet.shape == (2 * 34 + 2, 8 * 34 + 2, 3)
    first = images.decode_png((whole / "images" / "00000000.png").read_bytes())
    np.testing.assert_array_equal(sheet[2:34, 2:34], first)


def test_sixteen_pairs_are_shown_in_two_rows():
    pairs = [Pair(i, np.full((4, 4, 1), 100 + i, np.uint8), np.full((4, 4, 3), i, np.uint8)) for i in range(16)]
    assert list(preview.shown(range(100))) == list(range(16)) and list(preview.shown(range(15))) == list(range(8))
    sheet = images.decode_png(preview.encode(pairs))
    assert sheet.shape == (4 * 6 + 2, 8 * 6 + 2, 3)
    expected = [[*range(8)], [*range(100, 108)], [*range(8, 16)], [*range(108, 116)]]
    np.testing.assert_array_equal(sheet[2::6, 2::6, 0], expected)


@pytest.mark.parametrize(
    "harm",
    ["none", "files", "last line", "line", "no manifest", "foreign lines in manifest", "left-over part", "no preview"],
)
def test_a_harmed_set_is_mended_to_the_same_bytes(opened, whole, tmp_path, harm):
    out = shutil.copytree(whole, tmp_path / "set")
    manifest = (out / "manifest.jsonl").read_bytes()
    lines = manifest.splitlines(keepends=True)
    generated = 1
    if harm == "none":
        generated = 0
    elif harm == "files":
        (out / "images" / "00000003.png").unlink()
        (out / "masks" / "00000009.png").unlink()
        generated = 2
    elif harm == "last line":
        (out / "manifest.jsonl").write_bytes(manifest[:-30])
    elif harm == "line":
        (out / "manifest.jsonl").write_bytes(b"".join(lines[:5] + lines[6:]))
    elif harm == "no manifest":
        (out / "manifest.jsonl").unlink()
        generated = 11
    elif harm == "foreign lines in manifest":
        (out / "manifest.jsonl").write_bytes(b'{}\n\xff\n3\n[]\n{"index": "7"}\n{"index": -1}\n' + manifest + lines[2])
        generated = 0
    elif harm == "left-over part":
        (out / "images" / ".00000003.png.99.part").write_bytes(b"half")
        generated = 0
    elif harm == "no preview":
        (out / "preview.png").unlink()
        generated = 0
    seen = []
    written = generate_set(opened, out, 11, seed=4, batch_size=4, progress=lambda *counts: seen.append(counts))
    assert written == Written(generated)
    assert _contents(out) == _contents(whole)
    assert seen == [(done, 11) for done in range(11 - generated, 12)]


def test_an_interrupted_run_goes_on(opened, whole, tmp_path):
    class Stopping:
        model_sha256, precision, card, runtime = opened.model_sha256, opened.precision, opened.card, "onnx"
        calls = 0

        def pixels(self, seed, index):
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return opened.pixels(seed, index)

    with pytest.raises(KeyboardInterrupt):
        generate(Stopping(), make_plan(opened, 11, seed=4, batch_size=4), tmp_path / "set")
    assert len(os.listdir(tmp_path / "set" / "images")) == 8
    generate_set(opened, tmp_path / "set", 11, seed=4, batch_size=4)
    assert _contents(tmp_path / "set") == _contents(whole)


def test_parts_generated_in_any_order_are_the_whole(opened, whole, tmp_path):
    for first, count in ((6, 5), (3, 2), (0, 11)):
        generate_set(opened, tmp_path / "set", count, seed=4, first_index=first, batch_size=3)
    parts, expected = _contents(tmp_path / "set"), _contents(whole)
    assert parts.keys() == expected.keys()
    for name in expected:
        if name.startswith("masks/"):
            assert parts[name] == expected[name]
        if name.startswith("images/"):
            difference = images.decode_png(parts[name]).astype(int) - images.decode_png(expected[name])
            assert np.abs(difference).max() <= 1
    assert [line["index"] for line in read_pairs(tmp_path / "set")] == list(range(11))


def test_both_runtimes_generate_the_same_set(tiny_artifact, whole, tmp_path):
    generate_set(tiny_artifact, tmp_path / "set", 11, seed=4, runtime="savedmodel")
    for index in range(11):
        name = f"{index:08d}.png"
        assert (tmp_path / "set" / "masks" / name).read_bytes() == (whole / "masks" / name).read_bytes()
        one, other = (images.read_image(folder / "images" / name).astype(int) for folder in (tmp_path / "set", whole))
        assert np.abs(one - other).max() <= 1


def test_the_last_index_of_the_endless_set(opened, tmp_path):
    for generated in (2, 0):
        assert generate_set(opened, tmp_path, 2, seed=-(2**63), first_index=2**63 - 2).generated == generated
    assert [line["index"] for line in read_pairs(tmp_path)] == [2**63 - 2, 2**63 - 1]


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"count": 0}, "The number of pairs is 0; it must be at least 1."),
        (
            {"count": 1, "first_index": -1},
            "Indices -1 to -1 are not all from 0 to 9223372036854775807; choose another --from-index.",
        ),
        (
            {"count": 2, "first_index": 2**63 - 1},
            "Indices 9223372036854775807 to 9223372036854775808 are not all from 0 to 9223372036854775807; "
            "choose another --from-index.",
        ),
        ({"count": 1, "seed": 2**63}, "The seed is 9223372036854775808; it must fit into 64 bits."),
    ],
)
def test_numbers_out_of_range(opened, tmp_path, numbers, sentence):
    assert _refusal(opened, tmp_path / "set", **numbers) == sentence
    assert not (tmp_path / "set").exists()


def test_a_set_of_another_seed_or_model_is_refused(opened, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "set")
    assert _refusal(opened, out, 1, seed=5) == f"{out} holds a set with seed 4, not 5; choose another --out."
    card = json.loads((out / "card.json").read_text()) | {"model_sha256": "ffff"}
    (out / "card.json").write_text(json.dumps(card))
    sentence = f"{out} holds a set with model_sha256 ffff, not {opened.model_sha256}; choose another --out."
    assert _refusal(opened, out, 1, seed=4) == sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", "text", "is not a synthetic set; choose another --out or empty it."),
        ("card.json", '{"kind": "generator"}', "is not a synthetic set; choose another --out or empty it."),
        ("card.json", "[]", "is not a synthetic set; choose another --out or empty it."),
        ("card.json", "{", "card.json is damaged ("),
    ],
)
def test_a_folder_of_something_else_is_refused(opened, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    assert said in _refusal(opened, tmp_path, 1, seed=5)
    assert os.listdir(tmp_path) == [name]


def test_a_place_that_cannot_be_written(opened, tmp_path):
    (tmp_path / "file").write_text("text")
    for out in (tmp_path / "file", tmp_path / "file" / "set"):
        assert "cannot be written (Not a directory); free space or choose another --out" in _refusal(opened, out, 1)


def test_two_jobs_do_not_generate_into_one_set_without_shards(opened, tmp_path):
    out = tmp_path / "set"
    with pytest.raises(SynthMedError, match=r"set is being generated by pid \d+ on .*; wait for it, or use --shards"):
        generate_set(opened, out, 4, progress=lambda done, total: generate_set(opened, out, 4))
    assert generate_set(opened, out, 4).generated == 4


def test_a_changed_file_that_the_preview_shows_is_refused_without_repair(opened, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "set")
    harmed = out / "masks" / "00000003.png"
    harmed.write_bytes(b"x" * harmed.stat().st_size)
    sentence = f"{harmed} is damaged; run the same synthmed generate command with --repair."
    assert _refusal(opened, out, 11, seed=4, batch_size=4) == sentence
    assert generate_set(opened, out, 11, seed=4, batch_size=4, repair=True) == Written(1)
    assert _contents(out) == _contents(whole)


@pytest.mark.parametrize("harm", ["cut short", "another image"])
def test_a_changed_file_is_generated_again(opened, whole, tmp_path, harm):
    out = shutil.copytree(whole, tmp_path / "set")
    harmed = out / "images" / "00000009.png"
    content = harmed.read_bytes()
    harmed.write_bytes(content[:-9] if harm == "cut short" else content[:-9] + b"x" + content[-8:])
    plan = make_plan(opened, 11, seed=4, batch_size=4)
    assert generate(opened, plan, out) == Written(harm == "cut short")
    assert generate(opened, plan, out, repair=True) == Written(harm != "cut short")
    assert _contents(out) == _contents(whole)


def test_a_set_of_an_older_version_is_verified_and_resumed(opened, whole, tmp_path):
    """Its manifest has no sizes, and its card no precision."""
    out = shutil.copytree(whole, tmp_path / "set")
    card = json.loads((out / "card.json").read_text())
    (out / "card.json").write_text(json.dumps({name: card[name] for name in card if name != "precision"}))
    old = [{name: line[name] for name in line if not name.endswith("_size")} for line in read_pairs(whole)]
    (out / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    assert verify(out).problems == ()
    assert generate_set(opened, out, 12, seed=4, batch_size=4) == Written(1)
    lines = list(read_pairs(out))
    assert lines[:11] == old and (lines[11]["index"], "images_size" in lines[11]) == (11, True)
    assert verify(out).problems == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"dicom": {"laterality": "R"}},
            "The facts for DICOM have no place in the format png; choose the format dicom.",
        ),
        (
            {"engine": "beam"},
            "The engine beam generates all shards, and needs the folder of the artifact.",
        ),
        ({"shards": 6}, "The number of shards is 6; it must be from 0 to the number of pairs, 5."),
    ],
)
def test_options_that_do_not_go_together(opened, tmp_path, options, said):
    assert _refusal(opened, tmp_path / "set", 5, **options) == said
    assert not (tmp_path / "set").exists()

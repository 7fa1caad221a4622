"""`synthmed data fix`: a clean plain folder, with each change told, and the old folder as it was."""

import hashlib
import json
import os
import shutil
import unicodedata

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from synthmed_tf.cli.main import main
from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.data.doctor.fix import fix_folder
from synthmed_tf.data.preprocessing import load_samples
from synthmed_tf.data.sources import find_pairs
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import read_image, read_mask, write_png

A, B, C, D = (f"phantom_0000{i}.png" for i in range(4))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def arrays(folder, name):
    return read_image(folder / "images" / name), read_mask(folder / "masks" / name), read_mask(folder / "fov" / name)


def test_a_clean_folder_comes_back_with_equal_pixels(root, tmp_path):
    before = contents(root)
    fixes = fix_folder(root, tmp_path / "new")
    assert fixes.exit_code == 0 and [pair.changes for pair in fixes.pairs] == [()] * 4
    assert contents(root) == before
    assert check_folder(tmp_path / "new").findings == ()
    for name in (A, B, C, D):
        for new, old in zip(arrays(tmp_path / "new", name), arrays(root, name), strict=True):
            np.testing.assert_array_equal(new, old)


def damage(root):
    """Everything that can be fixed at once; returns the arrays as they should come out."""
    expected = {name: arrays(root, name) for name in (A, B, C)}
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("images", "masks", "fov"):  # A: stored turned, the photograph alone says so
        stored = np.rot90(np.asarray(Image.open(root / kind / A)))
        Image.fromarray(stored[:, :150]).save(root / kind / A, **({"exif": exif} if kind == "images" else {}))
    expected[A] = tuple(array[:150] for array in expected[A])
    labels = np.where(expected[B][1], 1 + (np.arange(160) % 2), 0).astype(np.uint8)
    Image.fromarray(labels).save(root / "masks" / B)
    (root / "masks" / B).rename(root / "masks" / "phantom_00001_mask.png")
    for kind in ("images", "masks", "fov"):
        shutil.copy(root / kind / D, root / kind / "phantom_00004.png")
    (root / "fov" / D).unlink()
    for kind, border in (("images", 255), ("masks", 0)):
        pixels = np.asarray(Image.open(root / kind / D))
        around = ((30, 20), (40, 10), (0, 0))[: pixels.ndim]
        pixels = np.pad(pixels, around, constant_values=border)
        write_png(root / kind / D, pixels)
    (root / "images" / "broken.png").write_bytes(b"hello")
    (root / "masks" / "broken.png").write_bytes(b"hello")
    return expected


def test_everything_that_can_be_fixed_is_and_is_told(root, tmp_path):
    expected = damage(root)
    before = contents(root)
    out = tmp_path / "new"
    fixes = fix_folder(root, out, vessel_labels="1,2,255")
    told = {pair.name: " | ".join(pair.changes) for pair in fixes.pairs}
    assert contents(root) == before and len(fixes.pairs) == 4, fixes.to_text()
    for name in (A, B, C):
        for new, old in zip(arrays(out, name), expected[name], strict=True):
            np.testing.assert_array_equal(new, old)
    assert "photograph turned upright (EXIF orientation 6)" in told["phantom_00000"]
    assert "mask turned with its photograph" in told["phantom_00000"]
    assert "label map with the values 0, 1 and 2" in told["phantom_00001"]
    assert "bright border cut (210x210" in told["phantom_00003"]
    reasons = {finding.path: finding.problem for finding in fixes.left_out}
    assert "no image that can be read" in reasons["images/broken.png"]
    assert "nearly the same photograph as images/phantom_00003.png" in reasons["images/phantom_00004.png"]
    record = json.loads((out / "fixes.json").read_text())
    assert [pair["name"] for pair in record["pairs"]] == sorted(told) and len(record["left_out"]) == len(fixes.left_out)
    assert len(load_samples(find_pairs(out).pairs, 32)) == len(fixes.pairs)


def test_inverted_and_mirrored_masks_are_put_right(root, tmp_path):
    _, first, field = arrays(root, A)
    _, second, _ = arrays(root, B)
    write_png(root / "masks" / A, ~first)
    write_png(root / "masks" / B, second[:, ::-1])
    fixes = fix_folder(root, tmp_path / "new")
    told = {pair.name: pair.changes for pair in fixes.pairs}
    assert told["phantom_00000"] == ("mask inverted, so that vessels are bright",)
    assert told["phantom_00001"] == ("mask was mirrored, and was turned back",)
    np.testing.assert_array_equal(read_mask(tmp_path / "new" / "masks" / A), first & field)
    np.testing.assert_array_equal(read_mask(tmp_path / "new" / "masks" / B), second)


def test_a_call_that_was_interrupted_goes_on(root, tmp_path):
    out, seen = tmp_path / "new", []

    def stop(done, total):
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fix_folder(root, out, progress=stop)
    assert not out.exists()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".new.fixing/images/*")}
    assert len(written) == 2
    fixes = fix_folder(root, out)
    assert len(fixes.pairs) == 4 and not (tmp_path / ".new.fixing").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert all(kept[path.name] == time for path, time in written.items())
    assert sorted(path.name for path in out.iterdir()) == ["fixes.json", "fov", "images", "masks"]
    assert fix_folder(root, out) == fixes


def test_names_and_patients(root, tmp_path):
    for kind in ("images", "masks", "fov"):
        form = "NFC" if kind == "images" else "NFD"
        (root / kind / A).rename(root / kind / unicodedata.normalize(form, "é_1.png"))
    fixes = fix_folder(root, tmp_path / "new", patient_regex=r"_(\d+)$")
    assert "é_1" in [pair.name for pair in fixes.pairs] and fixes.patient_regex == r"_(\d+)$"
    assert r"--patient-regex '_(\d+)$'" in fixes.to_text()


def test_what_is_refused(root, tmp_path):
    with pytest.raises(SynthMedError, match=r"lie in each other; give a folder elsewhere"):
        fix_folder(root, root / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(SynthMedError, match=r"full is not empty; give a new folder"):
        fix_folder(root, tmp_path / "full")
    (tmp_path / "bad" / "images").mkdir(parents=True)
    (tmp_path / "bad" / "images" / "a.png").write_bytes(b"x")
    with pytest.raises(SynthMedError, match=r"bad has no pair that can be fixed \(images/a\.png is no image"):
        fix_folder(tmp_path / "bad", tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["bad", "full", "set"] or not (tmp_path / "out").exists()
    fix_folder(root, tmp_path / "new")
    (root / "images" / D).unlink()
    with pytest.raises(SynthMedError, match=r"new is the result of other files or options"):
        fix_folder(root, tmp_path / "new")


def test_the_command(root, tmp_path):
    (root / "masks" / A).unlink()
    result = CliRunner().invoke(main, ["data", "fix", str(root), "--out", str(tmp_path / "new")])
    assert result.exit_code == 1, result.output
    assert "3 pairs were written, 0 of them changed" in result.output
    assert f"images/{A} is a photograph without a mask" in result.output

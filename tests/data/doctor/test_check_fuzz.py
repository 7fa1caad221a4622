"""The data doctor on randomly damaged copies: always a report, never a word about files that nobody touched."""

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthmed_tf.data.doctor.check import check_folder
from synthmed_tf.data.phantom import write_phantoms
from synthmed_tf.errors import NOTE
from synthmed_tf.images import read_image, read_mask

SIDE = 200
NAMES = (
    "a b",
    "it's",
    'say "x"',
    "Auge_ä_目",
    "[red]x[bold]",
    "-rf",
    "a\nb",
    "tab\there",
    "\x1b[31m",
    "%s {0}",
    "ü" * 60,
)
CERTAIN = {"emptied", "halved", "headless", "noise", "huge", "text", "pipe", "dangling"}
"""After these damages the file cannot be read, and an error must name it."""


def _bits(data, random):
    data = bytearray(data)
    for place in random.integers(0, len(data), random.integers(1, 20)):
        data[place] ^= 1 << int(random.integers(8))
    return bytes(data)


def _bytes(data, random):
    start = int(random.integers(len(data)))
    return data[:start] + random.bytes(int(random.integers(1, 200))) + data[start + int(random.integers(200)) :]


def _huge(data, random):
    side = 60_000
    if data.startswith(b"\x89PNG"):
        return data[:16] + side.to_bytes(4, "big") * 2 + data[24:]
    return b"P6 %d %d 255\n" % (side, side) + data


DAMAGES = {
    "bits": _bits,
    "header bits": lambda data, random: _bits(data[:64], random) + data[64:],
    "bytes": _bytes,
    "cut": lambda data, random: data[: int(random.integers(1, len(data)))],
    "tail": lambda data, random: data + random.bytes(50),
    "gzipped": lambda data, random: gzip.compress(data, mtime=0),
    "emptied": lambda data, random: b"",
    "halved": lambda data, random: data[: len(data) // 2],
    "headless": lambda data, random: bytes(32) + data[32:],
    "noise": lambda data, random: random.bytes(len(data)),
    "huge": _huge,
    "text": lambda data, random: "nicht lesbar: ü\n".encode() * 40,
}


def _turn(path, random):
    with Image.open(path) as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.save(path)


def _resize(path, random):
    with Image.open(path) as image:
        small = image.resize((int(random.integers(1, 150)), int(random.integers(1, 150))))
    small.save(path)


def _pipe(path, random):
    path.unlink()
    os.mkfifo(path)


def _dangle(path, random):
    path.unlink()
    path.symlink_to(path.with_name("nowhere" + path.suffix))


def _outsider(path, random):
    shutil.copy(path, path.with_name(f"{NAMES[int(random.integers(len(NAMES)))]}{path.suffix}"))


def _rename(path, random):
    path.rename(path.with_suffix([".PNG", ".jpg", ".tif", ".ppm.gz", ".dcm", ".txt"][int(random.integers(6))]))


CHANGES = {
    "turned": _turn,
    "resized": _resize,
    "pipe": _pipe,
    "dangling": _dangle,
    "outsider": _outsider,
    "renamed": _rename,
    "removed": lambda path, random: path.unlink(),
}


def _damage(path, kind, random):
    if kind in DAMAGES:
        path.write_bytes(DAMAGES[kind](path.read_bytes(), random))
    else:
        CHANGES[kind](path, random)


def _key(path):
    """What the files of a pair share: `phantom_00000`, `01L` of CHASE_DB1, `01_h` of HRF."""
    return Path(path).stem.removeprefix("Image_").removesuffix("_1stHO").removeprefix("mask_")


def _fuzz(folder, copies, rounds, seed):
    """Damages `copies` files in each of `rounds` copies of the folder; returns how many there were."""
    kinds = [*DAMAGES, *CHANGES]
    done = 0
    for turn in range(rounds):
        random = np.random.default_rng((seed, turn))
        root = folder.with_name(f"{folder.name} '{turn}' ä")
        shutil.copytree(folder, root)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        damaged = {}
        for path in random.permutation(np.array(files, object))[:copies]:
            kind = kinds[done % len(kinds)]
            _damage(path, kind, random)
            damaged[path.relative_to(root).as_posix()] = kind
            done += 1
        _assert_reported(check_folder(root, workers=1), damaged)
        shutil.rmtree(root)
    return done


def _assert_reported(report, damaged):
    report.to_text().encode()
    assert json.loads(report.to_json())["exit_code"] == report.exit_code
    errors = {finding.path for finding in report.findings if finding.severity == "error"}
    for path, kind in damaged.items():
        assert kind not in CERTAIN or path in errors, (path, kind, report.to_text())
    touched = {_key(path) for path in damaged}
    for finding in report.findings:
        named = any(key in finding.path or key in finding.problem for key in touched)
        outsider = Path(finding.path).stem in NAMES
        assert named or outsider or finding.path == "." or finding.severity == NOTE, (damaged, finding)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "phantoms"
    write_phantoms(folder, SIDE, 6, seed=2)
    return folder


def _reduced(source, target):
    """A small copy in the same format."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        mode = image.mode
        small = image.convert("RGB" if mode == "RGB" else "L")
        small.thumbnail((300, SIDE), Image.Resampling.BOX)
    if mode != "RGB":
        small = small.point(lambda value: 255 * (value > 80)).convert(mode)
    small.save(target, **({"quality": 92} if target.suffix == ".jpg" else {}))


@pytest.fixture(scope="module")
def chase_db1(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "chase"
    for eye in ("01L", "01R", "05L", "09R", "13L", "14R"):
        for name in (f"images/Image_{eye}.jpg", f"labels1/Image_{eye}_1stHO.png"):
            _reduced(real_data / "chase_db1" / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def hrf(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "hrf"
    for eye in ("01_h", "04_dr", "10_g", "15_dr"):
        for name in (f"images/{eye}.jpg", f"manual1/{eye}.tif"):
            _reduced(real_data / "hrf" / name, folder / name)
    return folder


def test_copies_of_phantoms_with_some_damages(phantoms):
    assert _fuzz(phantoms, copies=5, rounds=4, seed=0) == 20


def test_a_phantom_under_any_name_has_no_finding(phantoms, tmp_path):
    for kind in ("images", "masks", "fov"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for path, name in zip(sorted((phantoms / kind).iterdir()), (*NAMES[:5], "a\nb"), strict=True):
            shutil.copy(path, tmp_path / "set" / kind / f"{name}.png")
    report = check_folder(tmp_path / "set")
    assert report.findings == () and report.photographs == 6


def test_a_name_that_is_no_utf8_is_told_in_ascii(phantoms, tmp_path):
    (tmp_path / "images").mkdir()
    strange = os.fsencode(tmp_path / "images") + b"/\xff\xfe.png"
    try:
        Path(os.fsdecode(strange)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    report = check_folder(tmp_path)
    assert "images/\\udcff\\udcfe.png" in report.to_text()
    assert json.loads(report.to_json())["findings"][0]["problem"] == "is empty (0 bytes)"


@pytest.mark.slow
def test_200_damaged_copies_of_phantoms(phantoms):
    assert _fuzz(phantoms, copies=5, rounds=40, seed=1) == 200


@pytest.mark.slow
def test_reduced_real_pairs_are_what_they_were(chase_db1, hrf):
    for folder in (chase_db1, hrf):
        assert [finding for finding in check_folder(folder).findings if finding.severity != NOTE] == []
    assert read_image(hrf / "images" / "01_h.jpg").shape == (200, 300, 3)
    assert read_mask(hrf / "manual1" / "01_h.tif").shape == (200, 300)


@pytest.mark.slow
def test_200_damaged_copies_of_chase_db1(chase_db1):
    assert _fuzz(chase_db1, copies=4, rounds=50, seed=2) == 200


@pytest.mark.slow
def test_120_damaged_copies_of_hrf(hrf):
    assert _fuzz(hrf, copies=3, rounds=40, seed=3) == 120

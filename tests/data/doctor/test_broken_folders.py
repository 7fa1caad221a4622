"""Broken folders: each must end in one sentence that names the file and the remedy, and in no other exception."""

import gzip

import numpy as np
import pytest

from synthmed_tf.data.preprocessing import load_samples
from synthmed_tf.data.sources import find_pairs
from synthmed_tf.errors import SynthMedError
from synthmed_tf.images import encode_png

SIDE = 48
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
DISC = np.hypot(ROWS, COLUMNS) < 20
PHOTOGRAPH = encode_png((DISC[..., None] * np.array([180, 90, 40])).astype(np.uint8))
VESSELS = encode_png(np.abs(ROWS - COLUMNS / 3) < 1.5)
SMALLER = encode_png(np.abs(ROWS[:40, :40]) < 2)
GREY = encode_png(np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8))
LABELS = encode_png((np.abs(ROWS) < 2) + (np.abs(COLUMNS) < 2).astype(np.uint8))
BLACK, WHITE = (encode_png(np.full((SIDE, SIDE), value, np.uint8)) for value in (0, 255))
INVERTED = encode_png(np.abs(ROWS - COLUMNS / 3) >= 1.5)
OUTSIDE = encode_png(np.pad(np.ones((2, 2), bool), ((0, SIDE - 2), (0, SIDE - 2))))
PPM = b"P6 4 4 255\n" + bytes(48)
GOOD = {"images/a.png": PHOTOGRAPH, "masks/a.png": VESSELS}

# name: files, what the sentence names, the remedy that it gives
BROKEN = {
    "empty folder": ({}, ["data", "none of the known layouts", "drive", "hrf", "messidor"], "arrange it like one"),
    "notes alone": ({"a.txt": b"x"}, ["data", "holds no images"], "arrange it like one"),
    "empty images folder": ({"images/a.txt": b"x"}, ["data", "layout plain"], "copy them into its folders"),
    "photograph without mask": ({**GOOD, "images/b.png": PHOTOGRAPH}, ["images/b.png", "without a mask"], "add the"),
    "mask without photograph": ({**GOOD, "masks/b.png": VESSELS}, ["masks/b.png", "photograph"], "remove the mask"),
    "several halves": ({**GOOD, "masks/b.png": b"", "masks/c.png": b""}, ["masks/b.png", "1 more"], "remove the mask"),
    "masks alone": ({"masks/a.png": VESSELS}, ["masks/a.png", "without a photograph"], "add the photograph"),
    "field of view alone": ({**GOOD, "fov/b.png": WHITE}, ["fov/b.png"], "remove the field of view"),
    "two photographs of a name": ({**GOOD, "images/a.jpg": b""}, ["images/a.jpg", "images/a.png"], "remove one"),
    "two masks of a name": ({**GOOD, "masks/a.gif": b""}, ["masks/a.gif", "masks/a.png"], "remove one"),
    "same name in two folders": ({"x/a.png": b"", "y/a.png": b""}, ["x/a.png", "y/a.png"], "remove one"),
    "two layouts": ({**GOOD, "manual1/a.png": VESSELS}, ["data", "hrf", "plain"], "leave one of them"),
    "folder above a layout": ({f"set/{k}": v for k, v in GOOD.items()}, ["data", "known layouts"], "data/set"),
    "unknown mask folder": ({"images/a.png": b"", "vessel_masks/a.png": b""}, ["data", "known layouts"], "arrange it"),
    "masks among photographs": ({"a.png": b"", "a_mask.png": b""}, ["a_mask.png"], "masks into masks/"),
    "no DICOM": ({"images/a.dcm": b"x"}, ["images/a.dcm", "no image that can be read"], "copy it again"),
    "kind that is not read": ({"images/a.nii.gz": b"x"}, ["images/a.nii.gz"], "convert it to PNG"),
    "label map": ({**GOOD, "masks/a.png": LABELS}, ["masks/a.png", "the values 0, 1 and 2"], "with --vessel-labels"),
    "label map as a field of view": (
        {**GOOD, "fov/a.png": LABELS}, ["fov/a.png", "the values 0, 1 and 2"], "; save it as a PNG of two values"
    ),
    "masks above their photographs": (
        {f"set/{k}": v for k, v in GOOD.items()} | {"set/old/b_mask.png": b""}, ["data"], "data/set"
    ),
    "drive misnamed": (
        {"training/images/21.tif": b"", "training/1st_manual/21_manual1.gif": b""},
        ["training/images/21.tif", "layout drive"],
        "rename",
    ),
    "drive without one mask": (
        {"training/images/21_training.tif": b"", "training/images/22_training.tif": b"",
         "training/1st_manual/21_manual1.gif": b""},
        ["training/images/22_training.tif", "without a mask"],
        "add the mask",
    ),
    "stare without one photograph": (
        {"stare-images/im0001.ppm": PPM, "labels-ah/im0001.ah.ppm": PPM, "labels-ah/im0002.ah.ppm": PPM},
        ["labels-ah/im0002.ah.ppm", "without a photograph"],
        "add the photograph",
    ),
    "stare packed and unpacked": (
        {"stare-images/im0001.ppm": PPM, "stare-images/im0001.ppm.gz": gzip.compress(PPM, mtime=0)},
        ["im0001.ppm.gz has the same name", "im0001.ppm;"],
        "remove one",
    ),
    "chase without one mask": (
        {"Image_01L.jpg": b"", "Image_01R.jpg": b"", "Image_01L_1stHO.png": b""},
        ["Image_01R.jpg", "without a mask"],
        "add the mask",
    ),
    "chase with an image of another layout": (
        {"Image_01L.jpg": b"", "Image_01L_1stHO.png": b"", "holiday.jpg": b""},
        ["holiday.jpg", "layout chase_db1"],
        "rename or remove it",
    ),
    "hrf mask without photograph": (
        {"images/01_h.jpg": b"", "manual1/02_h.tif": b""},
        ["manual1/02_h.tif", "without a photograph"],
        "add the photograph",
    ),
    "zero bytes": ({**GOOD, "images/a.png": b""}, ["images/a.png", "0 bytes"], "copy it again"),
    "text as PNG": ({**GOOD, "images/a.png": b"hello"}, ["images/a.png", "no image"], "copy it again"),
    "truncated photograph": ({**GOOD, "images/a.png": PHOTOGRAPH[:-60]}, ["images/a.png", "truncated"], "copy it"),
    "truncated mask": ({**GOOD, "masks/a.png": VESSELS[:-60]}, ["masks/a.png", "truncated"], "copy it again"),
    "truncated gzip": (
        {"stare-images/im0001.ppm.gz": gzip.compress(PPM, mtime=0)[:-9]},
        ["im0001.ppm.gz", "no whole gzip file"],
        "copy it again",
    ),
    "bomb": ({"a.pgm": b"P5 99999 99999 255\n"}, ["a.pgm", "more than 80 million pixels"], "make it smaller"),
    "empty mask": ({**GOOD, "masks/a.png": BLACK}, ["masks/a.png", "value 0"], "give a file that has both"),
    "full mask": ({**GOOD, "masks/a.png": WHITE}, ["masks/a.png", "value 255"], "give a file that has both"),
    "grey mask": ({**GOOD, "masks/a.png": GREY}, ["masks/a.png", "neither dark nor bright"], "PNG of two values"),
    "inverted mask": ({**GOOD, "masks/a.png": INVERTED}, ["masks/a.png", "field of view vessel"], "invert it"),
    "mask outside the field": ({**GOOD, "masks/a.png": OUTSIDE}, ["masks/a.png", "images/a.png"], "check both files"),
    "mask of another size": (
        {**GOOD, "masks/a.png": SMALLER},
        ["images/a.png has 48x48", "masks/a.png has 40x40"],
        "give two files of one size",
    ),
    "field of view of another size": (
        {**GOOD, "fov/a.png": SMALLER},
        ["images/a.png has 48x48", "fov/a.png has 40x40"],
        "give two files of one size",
    ),
    "black photograph": ({**GOOD, "images/a.png": BLACK}, ["images/a.png", "no field of view"], "give a field-of-view"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folder(tmp_path, case):
    files, named, remedy = BROKEN[case]
    root = tmp_path / "data"
    root.mkdir()
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    with pytest.raises(SynthMedError) as caught:
        load_samples(find_pairs(root).pairs, 16, workers=1)
    message = str(caught.value)
    for part in (*named, remedy):
        assert part in message
    assert message.endswith(".") and "\n" not in message


def test_good_folder_is_read(tmp_path):
    for name, content in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (sample,) = load_samples(find_pairs(tmp_path).pairs, 16)
    assert sample.image[8, 8].tolist() == [180, 90, 40]


def test_missing_folder(tmp_path):
    with pytest.raises(SynthMedError, match="none does not exist; give a folder of photographs"):
        find_pairs(tmp_path / "none")


def test_file_instead_of_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(PHOTOGRAPH)
    with pytest.raises(SynthMedError, match=r"a\.png is a file; give the folder that it lies in"):
        find_pairs(tmp_path / "a.png")


def test_dangling_link(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(SynthMedError, match=r"images/a\.png could not be opened .*; check its name"):
        load_samples(find_pairs(tmp_path).pairs, 16)


def test_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(SynthMedError, match=r"could not be listed \(Permission denied\); check its rights"):
        find_pairs(tmp_path)

"""Folders of the public sets with files and folders renamed, moved, copied and removed: pairs or one sentence."""

import os
import shutil

import numpy as np
import pytest
from test_layouts import SETS

from synthmed_tf.data.doctor.listing import list_files
from synthmed_tf.data.sources import find_pairs
from synthmed_tf.errors import SynthMedError

NAMES = (
    "a",
    "masks",
    "images",
    "im0001.ah",
    "Image_01L",
    "x_mask",
    "--vessels",
    "é",
    "[a]*?",
    "GT",
    "1_manual1",
    " ",
    "..a",
    "vessel",
)
MORE = {
    "drive": [f"{part}/{kind}" for part, number in (("training", 21), ("test", 1)) for kind in
              (f"images/{number}_{part}.tif", f"1st_manual/{number}_manual1.gif", f"mask/{number}_{part}_mask.gif")],
    "chase_db1": ["Image_01L.jpg", "Image_01L_1stHO.png", "Image_01L_2ndHO.png"],
    "plain": ["images/a.png", "images/b.jpg", "masks/a.png", "masks/b_mask.gif", "fov/a.png"],
    "messidor": ["Base11/1.tif", "Base12/2.tif"],
}  # fmt: skip
SOURCES = {layout: files for layout, (files, _) in SETS.items()} | MORE


def change(root, random):
    """One change to a file or folder below `root`."""
    paths = sorted(root.rglob("*"))
    if not paths:
        return
    path = paths[int(random.integers(len(paths)))]
    name = NAMES[int(random.integers(len(NAMES)))]
    target = path.with_name(name if path.is_dir() else f"{name}{path.suffix}")
    kind = int(random.integers(6))
    if kind == 0:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif kind == 1 and not os.path.lexists(target):
        path.rename(target)
    elif kind == 2 and not os.path.lexists(target) and not path.is_symlink():
        shutil.copytree(path, target, symlinks=True) if path.is_dir() else shutil.copy(path, target)
    elif kind == 3 and path.is_file() and not os.path.lexists(root / path.name):
        path.rename(root / path.name)
    elif kind == 4 and path.is_file():
        ending = (".heic", ".TIF", ".dcm", ".txt", ".ppm.gz", ".x")[int(random.integers(6))]
        path.rename(path.with_name(f"{path.stem}{ending}"))
    elif kind == 5 and not os.path.lexists(target):
        target.symlink_to(root if random.random() < 0.5 else path)


def fuzz(folder, rounds, seed):
    """Changes and lists `rounds` folders; returns how many could be paired."""
    layouts, paired = list(SOURCES), 0
    for number in range(rounds):
        random = np.random.default_rng((seed, number))
        root = folder / f"{number}"
        for name in SOURCES[layouts[number % len(layouts)]]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        for _ in range(int(random.integers(1, 5))):
            change(root, random)
        listing = list_files(root)
        listed = [path for job in listing.jobs for path in (job.photograph, job.mask, job.fov) if path is not None]
        assert len(listed) == len(set(listed)), number
        try:
            source = find_pairs(root)
        except SynthMedError as error:
            assert str(error).endswith(".") and "\n" not in str(error), (number, error)
        else:
            paired += 1
            names = [pair.name for pair in source.pairs]
            assert len(names) == len(set(names)), (number, names)
            assert all(pair.mask != pair.photograph != pair.fov for pair in source.pairs), number
        shutil.rmtree(root)
    return paired


def test_300_changed_folders(tmp_path):
    assert 60 < fuzz(tmp_path, 300, seed=3) < 290


@pytest.mark.slow
def test_2000_changed_folders(tmp_path):
    assert 400 < fuzz(tmp_path, 2000, seed=4) < 1950

"""Folders as people have them: names that shells, globs and terminals take for something else, links, no rights."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from helpers.paths import ENVIRONMENT
from helpers.tiny import SMALL

from synthmed_tf import files
from synthmed_tf.cli.main import main
from synthmed_tf.data.phantom import write_phantoms
from synthmed_tf.data.sources import find_pairs, split_by_patient
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.serving.model import Model
from synthmed_tf.training.checkpoints import Checkpoints

NAMES = (
    "a[1]",
    "[!a]*?{b,c}",
    "back\\slash \\[x\\]",
    "sp ace 'single' \"double\" `tick`",
    "new\nline\ttab",
    "眼底 Сетчатка شبكية",
    unicodedata.normalize("NFC", "é ü"),
    unicodedata.normalize("NFD", "é ü"),
    "%s {0} $HOME ~ #1 & ; -x",
    "x" * 200,
)
EVIL = "run [1] *?{a,b}\\ 'q' \"p\"\n眼 e\u0301 \u00e9 %s $HOME"
FEW = [f"--override={option}" for option in (*SMALL, "stage1.latent_dim=6", "stage2.style_dim=3")]


def _done(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def place(tmp_path, tmp_path_factory, monkeypatch):
    """Makes paths in a folder with a name of that kind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    folder = tmp_path / EVIL / ("x" * 200)
    folder.mkdir(parents=True)
    yield lambda name: folder / f"{EVIL} {name}"
    assert os.listdir(tmp_path) == [EVIL]


@pytest.mark.slow
def test_a_run_goes_on_and_is_exported_in_a_folder_with_an_evil_name(tiny_run, place):
    _done("data", "phantom", "--out", place("data"), "-n", 6, "--size", 64)
    train = ["train", "stage1", "--preset=demo", "--data", place("data"), "--size=32", *FEW, "--run", place("run")]
    _done(*train, "--override=stage1.steps=1")
    assert "step 2/2" in _done(*train, "--override=stage1.steps=2", "--override-config")
    assert "stage1: done, 2 steps" in " ".join(_done("status", place("run")).split())
    shutil.copytree(tiny_run, place("tiny"))
    _done("export", "--run", place("tiny"), "--out", place("model"), "--format=savedmodel")
    _done("generate", "--model", place("model"), "--runtime=savedmodel", "-n", 4, "--out", place("set"))


@pytest.mark.once
def test_commands_work_in_folders_with_evil_names(tiny_artifact, place):
    model, set_, report, repository = (place(name) for name in ("model", "set", "report", "repository"))
    shutil.copytree(tiny_artifact, model)
    _done("data", "phantom", "--out", place("data"), "-n", 6, "--size", 64)
    _done("generate", "--model", model, "--runtime=savedmodel", "-n", 4, "--out", set_)
    _done("verify", set_)
    _done("evaluate", set_, "--real", place("data"), "--only=dispersion", "--quick", "--out", report, code=1)
    _done("repository", "init", repository, "--keys", place("keys"), "--title=evil")
    about = ["--name=eyes", "--version=1.0.0", "--title=t", "--license=CC0-1.0", "--creator=c", "--training-data=d"]
    about += ["--training-license=CC0-1.0", "--artifact", model, "--report", report]
    _done("publish", set_, "--repository", repository, "--keys", place("keys"), *about)
    _done("download", "eyes", "--from", repository, "--all", "--out", place("downloaded"))
    _done("repository", "check", repository)
    _done("site", "build", repository, "--out", place("site"))


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_comes_back_in_a_folder_of_any_name(tmp_path, name):
    variable = tf.Variable([1.0, 2.0])
    checkpoints = Checkpoints({"part": variable}, tmp_path / name, tmp_path / name, print)
    checkpoints.save(3)
    variable.assign([0.0, 0.0])
    assert checkpoints.restore() == 3
    np.testing.assert_array_equal(variable, [1.0, 2.0])
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES[1:5])
def test_an_artifact_is_opened_in_a_folder_of_any_name(tiny_artifact, tmp_path, name):
    model = shutil.copytree(tiny_artifact, tmp_path / name / "model")
    expected = open_artifact(tiny_artifact, "onnx").pixels(np.array([1]), np.array([2]))
    found = open_artifact(model, "onnx").pixels(np.array([1]), np.array([2]))
    for part in range(2):
        np.testing.assert_array_equal(found[part], expected[part])
    served = Model("m", model).run("pixels", {"seed": [1], "index": [2]})
    np.testing.assert_array_equal(served["mask"], expected[0])
    np.testing.assert_allclose(served["image"].astype(int), expected[1], atol=1)


def test_the_stand_in_for_a_folder_is_a_link_and_goes_away(tmp_path):
    plain, brackets = tmp_path / "a b", tmp_path / "a[1]"
    brackets.mkdir()
    with files.glob_free(plain) as folder:
        assert folder == plain
    with files.glob_free(brackets) as folder:
        assert not set("*?[\\") & set(str(folder))
        (folder / "file").write_text("text")
    assert (brackets / "file").read_text() == "text" and not folder.is_symlink()


@pytest.mark.parametrize("name", ["x" * 250 + ".txt", "眼" * 80 + ".txt"])
def test_a_name_of_almost_255_bytes_can_be_written(tmp_path, name):
    files.write_text(tmp_path / name, "text")
    assert files.create_text(tmp_path / name.replace(".txt", ".TXT"), "other")
    with files.replaced_folder(tmp_path / "folders" / name) as new:
        (new / "file").write_text("text")
    with files.replaced_folder(tmp_path / "folders" / name) as new:
        (new / "file").write_text("newer")
    assert (tmp_path / name).read_text() == "text"
    assert (tmp_path / "folders" / name / "file").read_text() == "newer"
    assert os.listdir(tmp_path / "folders") == [name] and len(os.listdir(tmp_path)) == 3


def test_a_folder_without_hard_links_takes_a_new_file(tmp_path, monkeypatch):
    """As network folders and memory cards: os.link stands for them."""

    def link(source, target):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    assert files.create_text(tmp_path / "a", "first")
    assert not files.create_text(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "first" and os.listdir(tmp_path) == ["a"]


def test_links_are_followed(tiny_artifact, tmp_path):
    """To the model, to the set's folder and to each image of it."""
    (tmp_path / "model").symlink_to(tiny_artifact, target_is_directory=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "real", target_is_directory=True)
    generate = ["generate", "--model", tmp_path / "model", "--runtime=onnx", "-n", 2, "--out", tmp_path / "set"]
    _done(*generate)
    (tmp_path / "elsewhere").mkdir()
    for file in (tmp_path / "real" / "images").iterdir():
        moved = file.rename(tmp_path / "elsewhere" / file.name)
        file.symlink_to(moved)
    assert "(0 generated now)" in _done(*generate)
    assert "6 files of" in _done("verify", tmp_path / "set") and (tmp_path / "set").is_symlink()


@pytest.mark.parametrize(
    ("path", "hint"),
    [(r"C:\Users\me\set", True), ("d:/set", True), (r"\\server\share\set", True), ("c/set", False), ("a:b", False)],
)
def test_a_windows_path_is_told_where_it_is_here(tmp_path, monkeypatch, path, hint):
    monkeypatch.chdir(tmp_path)
    said = _done("verify", path, code=2)
    assert path.replace("/", os.sep) in said and len(said.splitlines()) == 1
    assert ("is /mnt/c/data; in a container" in said) == hint


def test_images_of_any_name_are_read_and_split(tmp_path):
    """Names of up to 255 bytes, one of them not UTF-8."""
    write_phantoms(tmp_path, 32, len(NAMES), seed=0)
    composed = [name for name in NAMES if unicodedata.is_normalized("NFC", name)]
    names = [f"{name}.png" for name in (*composed, os.fsdecode(b"\xff"))]
    for part in ("images", "masks", "fov"):
        for file, name in zip(sorted((tmp_path / part).iterdir()), names, strict=True):
            file.rename(file.with_name(name))
    source = find_pairs(tmp_path)
    assert sorted(pair.photograph.name for pair in source.pairs) == sorted(names)
    train, held = split_by_patient(source.pairs, 0.3, seed=0)
    assert len(train) + len(held) == len(names) and len(held) == 3


def test_a_folder_whose_name_is_not_utf8_is_shown(tiny_artifact, tmp_path):
    set_ = tmp_path / os.fsdecode(b"\xff")
    said = _done("generate", "--model", tiny_artifact, "--runtime=onnx", "-n", 1, "--out", set_)
    assert "\\udcff" in said and "\\udcff are as they should be" in _done("verify", set_)


def test_a_message_shows_what_a_terminal_cannot(tmp_path):
    said = _done("verify", tmp_path / "a\nb\x1b[31m" / os.fsdecode(b"\xff"), code=2)
    assert r"a\nb\x1b[31m/\udcff; name" in said
    assert len(said.splitlines()) == 1


COMMANDS = """
import json, sys
from click.testing import CliRunner
from synthmed_tf.cli.main import main
for command in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, command)
    failed = result.exception if not isinstance(result.exception, SystemExit) else None
    print(json.dumps([result.exit_code, result.output, repr(failed)]))
"""


def _without_rights(home, *commands):
    """Runs commands as one who may not write where the mode says so; root may, unless the capability is dropped."""
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if prefix and not shutil.which(prefix[0]):
        pytest.skip("root can write everywhere, and setpriv is not there")
    given = json.dumps([[str(argument) for argument in command] for command in commands])
    environment = ENVIRONMENT | {"HOME": str(home)}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", COMMANDS, given], env=environment, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.once
def test_a_snapshot_without_rights_is_not_called_damaged(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    weights = run / "stage1" / "snapshot" / "weights.npz"
    weights.chmod(0o000)
    [(code, said, failed)] = _without_rights(tmp_path, ["export", "--run", run, "--out", tmp_path / "model"])
    assert (code, failed) == (2, "None")
    assert f"{weights} cannot be read (Permission denied); check its rights" in said


def test_folders_that_cannot_be_written_are_read_and_named(tiny_artifact, tmp_path):
    place = tmp_path / "read only"
    model, set_, repository = place / "model", place / "set", place / "repository"
    shutil.copytree(tiny_artifact, model)
    _done("generate", "--model", model, "--runtime=onnx", "-n", 2, "--out", set_)
    _done("repository", "init", repository, "--keys", tmp_path / "keys", "--title=t")
    (place / "home").mkdir()
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    generate = ["generate", "--model", model, "--runtime=onnx", "--out"]
    found = _without_rights(
        place / "home",
        [*generate, tmp_path / "new", "-n2"],
        ["verify", set_],
        [*generate, set_, "-n3"],
        [*generate, place / "other", "-n3"],
        ["data", "phantom", "--out", place / "data"],
        ["search", "--from", repository],
        ["site", "build", repository, "--out", place / "site"],
    )
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    assert [(code, failed) for code, _, failed in found] == [(0, "None")] * 2 + [(2, "None")] * 5
    refused = " cannot be written (Permission denied); get the right to write there or choose another"
    for (_, said, _), name in zip(found[2:], ("set/.lock", "other", "data", "home/.cache", "site"), strict=True):
        assert f"{place / name} cannot be written (Permission denied);" in said
        assert name == "home/.cache" or refused in said
    assert "by XDG_CACHE_HOME" in found[5][1]


def test_a_run_that_cannot_be_locked(tmp_path):
    """A folder in place of the lock stands for missing rights, and for a network folder without locks."""
    (tmp_path / "run" / "lock").mkdir(parents=True)
    said = _done("train", "stage1", "--preset=demo", "--data=phantom", "--run", tmp_path / "run", code=2)
    assert (
        f"{tmp_path / 'run' / 'lock'} cannot be written (Is a directory); free space or choose another --run." in said
    )

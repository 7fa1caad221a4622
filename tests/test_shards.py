"""Sets in shards: any shard anywhere and in any order, the same bytes; and every format opened by its own reader."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from synthmed_tf import images, shard_job, shards, synthesis
from synthmed_tf.artifact import open_artifact
from synthmed_tf.cli import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.plan import FORMATS, Plan
from synthmed_tf.verify import Found, verify_set

COUNT, SEED, FIRST, SHARDS = 7, 3, 100, 3
_ON_A_FULL_DISK = """
import json, resource, signal, sys
from synthmed_tf import shard_job
from synthmed_tf.artifact import open_artifact
from synthmed_tf.plan import Plan

opened, plan = open_artifact(sys.argv[1], "onnx"), Plan.from_facts(json.loads(sys.argv[3]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # no file may grow further, as on a full disk
try:
    shard_job.draw(opened, plan, sys.argv[2])
except Exception as error:
    print(type(error).__name__, error)
"""
PLAIN = [name for name in FORMATS if name != "dicom"]


@pytest.fixture(scope="module")
def opened(tiny_artifact):
    return open_artifact(tiny_artifact, "onnx")


@pytest.fixture(scope="module")
def pictures(opened):
    return opened.pixels(np.full(COUNT, SEED), np.arange(FIRST, FIRST + COUNT))


@pytest.fixture(scope="module")
def drawn(opened, tmp_path_factory):
    """A set of each format, drawn in one go. Not to be changed."""
    folder = tmp_path_factory.mktemp("formats")
    for name in PLAIN:
        outcome = shard_job.draw(opened, _plan(opened, name), folder / name)
        assert outcome == shard_job.Outcome(COUNT, (), ())
    return folder


def _plan(opened, name):
    return shards.make_plan(opened, SEED, FIRST, COUNT, SHARDS, name, batch_size=2)


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _same(photograph, mask, pictures, index):
    """Whether a reader gave the pair of this index; batches of another size may differ by one grey level."""
    masks, photographs = pictures
    np.testing.assert_array_equal(np.asarray(mask).squeeze(), masks[index - FIRST].squeeze())
    np.testing.assert_allclose(np.asarray(photograph).astype(int), photographs[index - FIRST], atol=1)


def test_a_plan_cuts_its_range_without_gap_or_overlap():
    plan = Plan("ab", 0, 5, 11, 4, "png", 32, "onnx")
    assert [plan.indices(shard) for shard in range(4)] == [range(5, 7), range(7, 10), range(10, 13), range(13, 16)]


@pytest.mark.parametrize("name", PLAIN)
def test_shards_in_any_order_and_by_two_jobs_are_the_same_bytes(name, opened, drawn, tmp_path):
    plan, out = _plan(opened, name), tmp_path / "set"
    assert shard_job.draw(opened, plan, out, only=[2]) == shard_job.Outcome(3, (0, 1), ())
    assert not (out / "manifest.jsonl").exists()
    assert shard_job.draw(opened, plan, out, only=[0]).missing == (1,)
    assert shard_job.draw(opened, plan, out) == shard_job.Outcome(2, (), ())
    assert _files(out) == _files(drawn / name)
    assert shard_job.draw(opened, plan, out).drawn == 0


def test_png_in_shards_has_the_files_of_the_plain_set(opened, drawn, pictures):
    for index in range(FIRST, FIRST + COUNT):
        name = f"{index:08d}.png"
        photograph, mask = (images.read_image(drawn / "png" / folder / name) for folder in ("images", "masks"))
        _same(photograph, mask[..., 0], pictures, index)


def test_tensorflow_datasets_opens_tfrecords(drawn, pictures):
    tfds = pytest.importorskip("tensorflow_datasets", reason="the extra [readers] is not installed")
    builder = tfds.builder_from_directory(drawn / "tfrecord")
    assert builder.info.splits["train"].shard_lengths == [2, 2, 3]
    rows = list(tfds.as_numpy(builder.as_dataset(split="train")))
    assert sorted(int(row["index"]) for row in rows) == list(range(FIRST, FIRST + COUNT))
    for row in rows:
        assert row["seed"] == SEED
        _same(row["image"], row["mask"], pictures, int(row["index"]))


def test_tensorflow_alone_opens_tfrecords(drawn, pictures):
    import tensorflow as tf

    seen = []
    for file in sorted((drawn / "tfrecord").glob("*.tfrecord-*")):
        for record in tf.data.TFRecordDataset(str(file)):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            index = features["index"].int64_list.value[0]
            pair = [images.decode_png(features[name].bytes_list.value[0]) for name in ("image", "mask")]
            _same(*pair, pictures, index)
            seen.append(index)
    assert seen == list(range(FIRST, FIRST + COUNT))


def test_hugging_face_datasets_opens_the_image_folder(drawn, pictures, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the extra [readers] is not installed")
    folder, cache = str(drawn / "imagefolder"), str(tmp_path)
    rows = datasets.load_dataset("imagefolder", data_dir=folder, split="train", cache_dir=cache)
    assert rows["index"] == list(range(FIRST, FIRST + COUNT))
    for row in rows:
        _same(row["image"], row["mask"], pictures, row["index"])


def test_webdataset_opens_the_tars(drawn, pictures):
    webdataset = pytest.importorskip("webdataset", reason="the extra [readers] is not installed")
    tars = sorted(map(str, (drawn / "webdataset").glob("*.tar")))
    rows = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    assert [row["json"]["index"] for row in rows] == list(range(FIRST, FIRST + COUNT))
    for row in rows:
        _same(row["image.png"], row["mask.png"][..., 0], pictures, row["json"]["index"])


def test_nnunet_has_labels_of_0_and_1_and_says_so(drawn, pictures):
    facts = json.loads((drawn / "nnunet" / "dataset.json").read_text())
    assert (facts["labels"], facts["numTraining"], facts["file_ending"]) == ({"background": 0, "vessel": 1}, 7, ".png")
    for index in range(FIRST, FIRST + COUNT):
        photograph = images.read_image(drawn / "nnunet" / "imagesTr" / f"pair_{index:08d}_0000.png")
        label = images.read_image(drawn / "nnunet" / "labelsTr" / f"pair_{index:08d}.png")[..., 0]
        assert set(np.unique(label)) <= {0, 1}
        _same(photograph, 255 * label, pictures, index)


@pytest.mark.parametrize("name", PLAIN)
def test_an_untouched_set_is_verified(name, drawn):
    found = verify_set(drawn / name)
    assert found.faults == [] and found.pairs == COUNT
    files = len(_files(drawn / name))
    assert found.files >= {"tfrecord": SHARDS, "webdataset": SHARDS}.get(name, 2 * COUNT) and found.files < files


def test_verify_names_what_is_wrong_and_repair_puts_it_right(opened, drawn, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(drawn / "nnunet", out)
    label = out / "labelsTr" / "pair_00000101.png"
    content = bytearray(label.read_bytes())
    content[-15] ^= 1
    label.write_bytes(content)
    (out / "imagesTr" / "pair_00000105_0000.png").unlink()
    (out / "dataset.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    (out / "imagesTr" / ".x.part").write_text("")
    assert set(verify_set(out).faults) == {
        ("labelsTr/pair_00000101.png", "has changed"),
        ("imagesTr/pair_00000105_0000.png", "is missing"),
        ("dataset.json", "has changed"),
        ("notes.txt", "is not of the set"),
        ("imagesTr/.x.part", "is half-written"),
    }
    assert shard_job.draw(opened, _plan(opened, "nnunet"), out, repair=True).drawn == 5  # shards 0 and 2
    assert {fault.place for fault in verify_set(out).faults} == {"notes.txt", "imagesTr/.x.part"}


def test_verify_names_a_shard_that_is_missing_or_damaged(drawn, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(drawn / "webdataset", out)
    (out / "shards" / "00001-of-00003.jsonl").unlink()
    with open(out / "shards" / "00002-of-00003.jsonl", "a") as record:
        record.write("{}\n")
    record = out / "shards" / "00000-of-00003.jsonl"
    record.write_text(record.read_text().replace('"size"', '"size "'))
    found = verify_set(out)
    places = [("shards/00000-of-00003.jsonl", "is damaged or of another set"), ("shard 1", "is missing")]
    assert found.faults[:2] == places
    assert found.files == 1  # the tar of shard 2, whose manifest is followed by a line that it does not need


def test_another_set_is_refused_and_named(opened, drawn, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(drawn / "png", out)
    before = _files(out)
    other = shards.make_plan(opened, SEED, FIRST, COUNT, 2, "png", 2)
    with pytest.raises(SynthMedError, match="holds a set with shards 3, not 2; choose another --out"):
        shard_job.draw(opened, other, out)
    with pytest.raises(SynthMedError, match="more than|from 1 to the number of pairs, 7"):
        shards.make_plan(opened, SEED, FIRST, COUNT, 8, "png")
    assert _files(out) == before


def test_a_full_disk_leaves_whole_shards_alone(opened, tiny_artifact, tmp_path):
    plan, out = _plan(opened, "webdataset"), tmp_path / "set"
    shard_job.draw(opened, plan, out, only=[0])
    before = _files(out)
    told = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, str(tiny_artifact), str(out), json.dumps(plan.facts())],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert told.stdout.startswith("SynthMedError ") and "cannot be written (File too large)" in told.stdout, told
    after = {name: content for name, content in _files(out).items() if not name.startswith(".drawing")}
    assert after == before
    assert shard_job.draw(opened, plan, out) == shard_job.Outcome(5, (), ())
    assert verify_set(out).faults == []


def test_a_plain_and_a_filtered_set_are_verified(opened, tmp_path):
    out = tmp_path / "set"
    synthesis.generate(opened, synthesis.Job(4, SEED), out)
    assert verify_set(out) == Found(4, 8)
    mask = out / "masks" / "00000002.png"
    size = mask.stat().st_size
    mask.write_bytes(b"half of it")
    (out / "images" / "00000009.png").write_bytes(b"")
    assert verify_set(out).faults == [
        ("masks/00000002.png", f"has 10 bytes, not {size}"),
        ("images/00000009.png", "is not of the set"),
    ]
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    lines[2]["dropped"] = {"reason": "copy"}
    (out / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("masks/00000002.png", "images/00000002.png", "images/00000009.png"):
        (out / name).unlink()
    assert verify_set(out) == Found(3, 6)


def test_the_commands_draw_verify_and_repair(tiny_artifact, tmp_path):
    def run(*line):
        result = CliRunner().invoke(main, [str(part) for part in line])
        return result.exit_code, result.output

    out = tmp_path / "set"
    command = ("generate", "--model", tiny_artifact, "--index-range", "5:9", "--format", "tfrecord", "--shards", 2)
    assert run(*command, "--out", out, "--shard", 1)[0] == 0
    code, said = run("verify", out)
    assert code == 2 and "shard 0: is missing" in said
    assert "4 pairs in" in run(*command, "--out", out)[1]
    assert run("verify", out)[0] == 0
    (out / "features.json").unlink()
    code, said = run("verify", out)
    assert code == 2 and "features.json: is missing" in said and "--repair" in said
    assert run(*command, "--out", out, "--repair")[0] == 0
    assert run("verify", out)[0] == 0
    assert run("generate", "--model", tiny_artifact, "--out", out, "--index-range", "5-9")[0] == 2
    assert run("generate", "--model", tiny_artifact, "--out", out, "--index-range", "5:9", "-n", 3)[0] == 2
    assert run("verify", tiny_artifact)[0] == 2

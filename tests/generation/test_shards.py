"""Sets in shards: the same bytes in any order, and from any number of processes."""

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from synthmed_tf import images
from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import shards, synthesis
from synthmed_tf.generation.plan import FORMATS, Plan
from synthmed_tf.generation.verification import verify

COUNT, FIRST = 11, 3
FACTS = '{"laterality":"R","device":"ExternalCamera","burned_in_annotation":"NO","created":"2026-11-25T12:00:00"}'


@pytest.fixture(scope="module")
def opened(tiny_artifact):
    return open_artifact(tiny_artifact, "onnx")


@pytest.fixture(scope="module")
def sets(opened, tmp_path_factory):
    """A set of three shards in each format. Not to be changed."""
    folder = tmp_path_factory.mktemp("shards")
    for name in FORMATS:
        outcome = synthesis.generate(opened, _plan(opened, name), folder / name)
        assert outcome == synthesis.Written(COUNT, (), ())
    return folder


def _plan(opened, name, shards_=3):
    plan = synthesis.make_plan(opened, COUNT, 4, FIRST, name, shards_, batch_size=4)
    return dataclasses.replace(plan, options=FACTS if name == "dicom" else "")


def _contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMATS)
def test_shards_generated_in_any_order_by_several_are_the_same_bytes(opened, sets, tmp_path, name):
    plan, out = _plan(opened, name), tmp_path / "set"
    assert synthesis.generate(opened, plan, out, only=[2], workers=1) == synthesis.Written(4, (0, 1), ())
    shards.Shard(plan, out, 0).write(opened, workers=3)
    assert synthesis.generate(opened, plan, out).generated == len(plan.indices(1))
    assert _contents(out) == _contents(sets / name)
    assert synthesis.generate(opened, plan, out).generated == 0


@pytest.mark.parametrize("name", FORMATS)
def test_verify_names_each_fault_and_generate_mends_it(opened, sets, tmp_path, name):
    plan, out = _plan(opened, name), shutil.copytree(sets / name, tmp_path / "set")
    assert verify(out).problems == ()
    listed = [line["file"] for line in shards.read_record(plan, 0, out) if "file" in line]
    victim = out / (listed[0] if name != "png" else "images/00000003.png")
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    (out / "stray.txt").write_text("text")
    (out / shards.STAGING).mkdir()
    (out / shards.STAGING / "left").write_text("text")
    (out / "manifest.jsonl").unlink()
    shards.record_path(out, plan, 2).write_bytes(b"{}\n")
    found = {problem.path: problem.problem for problem in verify(out).problems}
    place = victim.relative_to(out).as_posix()
    assert found[place] == "has changed" and found["stray.txt"] == "does not belong to the set"
    assert found[".drawing/left"] == "was left by a killed process"
    assert found["shards/00002-of-00003.jsonl"] == "is damaged"
    (out / "stray.txt").unlink()
    assert synthesis.generate(opened, plan, out, repair=True).generated == len(plan.indices(0)) + len(plan.indices(2))
    assert verify(out).problems == () and _contents(out) == _contents(sets / name)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "dicom"])  # which writes no PNG
def test_a_full_disk_leaves_nothing_half_written(opened, sets, tmp_path, name, monkeypatch):
    plan, out = _plan(opened, name), tmp_path / "set"
    synthesis.generate(opened, plan, out, only=[0])
    before = _contents(out)
    whole = images.encode_png
    calls = []

    def full(image):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return whole(image)

    monkeypatch.setattr(images, "encode_png", full)
    with pytest.raises(SynthMedError, match=r"cannot be written \(No space left on device\); free space"):
        synthesis.generate(opened, plan, out)
    assert _contents(out) == before
    monkeypatch.undo()
    synthesis.generate(opened, plan, out)
    assert _contents(out) == _contents(sets / name)


@pytest.mark.parametrize(("name", "kib"), [("tfrecord", 24), ("webdataset", 24), ("dicom", 4)])
def test_a_disk_that_takes_no_more_of_a_file(tiny_artifact, tmp_path, name, kib):
    """The system's own limit on the size of a file stands for a full disk: TensorFlow writes past Python."""
    if name == "dicom":
        pytest.importorskip("highdicom", reason="the extra [dicom] is not installed")
    options = FACTS if name == "dicom" else ""
    command = f"ulimit -f {kib}; exec " + shlex.join(
        [sys.executable, "-c", _LIMITED, str(tiny_artifact), name, options, str(tmp_path / "set")]
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("SynthMedError: ") and "cannot be written (" in done.stdout, done.stderr
    assert _contents(tmp_path / "set").keys() == {"card.json"}


_LIMITED = """
import dataclasses, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from synthmed_tf.generation import shards, synthesis
from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.errors import SynthMedError
model, name, options, out = sys.argv[1:]
opened = open_artifact(model, "onnx")
plan = dataclasses.replace(synthesis.make_plan(opened, 40, 4, 0, name, 1), options=options)
try:
    synthesis.generate(opened, plan, Path(out))
except SynthMedError as error:
    print("SynthMedError:", error)
"""


def test_a_shard_that_another_generates_is_left_to_it(opened, tmp_path):
    plan, out = _plan(opened, "webdataset"), tmp_path / "set"
    others = []

    def look(done, total):
        if done == 1 and not others:
            others.append(synthesis.generate(opened, plan, out))
            with pytest.raises(SynthMedError, match=r"Shard 0 of .* is being generated by pid"):
                synthesis.generate(opened, plan, out, only=[0])

    assert synthesis.generate(opened, plan, out, progress=look).generated == len(plan.indices(0))
    assert others == [synthesis.Written(COUNT - len(plan.indices(0)), (0,), (0,))]
    assert verify(out).problems == ()


def test_the_shards_are_the_range_once():
    plan = Plan("ab", 1, 7, 23, 5, "png", 32, "onnx")
    assert [index for shard in range(5) for index in plan.indices(shard)] == list(range(7, 30))
    assert {len(plan.indices(shard)) for shard in range(5)} == {4, 5}
    assert Plan.from_facts(json.loads(json.dumps(plan.facts()))) == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shards": 12}, "The number of shards is 12; it must be from 0 to the number of pairs, 11."),
        ({"shards": 0, "format": "tfrecord"}, "The number of shards is 0; it must be from 1"),
        ({"shards": -1}, "The number of shards is -1; it must be from 0"),
        ({"first_index": 2**63 - 5}, "are not all from 0 to 9223372036854775807"),
    ],
)
def test_numbers_out_of_range(opened, change, said):
    with pytest.raises(SynthMedError) as caught:
        dataclasses.replace(_plan(opened, "png"), **change).check()
    assert said in str(caught.value)


def test_another_set_in_the_folder_is_refused(opened, sets, tmp_path):
    before = _contents(sets / "png")
    with pytest.raises(SynthMedError, match="holds a set with format png, not tfrecord; choose another --out"):
        synthesis.generate(opened, _plan(opened, "tfrecord"), sets / "png")
    with pytest.raises(SynthMedError, match="holds a set with shards 3, not 2"):
        synthesis.generate(opened, _plan(opened, "png", 2), sets / "png")
    with pytest.raises(SynthMedError, match="There is no shard 3"):
        synthesis.generate(opened, _plan(opened, "png"), sets / "png", only=[3])
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(SynthMedError, match="is not a synthetic set"):
        synthesis.generate(opened, _plan(opened, "png"), tmp_path)
    assert _contents(sets / "png") == before and len(_contents(tmp_path)) == 1


def test_the_commands(tiny_artifact, tmp_path):
    run = CliRunner()
    command = ["generate", f"--model={tiny_artifact}", "--runtime=onnx", "--index-range=3:9", f"--out={tmp_path / 's'}"]
    done = run.invoke(main, [*command, "--format=nnunet", "--shards=2", "--shard=1"])
    assert done.exit_code == 0 and "3 pairs generated now; 1 shards are missing" in done.output
    assert run.invoke(main, ["verify", str(tmp_path / "s")]).exit_code == 2
    assert "6 pairs in" in run.invoke(main, [*command, "--format=nnunet", "--shards=2"]).output
    assert run.invoke(main, ["verify", str(tmp_path / "s")]).exit_code == 0
    assert "write it as 0:1000" in run.invoke(main, [*command[:3], "--index-range=7", command[-1]]).output


def test_a_shards_manifest_without_a_size_is_damaged(sets, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(sets / "webdataset", out)
    record = out / "shards" / "00000-of-00003.jsonl"
    record.write_text(record.read_text().replace('"size"', '"length"'))
    found = {problem.path: problem.problem for problem in verify(out).problems}
    assert found["shards/00000-of-00003.jsonl"] == "is damaged"

"""Sets through Apache Beam on its DirectRunner: the same files as without Beam, in any order."""

import pytest
from click.testing import CliRunner

from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact
from synthmed_tf.generation import set_card, shards, synthesis

pytest.importorskip("apache_beam", reason="the extra [beam] is not installed")

from synthmed_tf.generation import beam


@pytest.fixture(scope="module")
def single(tiny_artifact, tmp_path_factory):
    """A plan, and its set as one process generates it."""
    out = tmp_path_factory.mktemp("single") / "set"
    opened = artifact.open_artifact(tiny_artifact, "savedmodel")
    plan = synthesis.make_plan(opened, 11, 3, 100, "webdataset", 4, 3)
    synthesis.generate(opened, plan, out)
    return plan, out


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_beam_generates_the_same_set_and_then_nothing(tiny_artifact, single, tmp_path):
    plan, alone = single
    opened = artifact.open_artifact(tiny_artifact, plan.runtime)
    out = tmp_path / "set"
    assert beam.generate(opened, plan, tiny_artifact, out, "DirectRunner") == 11
    assert _files(out) == _files(alone)
    (out / "train-00002.tar").write_bytes(b"damaged")
    assert beam.generate(opened, plan, tiny_artifact, out, "DirectRunner") == len(plan.indices(2))
    assert _files(out) == _files(alone)
    assert beam.generate(opened, plan, tiny_artifact, out, "DirectRunner") == 0


def test_shards_do_not_depend_on_their_order(tiny_artifact, single, tmp_path):
    plan, alone = single
    out = tmp_path / "set"
    set_card.prepare(artifact.open_artifact(tiny_artifact, plan.runtime), plan, out)
    handler = beam.ShardHandler(tiny_artifact, plan, out, workers=1)
    for numbers in ([3], [2, 1], [0, 3]):
        beam.run(handler, numbers, "DirectRunner")
    shards.finish(plan, out)
    assert _files(out) == _files(alone)


def test_what_stops_a_worker_is_said_in_a_sentence(tiny_artifact, single, tmp_path):
    plan, _ = single
    handler = beam.ShardHandler(tmp_path / "nowhere", plan, tmp_path / "set")
    with pytest.raises(SynthMedError, match="The pipeline failed on DirectRunner .*nowhere is not an artifact"):
        beam.run(handler, [0], "DirectRunner")


def test_an_unknown_runner_is_said_in_a_sentence(tiny_artifact, single, tmp_path):
    plan, _ = single
    with pytest.raises(SynthMedError, match="The pipeline failed on NoRunner"):
        beam.run(beam.ShardHandler(tiny_artifact, plan, tmp_path), [0], "NoRunner")


def test_generate_takes_a_runner_and_its_options(tiny_artifact, tmp_path):
    command = ["generate", "--model", str(tiny_artifact), "-n", "3", "--shards", "2", "--out", str(tmp_path / "set")]
    beam_options = ["--runner", "DirectRunner", "--runner-option", "--direct_num_workers=1"]
    done = CliRunner().invoke(main, command + beam_options)
    assert (done.exit_code, "3 pairs in" in done.output) == (0, True)
    assert len(list((tmp_path / "set" / "images").iterdir())) == 3

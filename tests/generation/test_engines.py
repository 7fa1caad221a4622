"""Sets through the engines: the files of one process. Each engine runs on this machine, if its extra is installed."""

import pickle
import shutil
import sys

import pytest
from click.testing import CliRunner

import synthmed_tf as sm
from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.exporting import artifact
from synthmed_tf.extras import EXTRAS
from synthmed_tf.generation import set_card, shards, synthesis
from synthmed_tf.generation.engines import ENGINES, LOCAL, cluster, work
from synthmed_tf.generation.engines.work import Work

HERE = {
    "beam": {"runner": "DirectRunner"},
    "ray": {"address": "local", "num_cpus": "1", "max_retries": "1"},
    "spark": {"spark.master": "local[2]", "spark.ui.enabled": "false"},
}
"""Options with which an engine runs on this machine alone."""


@pytest.fixture(params=HERE)
def engine(request):
    [module] = EXTRAS[request.param]
    pytest.importorskip(module, reason=f"the extra [{request.param}] is not installed")
    if request.param == "spark" and shutil.which("java") is None:
        pytest.skip("there is no Java runtime")
    return request.param


@pytest.fixture(scope="module")
def opened(tiny_artifact):
    return artifact.open_artifact(tiny_artifact, "savedmodel")


@pytest.fixture(scope="module")
def single(opened, tmp_path_factory):
    """A plan, and its set as one process generates it."""
    out = tmp_path_factory.mktemp("single") / "set"
    plan = synthesis.make_plan(opened, 11, 3, 100, "webdataset", 4, 3)
    synthesis.generate(opened, plan, out)
    return plan, out


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_engine_is_an_extra():
    assert set(ENGINES) - {LOCAL} == set(HERE) <= set(EXTRAS)


def test_work_that_is_sent_generates_shards_in_any_order_and_opens_the_artifact_once(
    opened, tiny_artifact, single, tmp_path
):
    (plan, alone), out = single, tmp_path / "set"
    set_card.prepare(opened, plan, out)
    work._opened.cache_clear()
    sent = [pickle.loads(pickle.dumps(Work(str(tiny_artifact), plan, str(out), workers=1))) for _ in range(5)]
    pairs = [one(shard) for one, shard in zip(sent, (3, 1, 0, 3, 2), strict=True)]
    assert pairs == [len(plan.indices(shard)) for shard in (3, 1, 0, 3, 2)] and sum(pairs) == 11 + pairs[0]
    assert work._opened.cache_info().misses == 1
    shards.finish(plan, out)
    assert _files(out) == _files(alone)


def test_work_leaves_what_is_whole_and_repairs_what_is_damaged(opened, tiny_artifact, single, tmp_path):
    (plan, alone), out = single, tmp_path / "set"
    shutil.copytree(alone, out)
    whole = (out / "train-00002.tar").read_bytes()
    (out / "train-00002.tar").write_bytes(bytes(len(whole)))
    Work(str(tiny_artifact), plan, str(out))(2)
    assert (out / "train-00002.tar").read_bytes() == bytes(len(whole))  # only sizes count
    Work(str(tiny_artifact), plan, str(out), repair=True)(2)
    assert (out / "train-00002.tar").read_bytes() == whole


@pytest.mark.parametrize("name", HERE)
def test_a_missing_engine_is_said_before_anything_is_opened(name, tmp_path, monkeypatch):
    [module] = EXTRAS[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SynthMedError) as refused:
        sm.generate_set("nowhere", tmp_path / "set", 3, engine=name)
    install = f'pip install "synthmed-tf[{name}]"'
    assert str(refused.value) == f"This needs {module}, which is not installed; run {install}."
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "dask"}, "There is no engine dask; choose one of local, ray, spark, beam."),
        ({"engine_options": {"a": "b"}}, "The engine local has no options; choose another engine."),
        (
            {"engine": "ray", "only": [1]},
            "The engine ray generates all shards, and needs the folder of the artifact.",
        ),
    ],
)
def test_options_that_an_engine_does_not_take(tmp_path, options, said):
    with pytest.raises(SynthMedError) as refused:
        sm.generate_set("nowhere", tmp_path / "set", 3, **options)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("Job aborted:\n Traceback\n  x.SynthMedError: M is not an artifact.\n OSError: b\n", "M is not an artifact"),
        ("Traceback\n ImportError: a\n more\n OSError: b\n\n", "OSError: b"),
        ("\n no such runner \n", "no such runner"),
        (
            "An error occurred.\n: a.SparkException: No URL: 'x'\n\tat a.someError(C.scala:1)",
            "a.SparkException: No URL: 'x'",
        ),
        ("OSError: https://HOST/one?sig=abc is not there", "OSError: https://HOST/one... is not there"),
        ("", "ValueError"),
    ],
)
def test_the_reason_is_what_the_worker_raised(raised, said):
    assert cluster._reason(ValueError(raised)) == said


def test_an_engine_generates_the_same_set_and_then_nothing(engine, opened, tiny_artifact, single, tmp_path):
    (plan, alone), out = single, tmp_path / "set"
    this = Work(str(tiny_artifact), plan, str(out))
    assert cluster.generate(opened, this, engine, HERE[engine]) == 11
    assert _files(out) == _files(alone)
    (out / "train-00002.tar").write_bytes(b"damaged")
    assert cluster.generate(opened, this, engine, HERE[engine]) == len(plan.indices(2))
    assert _files(out) == _files(alone)
    assert cluster.generate(opened, this, engine, HERE[engine]) == 0


def test_what_stops_a_worker_is_said_in_a_sentence(engine, single, tmp_path):
    plan, _ = single
    broken = Work(str(tmp_path / "nowhere"), plan, str(tmp_path / "set"))
    with pytest.raises(
        SynthMedError, match=rf"^The engine {engine} failed \(.*nowhere is not an artifact.*\); correct"
    ):
        cluster.run(engine, broken, [0], HERE[engine])


def test_an_option_that_an_engine_refuses_is_said_in_a_sentence(engine, single, tmp_path):
    plan, _ = single
    wrong = {"beam": {"runner": "NoRunner"}, "ray": {"num_cups": "1"}, "spark": {"spark.task.cpus": "none"}}[engine]
    said = {"beam": "NoRunner", "ray": "num_cups", "spark": "spark.task.cpus"}[engine]
    with pytest.raises(SynthMedError, match=rf"^The engine {engine} failed \(.*{said}"):
        cluster.run(engine, Work("nowhere", plan, str(tmp_path)), [0], HERE[engine] | wrong)


def test_the_command_takes_an_engine_and_its_options(engine, tiny_artifact, tmp_path):
    command = ["generate", "--model", str(tiny_artifact), "-n", "3", "--shards", "2", "--out", str(tmp_path / "set")]
    options = [f"--engine-option={name}={value}" for name, value in HERE[engine].items()]
    done = CliRunner().invoke(main, [*command, "--engine", engine, *options])
    assert (done.exit_code, "3 pairs in" in done.output) == (0, True), done.output
    assert len(list((tmp_path / "set" / "images").iterdir())) == 3

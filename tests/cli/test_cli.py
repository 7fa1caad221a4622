"""The command line: what it prints, what it refuses, and the whole path once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.paths import ROOT
from helpers.tiny import SMALL, make_config

from synthmed_tf import images
from synthmed_tf.cli import main, train
from synthmed_tf.config.schema import PRESETS, load_config
from synthmed_tf.exporting import artifact

FEW = [f"--override={option}" for option in (*SMALL, "stage1.latent_dim=6", "stage2.style_dim=3")]
TINY = ["--preset=demo", "--data=phantom", "--size=32", *FEW, "--override=stage1.steps=2", "--override=stage2.steps=2"]


def _run(*arguments):
    return CliRunner().invoke(main.main, [str(argument) for argument in arguments])


def _done(*arguments):
    result = _run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def _python(*arguments, folder=ROOT):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_help_imports_nothing_expensive(tmp_path):
    code = (
        "import sys, synthmed_tf.cli.main as cli\n"
        "for command in ([], ['train'], ['export'], ['generate'], ['data', 'check']):\n"
        "    try: cli.main([*command, '--help'])\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        "print({'tensorflow', 'keras', 'numpy', 'onnxruntime', 'pydantic', 'PIL'} & set(sys.modules))"
    )
    done = _python("-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("set()")
    for said in ("train", "export", "generate", "--preset", "--from-index", "--dry-run"):
        assert said in done.stdout


def test_the_presets_in_the_help_are_those_of_the_configuration():
    assert tuple(PRESETS) == train.PRESETS


@pytest.mark.parametrize(
    ("script", "command"),
    [("train.py", "train"), ("export/to_onnx.py", "export"), ("export/to_saved_model.py", "export")],
)
def test_scripts_are_the_commands(script, command):
    done = _python(script, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: synthmed {command} [OPTIONS]")


@pytest.fixture(scope="module")
def broken(tiny_run, tiny_artifact, tmp_path_factory):
    """A folder of things that no command should accept."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(tiny_run, folder / "run")
    (folder / "run" / "stage2" / "snapshot" / "weights.npz").write_bytes(b"PK")
    shutil.copytree(tiny_artifact, folder / "model")
    (folder / "model" / "generator.onnx").write_bytes(b"no model")
    (folder / "empty").mkdir()
    (folder / "words.yaml").write_text("just words")
    (folder / "file").write_text("text")
    (folder / "begun").mkdir()
    (folder / "begun" / "config.json").write_text("{")
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train --data phantom --run R --preset demoo", "There is no preset 'demoo' (did you mean 'demo'?)"),
        ("train --data phantom --run R --override stage1.batchsize=4", "(did you mean 'batch_size'?)"),
        ("train --data phantom --run R --override stage1.batch_size=0", "Option stage1.batch_size is 0; it must be"),
        ("train --data phantom --run R --override x", "The override 'x' is not of the form name=value"),
        ("train --data phantom --run R --size 100", "Option size is 100; it must be"),
        ("train --data phantom --run R --strategy two", "Option strategy is 'two'; it must be auto, one, mirrored"),
        ("train --data phantom --run R --config none.yaml", "none.yaml cannot be read"),
        ("train --data phantom --run R --config words.yaml", "words.yaml holds no options"),
        ("train --data phantom", "Option --run is missing"),
        ("train --data none --run empty", "none"),
        ("train --data empty --dry-run", "empty"),
        ("train --data phantom --size 32 --run file", "file cannot be made (File exists)"),
        ("train --data phantom --size 32 --run begun", "config.json is not JSON ("),
        ("export --run none --out O", "There is no snapshot in none/stage1/snapshot"),
        ("export --run run --out O", "The snapshot in run/stage2/snapshot is damaged ("),
        ("export --run run --out O --format tflite", "There is no format 'tflite'; choose from savedmodel, onnx"),
        ("export --run run --out O --format ,", "No format is given; choose from savedmodel, onnx"),
        ("export --run run --out run", "run is there and is not an artifact"),
        ("generate --model none -n 1 --out O", "none is not an artifact"),
        ("generate --model run -n 1 --out O", "run is not an artifact"),
        (
            "generate --model model --runtime onnx -n 1 --out O",
            "model/generator.onnx is not the file that card.json lists (",
        ),
        ("generate --model model -n 0 --out O", "The number of pairs is 0; it must be at least 1."),
        ("generate --model model -n 1 --from-index -1 --out O", "choose another --from-index."),
        ("generate --model model -n 1 --out model", "model is there and is not a synthetic set"),
        ("data check none", "none"),
        ("data phantom --out O -n 0", "0"),
        ("data phantom --out O --size 31", "31"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(broken, monkeypatch, arguments, said):
    monkeypatch.chdir(broken)
    before = sorted(path for path in broken.rglob("*"))
    result = _run(*arguments.split())
    assert result.exit_code == 2, result.output
    lines = result.output.splitlines()
    assert len(lines) == 1 and lines[0].startswith("synthmed: ") and lines[0].endswith(".")
    assert said in lines[0]
    assert sorted(path for path in broken.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("trian", "No such command 'trian'"),
        ("train stage3 --data phantom", "'stage3' is not one of 'stage1', 'stage2', 'segmenter', 'all'"),
        ("train", "Missing option '--data'"),
        ("generate --model m --out O", "Missing option '-n'"),
        ("generate --model m --out O -n many", "'many' is not a valid integer"),
        ("generate --model m --out O -n 1 --runtime torch", "'torch' is not one of 'auto', 'savedmodel', 'onnx'"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, said):
    result = _run(*arguments.split())
    assert result.exit_code == 2 and said in result.output and "Traceback" not in result.output


def test_a_bad_value_ends_a_real_process_without_a_traceback(tmp_path):
    done = _python(str(ROOT / "train.py"), "--data", "none", "--run", "run", "--override", "stage1=3", folder=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("synthmed: stage1 is a section with the options ")
    assert done.stderr.count("\n") == 1 and os.listdir(tmp_path) == []


def test_dry_run_shows_configuration_networks_data_and_plan_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = _done("train", *TINY, "--run=run", "--dry-run", "--override=stage2.epochs=3")
    shown, _, plan = output.partition("\n}\n")
    expected = load_config("demo", overrides=(*(o.removeprefix("--override=") for o in FEW), "size=32"))
    config = json.loads(shown + "}")
    assert config["size"] == 32 and config["stage1"]["steps"] == 2
    assert (config["stage2"]["steps"], config["stage2"]["epochs"]) == (None, 3)
    assert config["data"] == expected.data.model_dump()
    batch = config["stage2"]["batch_size"]
    for line in (
        "data: phantom (layout phantom), 58 pairs",
        f"stage1: 2 steps of {config['stage1']['batch_size']}, {2 * config['stage1']['batch_size']} images",
        f"stage2: {-(-3 * 58 // batch)} steps of {batch}, ",
    ):
        assert line in plan
    counts = [int(line.split()[-2].replace(",", "")) for line in plan.splitlines() if line.endswith(" parameters")]
    assert len(counts) == 5 and counts == _parameters(config)
    assert os.listdir(tmp_path) == []


def _parameters(config):
    from synthmed_tf.config.schema import config_from_json
    from synthmed_tf.models import factory

    config = config_from_json(json.dumps(config), "shown")
    makers = (factory.mask_generator, factory.mask_discriminator, factory.image_generator, factory.image_discriminator)
    return [sum(w.size for w in make(config).get_weights()) for make in (*makers, factory.style_encoder)]


def test_the_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = _done("train", "stage1", *TINY, "--run=run")
    assert "data: phantom" in said and "next: the other stage" in said and not os.path.exists("run/stage2")
    said = _done("train", *TINY, "--run=run")
    assert "stage1: 2 of 2 steps are done" in said and "next: synthmed export --run run --out DIR" in said
    again = _done("train", *TINY, "--run=run")
    assert "stage1: 2 of 2 steps are done" in again and "stage2: 2 of 2 steps are done" in again

    other = _run("train", *TINY, "--run=run", "--override=stage1.r1_gamma=3.5")
    assert other.exit_code == 2
    assert "run was begun with stage1.r1_gamma = " in other.output and "and now it is 3.5" in other.output

    said = _done("export", "--run=run", "--out=model", "--license=CC0")
    assert "savedmodel: 0.0e+00 of the mask pixels and at most " in said
    assert "onnx: " in said and said.endswith("the artifact is in model\n")

    said = _done("generate", "--model=model", "-n", 5, "--seed=2", "--from-index=3", "--out=set")
    assert said.startswith("5 pairs in set (5 generated now)")
    assert "(0 generated now)" in _done("generate", "--model=model", "-n", 5, "--seed=2", "--from-index=3", "--out=set")
    opened = artifact.open_artifact("model", "onnx")
    masks, _ = opened.pixels(np.full(5, 2), np.arange(3, 8))
    for index, mask in zip(range(3, 8), masks, strict=True):
        np.testing.assert_array_equal(images.read_image(f"set/masks/{index:08d}.png")[..., :1], mask)
    assert opened.card["config"]["stage1"]["steps"] == 2 and opened.card["license"] == "CC0"
    assert opened.card["data"]["stage1"]["source"] == "phantom"


def test_a_terminated_export_leaves_nothing_behind(tiny_run, tmp_path):
    out = tmp_path / "model"
    command = [sys.executable, str(ROOT / "export" / "to_saved_model.py"), "--run", str(tiny_run), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert any(line == "writing the SavedModel\n" for line in process.stderr)
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == []


def test_generated_phantoms_can_be_checked(tmp_path):
    said = _done("data", "phantom", "--out", tmp_path, "-n", 3, "--size", 128)
    assert said == f"3 pairs of 128x128 pixels in {tmp_path}\n"
    said = _done("data", "check", tmp_path)
    assert "layout plain, 3 photographs, 3 vessel masks, 3 patients" in said
    report = json.loads(_done("data", "check", tmp_path, "--json"))
    assert report["photographs"] == report["masks"] == 3 and report["findings"] == []


def test_the_data_doctor_ends_with_1_for_warnings_and_2_for_errors(tmp_path):
    _done("data", "phantom", "--out", tmp_path, "-n", 3, "--size", 64)
    warned = _run("data", "check", tmp_path)
    assert warned.exit_code == 1 and "64" in warned.output
    mask = next((tmp_path / "masks").iterdir())
    mask.write_bytes(mask.read_bytes()[:100])
    refused = _run("data", "check", tmp_path)
    assert refused.exit_code == 2 and mask.name in refused.output and "Traceback" not in refused.output


def test_a_saved_configuration_can_be_given_back(tmp_path):
    config = make_config("paper", "stage1.steps=3", "data.patients='0001-0010'")
    (tmp_path / "config.json").write_text(config.model_dump_json())
    output = _done("train", "--preset=paper", "--data=phantom", "--dry-run", "--config", tmp_path / "config.json")
    shown, _, _ = output.partition("\n}\n")
    assert json.loads(shown + "}") == config.model_dump(mode="json")


def test_generate_offers_every_runtime_of_an_artifact():
    """Named in the command itself, since the artifact's module would slow its start."""
    from synthmed_tf.cli.generate import generate
    from synthmed_tf.exporting import artifact

    [choice] = [parameter.type for parameter in generate.params if parameter.name == "runtime"]
    assert tuple(choice.choices) == get_args(artifact.Runtime) == ("auto", *artifact.RUNTIMES)

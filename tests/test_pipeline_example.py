"""examples/pipeline: what it compiles to, and all its steps in processes of their own."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import yaml
from helpers.paths import ENVIRONMENT, ROOT

PIPELINE = ROOT / "examples" / "pipeline" / "pipeline.py"
STEPS = {
    "check": [],
    "train": ["check"],
    "export": ["train"],
    "generate": ["export"],
    "evaluate": ["generate"],
    "release": ["evaluate", "export"],
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("kfp") is None, reason="the extra pipelines is not installed"),
]


def _run(tmp_path, *arguments: str) -> subprocess.CompletedProcess:
    (tmp_path / "synthmed").write_text(f'#!/bin/sh\nexec {sys.executable} -m synthmed_tf "$@"\n')
    (tmp_path / "synthmed").chmod(0o755)
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, str(PIPELINE), *arguments]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)


def test_it_compiles_to_the_steps_in_their_order(tmp_path):
    ran = _run(tmp_path, "--compile", "pipeline.yaml")
    assert ran.returncode == 0, ran.stderr
    tasks = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["root"]["dag"]["tasks"]
    assert {name: sorted(task.get("dependentTasks", [])) for name, task in tasks.items()} == STEPS
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks.values())
    assert tasks["train"]["retryPolicy"]["maxRetryCount"] == 3


def test_from_a_folder_to_a_served_model(phantoms, tmp_path):
    work = tmp_path / "work"
    for version in ("1", "2"):  # the second time the training and the evaluation are done already
        ran = _run(tmp_path, "--data", str(phantoms), "--work", str(work), "--quick")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout.splitlines()[-1] == str(work / "serving" / "synthmed" / version)
        assert (work / "serving" / "synthmed" / version / "saved_model.pb").is_file()
    assert "stage2: 4 of 4 steps are done" in ran.stdout + ran.stderr
    report = json.loads((work / "report" / "report.json").read_text())
    assert [verdict["question"] for verdict in report["verdicts"]] == ["geometry"]

"""What examples/distributed starts: the cluster that each process is told of, and its command."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.paths import ROOT

EXAMPLES = ROOT / "examples" / "distributed"
COMMAND = ["train", "--strategy", "multi_worker", "--preset", "recommended"]


def _stand_in(folder: Path, name: str, script: str) -> None:
    """A program on the PATH."""
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def _started(tmp_path: Path, command: list[str], **environment: str) -> list[tuple[dict, list[str]]]:
    """The TF_CONFIG and the arguments of each `synthmed` that a command starts."""
    write = 'printf "%s\\0" "$TF_CONFIG" "$@" > "$STARTED/$(date +%s%N)"'
    started = tmp_path / "started"
    started.mkdir()
    _stand_in(tmp_path, "synthmed", write)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, env=os.environ | environment | {"PATH": path, "STARTED": str(started)}, check=True)
    parts = (file.read_text().split("\0")[:-1] for file in sorted(started.iterdir()))
    return [(json.loads(first), rest) for first, *rest in parts]


def test_slurm(tmp_path):
    _stand_in(tmp_path, "scontrol", 'test "$*" = "show hostnames node[7-8]" && printf "node7\\nnode8\\n"')
    _stand_in(tmp_path, "srun", 'shift; for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done')
    command = ["bash", str(EXAMPLES / "slurm.sh"), "eyes one", "run"]
    started = _started(tmp_path, command, SLURM_JOB_NODELIST="node[7-8]")
    for index, (config, arguments) in enumerate(started):
        assert config["cluster"] == {"worker": ["node7:2222", "node8:2222"]}
        assert config["task"] == {"type": "worker", "index": index}
        assert arguments == [*COMMAND, "--data", "eyes one", "--run", "run"]
    assert len(started) == 2


@pytest.mark.parametrize("index", [0, 1])
def test_kubernetes(index, tmp_path):
    service, job = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    name, spec = job["metadata"]["name"], job["spec"]
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["selector"] == {"job-name": name}
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    command = spec["template"]["spec"]["containers"][0]["command"]
    [(config, arguments)] = _started(tmp_path, command, JOB_COMPLETION_INDEX=str(index))
    hosts = [f"{name}-{number}.{service['metadata']['name']}:2222" for number in range(spec["completions"])]
    assert config == {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
    assert arguments == [*COMMAND, "--data", "/runs/pairs", "--run", "/runs/one"]

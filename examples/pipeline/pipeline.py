"""A pipeline for Kubeflow Pipelines: from a folder of pairs to a model that serves.

    check -> train -> export -> generate -> evaluate -> release

`python pipeline.py --compile FILE` writes what a cluster runs. `python pipeline.py --data DIR --work WORK` runs
the same steps here, each in a process of its own (kfp.local). docs/pipelines.md says more.

Each step runs commands of `synthmed`, which resume: a step that is run again goes on where it was.
"""

import argparse
import os

from kfp import compiler, dsl, local

IMAGE = os.environ.get("SYNTHMED_IMAGE", "synthmed-tf:latest")
"""A container with `pip install "synthmed-tf[evaluate,pipelines,serving]"`."""

step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@step
def check(data: str) -> str:
    """Stops the pipeline if images or masks are wrong; warnings pass."""
    import subprocess

    if subprocess.run(["synthmed", "data", "check", data]).returncode == 2:
        raise SystemExit(f"The training data in {data} have errors; synthmed data fix writes a clean copy.")
    return data


@step
def train(data: str, work: str, preset: str, overrides: list) -> str:
    """Trains both stages, in a folder that all attempts share; returns the folder of the run."""
    import subprocess

    run = f"{work}/run"
    options = [f"--override={override}" for override in overrides]
    subprocess.run(["synthmed", "train", "--data", data, "--run", run, "--preset", preset, *options], check=True)
    return run


@step
def export(run: str, license: str, model: dsl.Output[dsl.Model]):
    """Writes both stages as one graph, for TensorFlow and ONNX Runtime."""
    import json
    import subprocess
    from pathlib import Path

    subprocess.run(["synthmed", "export", "--run", run, "--out", model.path, "--license", license], check=True)
    card = json.loads((Path(model.path) / "card.json").read_text())
    model.metadata |= {name: card[name] for name in ("model_sha256", "size", "license")}


@step
def generate(model: dsl.Input[dsl.Model], count: int, seed: int, pairs: dsl.Output[dsl.Dataset]):
    """Generates labelled pairs, and checks every file against the manifest."""
    import subprocess

    numbers = ["--count", str(count), "--seed", str(seed)]
    subprocess.run(["synthmed", "generate", "--model", model.path, "--out", pairs.path, *numbers], check=True)
    subprocess.run(["synthmed", "verify", pairs.path], check=True)


@step
def evaluate(
    pairs: dsl.Input[dsl.Dataset],
    data: str,
    work: str,
    sections: str,
    page: dsl.Output[dsl.HTML],
    found: dsl.Output[dsl.Metrics],
) -> str:
    """Compares the pairs with the real ones; returns the verdict of each question, as JSON."""
    import json
    import shutil
    import subprocess
    from pathlib import Path

    report = Path(work) / "report"
    options = ["--real", data, "--out", str(report), "--quick"] + (["--only", sections] if sections else [])
    if subprocess.run(["synthmed", "evaluate", pairs.path, *options]).returncode == 2:
        raise SystemExit("The evaluation could not be made; its message is above.")
    shutil.copyfile(report / "report.html", page.path)
    verdicts = {
        each["question"]: each["state"] for each in json.loads((report / "report.json").read_text())["verdicts"]
    }
    for question, state in verdicts.items():
        found.log_metric(question, state)
    return json.dumps(verdicts)


@step
def release(model: dsl.Input[dsl.Model], verdicts: str, required: list, serving: str, name: str) -> str:
    """Serves the model once and compares an answer; then puts it where TensorFlow Serving looks for new versions."""
    import json
    import shutil
    from pathlib import Path

    import numpy as np

    import synthmed_tf as sm
    from synthmed_tf.serving.client import Client
    from synthmed_tf.serving.server import Server

    failed = [question for question in required if json.loads(verdicts).get(question) != "PASS"]
    if failed:
        raise SystemExit(f"Not released: {', '.join(failed)} must be PASS, and the verdicts are {verdicts}.")
    expected = sm.load(model.path).generate(seed=0, index=range(2))
    with Server(Path(model.path), name=name) as server, Client(f"http://127.0.0.1:{server.rest_port}", name) as client:
        masks, images = client.pixels([0, 0], [0, 1])
    assert (masks == expected.mask).all() and np.abs(images.astype(int) - expected.image).max() <= 1
    versions = Path(serving) / name
    version = versions / str(max([int(path.name) for path in versions.glob("[0-9]*")], default=0) + 1)
    shutil.copytree(Path(model.path) / "savedmodel" / "1", versions / "new")
    (versions / "new").rename(version)  # TensorFlow Serving looks at numbers only
    return str(version)


@dsl.pipeline(name="synthmed", description="From a folder of labelled retinal photographs to a model that serves.")
def synthmed(
    data: str,
    work: str,
    serving: str,
    preset: str = "recommended",
    overrides: list = [],  # noqa: B006
    license: str = "not stated",
    count: int = 1000,
    seed: int = 0,
    sections: str = "",
    required: list = [],  # noqa: B006
    name: str = "synthmed",
) -> str:
    """The steps.

    Args:
        data: a folder of pairs, or its address in an object store.
        work: a folder that all steps share and that outlives them: the run and the report are in it, and resume.
        serving: TensorFlow Serving's folder of models.
        preset, overrides: of the training.
        license: of the model, on its card.
        count, seed: of the pairs.
        sections: of the evaluation, with commas; all where empty.
        required: questions of the report whose verdict must be PASS, or the model is not released.
        name: of the model on the server.
    """
    checked = check(data=data)
    trained = train(data=checked.output, work=work, preset=preset, overrides=overrides).set_retry(3)
    exported = export(run=trained.output, license=license)
    generated = generate(model=exported.outputs["model"], count=count, seed=seed)
    evaluated = evaluate(pairs=generated.outputs["pairs"], data=data, work=work, sections=sections)
    released = release(
        model=exported.outputs["model"],
        verdicts=evaluated.outputs["Output"],
        required=required,
        serving=serving,
        name=name,
    )
    for task in (checked, trained, exported, generated, evaluated, released):
        task.set_caching_options(False)  # the commands know what is done
    return released.output


def main() -> None:
    """Compiles the pipeline, or runs it on this machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", metavar="FILE", help="write the pipeline, and run nothing")
    parser.add_argument("--data")
    parser.add_argument("--work")
    parser.add_argument("--quick", action="store_true", help="some steps of small networks, to try the pipeline")
    options = parser.parse_args()
    if options.compile:
        compiler.Compiler().compile(synthmed, options.compile)
        return
    if not options.data or not options.work:
        parser.error("give --data and --work, or --compile")
    small = [f"{stage}.{name}=4" for stage in ("stage1", "stage2") for name in ("filters", "discriminator_filters")]
    quick = {
        "preset": "demo",
        "overrides": ["size=32", "stage1.steps=4", "stage2.steps=4", *small],
        "count": 12,
        "sections": "geometry",
    }
    work = os.path.abspath(options.work)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=f"{work}/steps")
    data = options.data if "://" in options.data else os.path.abspath(options.data)
    folders = {"data": data, "work": work, "serving": f"{work}/serving"}
    print(synthmed(**folders, **(quick if options.quick else {})).output)


if __name__ == "__main__":
    main()

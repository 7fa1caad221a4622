"""`synthmed_tf.train` and `synthmed_tf.evaluate`: the public functions that join several parts of the package.

The command line calls the same functions.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthmed_tf.errors import SynthMedError
from synthmed_tf.local_copies import local_copy, working_copy

if TYPE_CHECKING:
    from synthmed_tf.config.schema import Config
    from synthmed_tf.evaluation.report import Report

STAGES = ("stage1", "stage2", "segmenter", "all")

StrPath = str | os.PathLike[str]


def train(
    data: StrPath,
    run: StrPath,
    *,
    stage: str = "all",
    preset: str | None = None,
    start: StrPath | None = None,
    size: int | None = None,
    patients: str | None = None,
    validation_patients: str | None = None,
    patient_regex: str | None = None,
    vessel_labels: str | None = None,
    field_of_view: str | None = None,
    structures: str | None = None,
    strategy: str | None = None,
    precision: str | None = None,
    xla: bool = False,
    config_file: StrPath | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    override_config: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Trains a model on pairs of images and vessel masks. The same call resumes.

    Args:
        data: a folder of pairs, on this disk or in an object store (`s3://`, `gs://`, `abfs://`), or `phantom` for the
            built-in data set.
        run: the folder of the run; made if it is missing.
        stage: `stage1` (masks), `stage2` (images of masks), `all` (both), or `segmenter`.
        preset: `recommended` (the default), `gan`, `paper` or `demo`.
        start: fine-tuning: begin with the weights of this model: a name that `synthmed models` lists, an artifact, or a
            run. Networks are those of the model; in place of `preset`.
        size: pixels a side, a power of two; default: that of the preset.
        patients: train on these only, such as `01-10`.
        validation_patients: choose the best step with these.
        patient_regex: its first group, in the name of a file, is the patient.
        vessel_labels: the values or colours of the vessels in label maps, such as `1,2` or `red,blue`.
        field_of_view: `disc`, `frame` (images that fill their frame) or `from_file`; default: `disc`.
        structures: what masks mark, `vessels` or `any`; default: `vessels`.
        strategy: `auto`, `one`, `mirrored` or `multi_worker`.
        precision: `float32`, `mixed_float16` or `mixed_bfloat16`.
        xla: whether to compile with XLA.
        config_file: a YAML file with options that differ from the preset.
        overrides: options by name, such as `{"stage1.batch_size": 16}`, or texts such as `stage1.batch_size=16`; see
            `synthmed_tf.config.schema`.
        override_config: whether a run that was started with other options is resumed with these.
        say: called with each line for the user.

    Returns:
        The folder of the run.

    Raises:
        SynthMedError: an option, the data or the folder of the run is not as it has to be; the sentence says why.
        synthmed_tf.training.loop.Interrupted: a signal stopped the training, and everything is saved.

    Example:
        >>> import synthmed_tf as sm
        >>> options = {"stage1.steps": 2, "stage1.filters": 4, "stage1.discriminator_filters": 4}
        >>> run = sm.train("phantom", "NEW_RUN", stage="stage1", preset="demo", size=32, overrides=options, say=str)
        >>> (run / "stage1" / "snapshot").is_dir()
        True
    """
    if stage not in STAGES:
        raise SynthMedError(f"There is no stage {stage!r}; choose {', '.join(STAGES)}.")
    config = training_config(
        preset,
        start,
        config_file,
        overrides,
        size=size,
        patients=patients,
        validation_patients=validation_patients,
        patient_regex=patient_regex,
        vessel_labels=vessel_labels,
        field_of_view=field_of_view,
        structures=structures,
        strategy=strategy,
        precision=precision,
        xla=xla,
    )
    from synthmed_tf.training import run as training

    begin = None
    if start is not None:
        from synthmed_tf.exporting.starting import open_start

        begin = functools.partial(open_start, start)
    training.train(config, os.fspath(data), Path(run), stages_of(stage), say, override_config, begin)
    return Path(run)


def training_config(
    preset: str | None,
    start: StrPath | None,
    config_file: StrPath | None,
    overrides: Mapping[str, Any] | Sequence[str],
    *,
    patients: str | None = None,
    validation_patients: str | None = None,
    patient_regex: str | None = None,
    vessel_labels: str | None = None,
    field_of_view: str | None = None,
    structures: str | None = None,
    xla: bool = False,
    **top: Any,
) -> "Config":
    """The configuration of a training; the arguments are those of `train`. Imports TensorFlow for `start` alone."""
    from synthmed_tf.config.schema import fine_tuning_config, load_config

    named = {"data.patients": patients, "data.validation_patients": validation_patients}
    named |= {"data.patient_regex": patient_regex, "data.vessel_labels": vessel_labels}
    named |= {"data.field_of_view": field_of_view, "data.structures": structures, "xla": xla or None} | top
    texts = list(_texts(overrides)) if isinstance(overrides, Mapping) else list(overrides)
    texts += _texts({name: value for name, value in named.items() if value is not None})
    file = None if config_file is None else Path(config_file)
    if start is None:
        return load_config(preset or "recommended", file, tuple(texts))
    if preset is not None:
        raise SynthMedError(
            f"Option --preset is {preset} and --from is {start}, which has networks of its own; name one."
        )
    from synthmed_tf.exporting.starting import is_fine_tuned, read_config

    return fine_tuning_config(read_config(start), file, tuple(texts), is_fine_tuned(start))


def stages_of(stage: str) -> tuple[str, ...]:
    """The stages that are trained, in order."""
    return ("stage1", "stage2") if stage == "all" else (stage,)


def evaluate(
    set: StrPath,
    real: StrPath,
    out: StrPath,
    *,
    patients: str | None = None,
    holdout: StrPath | None = None,
    holdout_patients: str | None = None,
    other: StrPath | None = None,
    patient_regex: str | None = None,
    vessel_labels: str | None = None,
    artifact: StrPath | None = None,
    run: StrPath | None = None,
    only: Sequence[str] = (),
    size: int | None = None,
    quick: bool = False,
    seeds: int | None = None,
    segmenter_steps: int | None = None,
    seed: int = 0,
    real_images: bool = True,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> "Report":
    """Evaluates a synthetic set (is it useful, and does it reveal a training patient?) and writes a report.

    The same call resumes. Each folder but `run` may be in an object store (`s3://`, `gs://`, `abfs://`).

    Args:
        set: a folder that `synthmed generate` or `synthmed filter` wrote.
        real: the real pairs that the generator was trained on.
        out: the folder of the report: `report.html`, `report.json` and `pairs.jsonl`.
        patients: those of `real` that it was trained on, such as `01-10`; default: all that are not held out.
        holdout: real pairs of patients that it never saw.
        holdout_patients: patients of `real` that it never saw; in place of `holdout`.
        other: real pairs of another camera, as a second test of usefulness.
        patient_regex: its first group, in the name of a file, is the patient.
        vessel_labels: the values or colours of the vessels in label maps, such as `1,2` or `red,blue`.
        artifact, run: of the generator, for the attacks that need them.
        only: some sections only, such as `["privacy"]`.
        size: pixels a side that all pairs are averaged down to, a divisor of their size; default: none.
        quick: whether to train fewer and shorter; the report says so.
        seeds: number of segmenters in each arm; default: 3, with `quick` 1.
        segmenter_steps: training steps of each; default: 1000, with `quick` 200.
        seed: of the evaluation.
        real_images: whether the page shows real images and masks.
        progress: called with (what, done, total).

    Returns:
        The report; `report.verdict` is `PASS` if every verdict is.

    Raises:
        SynthMedError: something is missing, damaged or does not fit together, or the report cannot be written.

    Example:
        >>> import synthmed_tf as sm
        >>> report = sm.evaluate("SET", real="DIR", out="REPORT", only=["geometry"], quick=True)
        >>> [verdict.question for verdict in report.verdicts]
        ['geometry']
    """
    if holdout is not None and holdout_patients is not None:
        raise SynthMedError("Options --holdout and --holdout-patients both name the holdout; leave one of them out.")
    from synthmed_tf.evaluation import evaluator
    from synthmed_tf.evaluation.context import QUICK, Settings

    changed = {"seeds": seeds, "segmenter_steps": segmenter_steps, "seed": seed}
    settings = (QUICK if quick else Settings()).model_copy(
        update={name: value for name, value in changed.items() if value is not None}
    )

    def here(folder: StrPath) -> Path:
        return local_copy(folder, lambda done, total: progress("fetching", done, total))

    with working_copy(out, last="report.json", mark="evaluation.json") as written:
        request = evaluator.EvaluationRequest(
            set=here(set),
            real=here(real),
            out=written,
            patients=patients,
            holdout=None if holdout is None else here(holdout),
            holdout_patients=holdout_patients,
            other=None if other is None else here(other),
            patient_regex=patient_regex,
            vessel_labels=vessel_labels,
            artifact=None if artifact is None else here(artifact),
            run=None if run is None else Path(run),
            only=tuple(only),
            size=size,
            real_images=real_images,
        )
        return evaluator.evaluate(request, settings, progress)


def _texts(values: Mapping[str, Any]) -> list[str]:
    # JSON puts text in quotes, so that a patient `01-10` stays text.
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]

"""`synthmed evaluate`: opens what is to be judged, asks each section, and writes the report.

<report>/report.json    figures and verdicts
<report>/report.html    the same for people, in one file
<report>/pairs.jsonl    a line a synthetic pair: its scores, by which `synthmed filter` drops pairs
<report>/cache/         what took long; can be removed
"""

import contextlib
import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthmed_tf import files
from synthmed_tf.data.sources import Pair, Source, find_pairs, parse_patients
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import report
from synthmed_tf.evaluation.cache import Cache
from synthmed_tf.evaluation.context import Case, Outcome, Progress, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, SetPairs, load_real
from synthmed_tf.exporting import artifact

SECTIONS = ("compared", "utility", "fidelity", "geometry", "distribution", "dispersion", "privacy")
"""In the order of the report; each is a module of `evaluation.sections`."""

LEAST_PATIENTS = 4
_MARK = "judged.json"


@dataclass(frozen=True)
class Job:
    """What to judge.

    Attributes:
        set: the synthetic set.
        real: the folder of the real pairs that the generator was trained on.
        out: the report's folder.
        patients: of `real`, whom the generator was trained on, such as `01-10`; None for all that are not held out.
        holdout: a folder of real pairs of other patients, or None.
        holdout_patients: of `real`, whom the generator never saw, such as `11-14`, or None.
        other: a folder of real pairs of another camera, or None.
        patient_regex: as for `find_pairs`, in all folders.
        artifact, run: of the generator, or None.
        only: names of `SECTIONS`; all where empty.
        real_images: whether the page shows real photographs and masks.
    """

    set: Path
    real: Path
    out: Path
    patients: str | None = None
    holdout: Path | None = None
    holdout_patients: str | None = None
    other: Path | None = None
    patient_regex: str | None = None
    artifact: Path | None = None
    run: Path | None = None
    only: tuple[str, ...] = ()
    real_images: bool = True


def evaluate(job: Job, settings: Settings, progress: Progress = lambda what, done, total: None) -> report.Report:
    """Judges a set and writes the report; the same call goes on where it was.

    Args:
        job: what to judge.
        settings: how thoroughly.
        progress: as `case.Progress`.

    Raises:
        SynthMedError: something that is to be judged is missing, damaged or does not fit together; or the report's
            folder holds something else or cannot be written.
    """
    names = _sections(job.only)
    synthetic = SetPairs(job.set)
    _check_model(job, synthetic)
    train, holdout, other = _real_pairs(job, synthetic, progress)
    with files.failing_clearly(job.out), _own_folder(job.out, synthetic.fingerprint):
        case = Case(
            synthetic=synthetic,
            train=train,
            holdout=holdout,
            cache=Cache(job.out / "cache"),
            settings=settings,
            other=other,
            artifact=job.artifact,
            run=job.run,
            progress=progress,
        )
        return _write(case, {name: _judge(name, case) for name in names}, job)


def _judge(name: str, case: Case) -> Outcome:
    return importlib.import_module(f"synthmed_tf.evaluation.sections.{name}").judge(case)


def _write(case: Case, outcomes: dict[str, Outcome], job: Job) -> report.Report:
    from synthmed_tf.evaluation import page

    written = report.make(case, outcomes, job.real_images)
    files.write_text(job.out / "report.html", page.render(written, outcomes, case))
    report.write(written, report.pair_lines(case, outcomes), job.out)
    return written


def _sections(only: Sequence[str]) -> tuple[str, ...]:
    for name in only:
        if name not in SECTIONS:
            raise SynthMedError(f"There is no section {name!r}; choose from {', '.join(SECTIONS)}.")
    return tuple(name for name in SECTIONS if name in {"compared", *only}) if only else SECTIONS


def _check_model(job: Job, synthetic: SetPairs) -> None:
    """An attack on another generator would say nothing of this set."""
    if job.artifact is not None:
        model = artifact.read_card(job.artifact)["model_sha256"]
        if model != synthetic.card.get("model_sha256"):
            raise SynthMedError(
                f"{job.artifact} is model {model[:16]} but {job.set} was drawn by "
                f"{str(synthetic.card.get('model_sha256'))[:16]}; name the artifact that drew it."
            )
    if job.run is not None and not (Path(job.run) / "config.json").is_file():
        raise SynthMedError(f"{job.run} is not a run: it has no config.json; name the folder of synthmed train --run.")


def _real_pairs(
    job: Job, synthetic: SetPairs, progress: Progress
) -> tuple[ArrayPairs, ArrayPairs | None, ArrayPairs | None]:
    """Train, holdout and the other camera, all of the set's size."""
    source = _labelled(job.real, job.patient_regex)
    chosen = _train_patients(job, source, synthetic)
    held: tuple[Pair, ...] = ()
    if job.holdout is not None:
        held = _labelled(job.holdout, job.patient_regex).pairs
    elif job.holdout_patients is not None:
        names = parse_patients(job.holdout_patients, source.patients)
        held = tuple(pair for pair in source.pairs if pair.patient in names)
    both = sorted({pair.patient for pair in held} & set(chosen))
    if both:
        raise SynthMedError(
            f"Patients {', '.join(both)} are both in train and in the holdout; name each once (--patients, "
            "--holdout-patients), or tell different people of one name apart with --patient-regex."
        )
    trained = tuple(pair for pair in source.pairs if pair.patient in chosen)

    def load(pairs: Sequence[Pair], what: str) -> ArrayPairs:
        return load_real(pairs, synthetic.size, lambda done, total: progress(what, done, total))

    train = load(trained, "reading real pairs")
    holdout = load(held, "reading the holdout") if held else None
    if holdout is not None:
        _refuse_shared(train, holdout)
    other = load(_labelled(job.other, job.patient_regex).pairs, "reading the other camera") if job.other else None
    return train, holdout, other


def _train_patients(job: Job, source: Source, synthetic: SetPairs) -> tuple[str, ...]:
    """Whom the generator was trained on: those named, or all but the held out and those who chose its step."""
    if job.patients is not None:
        chosen = parse_patients(job.patients, source.patients)
    else:
        held = set(_chose_step(synthetic, source))
        if job.holdout is None and job.holdout_patients is not None:
            held |= set(parse_patients(job.holdout_patients, source.patients))
        chosen = tuple(name for name in source.patients if name not in held)
    if len(chosen) < LEAST_PATIENTS:
        raise SynthMedError(
            f"{job.real} has {len(chosen)} patients that the generator was trained on; a set is judged against "
            f"{LEAST_PATIENTS} or more: two images of one patient are not two witnesses."
        )
    return chosen


def _chose_step(synthetic: SetPairs, source: Source) -> list[str]:
    """Patients of this source by whom the generator's step was chosen: neither trained on nor unseen."""
    stages = synthetic.card.get("data") or {}
    return [
        name
        for facts in stages.values()
        if facts.get("source") == source.root.resolve().name
        for name in facts.get("validation_patients", ())
    ]


def _labelled(folder: Path, patient_regex: str | None) -> Source:
    found = find_pairs(folder, patient_regex)
    labelled = tuple(pair for pair in found.pairs if pair.mask is not None)
    if not labelled:
        raise SynthMedError(f"{folder} (layout {found.layout}) has photographs alone; judging needs vessel masks.")
    return Source(found.layout, found.root, labelled)


def _refuse_shared(train: ArrayPairs, holdout: ArrayPairs) -> None:
    """The same photograph under two names would make a leak of what is none."""
    seen = {photograph.tobytes(): name for photograph, name in zip(train.all().photographs, train.names, strict=True)}
    for photograph, name in zip(holdout.all().photographs, holdout.names, strict=True):
        if photograph.tobytes() in seen:
            raise SynthMedError(
                f"{name} of the holdout is the photograph {seen[photograph.tobytes()]} of train; a holdout is of "
                "patients that the generator never saw: remove it there."
            )


@contextlib.contextmanager
def _own_folder(out: Path, fingerprint: str) -> Iterator[None]:
    """Makes the report's folder, refuses one of something else, and keeps other processes out."""
    mark = out / _MARK
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        try:
            there = json.loads(mark.read_text(encoding="utf-8")).get("set")
        except (OSError, ValueError, AttributeError):
            raise SynthMedError(f"{out} is there and is not a report; choose another --out or empty it.") from None
        if there != fingerprint:
            raise SynthMedError(f"{out} holds the report of another set; choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    files.write_text(mark, json.dumps({"kind": "synthmed evaluation", "set": fingerprint}) + "\n")
    try:
        with files.exclusive(out / "lock"):
            yield
    except BlockingIOError as error:
        raise SynthMedError(f"{out} is in use by {error.strerror}; wait for it, or choose another --out.") from None

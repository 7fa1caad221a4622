"""`synthmed evaluate`: opens the sets, runs each section, and writes the report.

<report>/report.json    results and verdicts
<report>/report.html    the same for people, in one file
<report>/pairs.jsonl    a line for each synthetic pair: its scores, by which `synthmed filter` drops pairs
<report>/cache/         measurements and segmenters; can be removed
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
from synthmed_tf.evaluation.context import Cache, EvaluationContext, Progress, SectionResult, SectionResults, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs, Pairs, ReducedPairs, SyntheticSet, load_real
from synthmed_tf.evaluation.results import Compared, PairSet
from synthmed_tf.exporting import artifact

SECTIONS = ("compared", "utility", "fidelity", "geometry", "distribution", "dispersion", "privacy")
"""In the order of the report; each but the first is a module of `evaluation` with a function `evaluate`."""

LEAST_PATIENTS = 4
_MARK, _OLD_MARK = "evaluation.json", "judged.json"


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate.

    Attributes:
        set: the synthetic set.
        real: the folder of the real pairs that the generator was trained on.
        out: the report's folder.
        patients: those of `real` on whom the generator was trained, such as `01-10`; None for all that are not held
            out.
        holdout: a folder of real pairs of other patients, or None.
        holdout_patients: those of `real` whom the generator never saw, such as `11-14`, or None.
        other: a folder of real pairs of another camera, or None.
        patient_regex, vessel_labels: as for `find_pairs`, in all folders.
        artifact, run: of the generator, or None.
        only: names of `SECTIONS`; all if empty.
        size: pixels a side that all pairs are averaged down to; None for the set's own size.
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
    vessel_labels: str | None = None
    artifact: Path | None = None
    run: Path | None = None
    only: tuple[str, ...] = ()
    size: int | None = None
    real_images: bool = True


def evaluate(
    request: EvaluationRequest, settings: Settings, progress: Progress = lambda what, done, total: None
) -> report.Report:
    """Evaluates a set and writes the report; the same call resumes after an interruption.

    Args:
        request: what to evaluate.
        settings: how thoroughly.
        progress: as `context.Progress`.

    Raises:
        SynthMedError: a set is missing, damaged or does not fit the others; or the report's folder holds something else
            or cannot be written.
    """
    names = _sections(request.only)
    synthetic = SyntheticSet(request.set)
    _check_size(request, synthetic.size)
    _check_model(request, synthetic)
    train, holdout, other = _real_pairs(request, synthetic, progress)
    synthetic, train, holdout, other = (_reduced(pairs, request.size) for pairs in (synthetic, train, holdout, other))
    with files.failing_clearly(request.out), _own_folder(request.out, synthetic.fingerprint):
        context = EvaluationContext(
            synthetic=synthetic,
            train=train,
            holdout=holdout,
            cache=Cache(request.out / "cache"),
            settings=settings,
            other=other,
            artifact=request.artifact,
            run=request.run,
            progress=progress,
        )
        sections = SectionResults(compare_sets(context), **{name: _section(name, context) for name in names})
        return _write(context, sections, request)


def compare_sets(context: EvaluationContext) -> SectionResult[Compared]:
    """The section `compared`: lists the sets; it measures nothing."""
    card = getattr(context.synthetic.full, "card", {})
    held = context.holdout.patients if context.holdout is not None else ()
    return SectionResult(
        Compared(
            set=_pair_set(context.synthetic, is_real=False),
            train=_pair_set(context.train),
            holdout=_pair_set(context.holdout) if context.holdout is not None else None,
            other=_pair_set(context.other) if context.other is not None else None,
            shared_patients=sorted(set(context.train.patients) & set(held)),
            artifact=context.artifact is not None,
            run=context.run is not None,
            **{name: card.get(name) for name in ("model_sha256", "seed", "license", "data")},
        )
    )


def _pair_set(pairs: Pairs, is_real: bool = True) -> PairSet:
    names = tuple(sorted(set(pairs.patients))) if is_real else ()
    return PairSet(sha256=pairs.full.fingerprint, pairs=len(pairs), size=pairs.size, patients=len(names), names=names)


def _section(name: str, context: EvaluationContext) -> SectionResult:
    return importlib.import_module(f"synthmed_tf.evaluation.{name}").evaluate(context)


def _write(context: EvaluationContext, sections: SectionResults, request: EvaluationRequest) -> report.Report:
    from synthmed_tf.evaluation import page

    written = report.make(context, sections, request.real_images)
    files.write_text(request.out / "report.html", page.render(written, sections, context))
    report.write(written, report.pair_lines(context, sections.scores), request.out)
    return written


def _sections(only: Sequence[str]) -> tuple[str, ...]:
    for name in only:
        if name not in SECTIONS:
            raise SynthMedError(f"There is no section {name!r}; choose from {', '.join(SECTIONS)}.")
    return tuple(name for name in SECTIONS[1:] if name in only or not only)


def _check_size(request: EvaluationRequest, size: int) -> None:
    if request.size is not None and (request.size < 16 or size % request.size):
        raise SynthMedError(
            f"{request.set} has {size} pixels a side and cannot be averaged down to {request.size}; --size must divide "
            "it, and be 16 or more."
        )


def _reduced(pairs: Pairs | None, size: int | None) -> Pairs | None:
    return pairs if pairs is None or size in (None, pairs.size) else ReducedPairs(pairs, size)


def _check_model(request: EvaluationRequest, synthetic: SyntheticSet) -> None:
    """An attack on another generator would say nothing of this set."""
    if request.artifact is not None:
        model = artifact.read_card(request.artifact)["model_sha256"]
        if model != synthetic.card.get("model_sha256"):
            raise SynthMedError(
                f"{request.artifact} is model {model[:16]} but {request.set} was generated by "
                f"{str(synthetic.card.get('model_sha256'))[:16]}; name the artifact that generated it."
            )
    if request.run is not None and not (Path(request.run) / "config.json").is_file():
        raise SynthMedError(
            f"{request.run} is not a run: it has no config.json; name the folder of synthmed train --run."
        )


def _real_pairs(
    request: EvaluationRequest, synthetic: SyntheticSet, progress: Progress
) -> tuple[ArrayPairs, ArrayPairs | None, ArrayPairs | None]:
    """Train, holdout and the other camera, all of the set's size."""
    source = _labelled(request, request.real, synthetic)
    chosen = _train_patients(request, source, synthetic)
    held: tuple[Pair, ...] = ()
    if request.holdout is not None:
        held = _labelled(request, request.holdout, synthetic).pairs
    elif request.holdout_patients is not None:
        names = parse_patients(request.holdout_patients, source.patients)
        held = tuple(pair for pair in source.pairs if pair.patient in names)
    both = sorted({pair.patient for pair in held} & set(chosen))
    if both:
        raise SynthMedError(
            f"Patients {', '.join(both)} are both in train and in the holdout; name each once (--patients, "
            "--holdout-patients), or distinguish different people of one name with --patient-regex."
        )
    trained = tuple(pair for pair in source.pairs if pair.patient in chosen)

    def load(pairs: Sequence[Pair], what: str) -> ArrayPairs:
        return load_real(pairs, synthetic.size, lambda done, total: progress(what, done, total))

    train = load(trained, "reading real pairs")
    holdout = load(held, "reading the holdout") if held else None
    if holdout is not None:
        _refuse_shared(train, holdout)
    other = None
    if request.other:
        other = load(_labelled(request, request.other, synthetic).pairs, "reading the other camera")
    return train, holdout, other


def _train_patients(request: EvaluationRequest, source: Source, synthetic: SyntheticSet) -> tuple[str, ...]:
    """The patients of the training: those named, or all but the held out and those by whom the step was chosen."""
    if request.patients is not None:
        chosen = parse_patients(request.patients, source.patients)
    else:
        held = set(_chose_step(synthetic, source))
        if request.holdout is None and request.holdout_patients is not None:
            held |= set(parse_patients(request.holdout_patients, source.patients))
        chosen = tuple(name for name in source.patients if name not in held)
    if len(chosen) < LEAST_PATIENTS:
        raise SynthMedError(
            f"{request.real} has {len(chosen)} patients that the generator was trained on; an evaluation "
            f"needs {LEAST_PATIENTS} or more, since two images of one patient are not independent."
        )
    return chosen


def _chose_step(synthetic: SyntheticSet, source: Source) -> list[str]:
    """Patients of this source by whom the generator's step was chosen: neither trained on nor unseen."""
    stages = synthetic.card.get("data") or {}
    return [
        name
        for facts in stages.values()
        if facts.get("source") == source.root.resolve().name
        for name in facts.get("validation_patients", ())
    ]


def _labelled(request: EvaluationRequest, folder: Path, synthetic: SyntheticSet) -> Source:
    """The real pairs of a folder that have a mask, read as those of the training were."""
    found = find_pairs(folder, request.patient_regex, request.vessel_labels, synthetic.kind)
    labelled = tuple(pair for pair in found.pairs if pair.mask is not None)
    if not labelled:
        raise SynthMedError(
            f"{folder} (layout {found.layout}) has only photographs; the evaluation needs vessel masks."
        )
    return Source(found.layout, found.root, labelled)


def _refuse_shared(train: ArrayPairs, holdout: ArrayPairs) -> None:
    """The same photograph under two names would look like a leak."""
    seen = {image.tobytes(): name for image, name in zip(train.all().images, train.names, strict=True)}
    for image, name in zip(holdout.all().images, holdout.names, strict=True):
        if image.tobytes() in seen:
            raise SynthMedError(
                f"{name} of the holdout is the image {seen[image.tobytes()]} of train; a holdout has "
                "only patients whom the generator never saw: remove it there."
            )


@contextlib.contextmanager
def _own_folder(out: Path, fingerprint: str) -> Iterator[None]:
    """Makes the report's folder, refuses one of something else, and keeps other processes out."""
    mark, old = out / _MARK, out / _OLD_MARK
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        try:
            there = json.loads((mark if mark.exists() else old).read_text(encoding="utf-8")).get("set")
        except (OSError, ValueError, AttributeError):
            raise SynthMedError(f"{out} exists and is not a report; choose another --out.") from None
        if there != fingerprint:
            raise SynthMedError(f"{out} holds the report of another set; choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    files.write_text(mark, json.dumps({"kind": "synthmed evaluation", "set": fingerprint}) + "\n")
    try:
        with files.exclusive(out / "lock"):
            yield
    except BlockingIOError as error:
        raise SynthMedError(f"{out} is in use by {error.strerror}; wait for it, or choose another --out.") from None

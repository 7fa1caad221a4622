"""What was compared."""

from synthmed_tf.evaluation.views.parts import Note, Page, Part, Table

TITLE = "What was compared"

_SIDES = {
    "set": "synthetic set",
    "train": "real, trained on",
    "holdout": "real, unseen patients (holdout)",
    "other": "real, another camera",
}


def view(page: Page) -> list[Part]:
    """Sets, sizes and patients; then the generator."""
    figures = page.outcomes["compared"].figures
    sides = {words: getattr(figures, name) for name, words in _SIDES.items()}
    rows = [
        (
            words,
            f"{side.pairs:,}",
            f"{side.patients:,}" if side.patients else "nobody's",
            f"{side.size} x {side.size}",
            side.sha256[:16],
        )
        for words, side in sides.items()
        if side is not None
    ]
    missing = [words for words, side in sides.items() if side is None]
    parts: list[Part] = [Table("Sets", ("set", "pairs", "patients", "pixels", "SHA-256 begins"), rows)]
    if missing:
        parts.append(Note(f"Not given: {'; '.join(missing)}. What needs it says CANNOT TELL, or is left out."))
    patients = [(words, ", ".join(side.names)) for words, side in sides.items() if side is not None and side.names]
    return [*parts, Table("Patients", ("set", "names in the files"), patients), Table(*_generator(figures))]


def _generator(figures) -> tuple[str, tuple[str, str], list[tuple[str, str]]]:
    given = {True: "given", False: "not given; attacks that need it were left out"}
    rows = [
        ("model, SHA-256 begins", (figures.model_sha256 or "not on record")[:16]),
        ("seed of the set", str(figures.seed) if figures.seed is not None else "not on record"),
        ("license", figures.license or "not on record"),
        ("artifact", given[figures.artifact]),
        ("run", given[figures.run]),
    ]
    for stage, facts in (figures.data or {}).items():
        if isinstance(facts, dict):
            listed = (f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int))
            rows.append((f"{stage} was trained on", ", ".join(listed)))
    return "Generator", ("", ""), rows

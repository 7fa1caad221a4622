"""The page of a version: its images, verdicts, provenance and files; or its tombstone."""

from dataclasses import dataclass

from synthmed_tf.evaluation.verdict import QUESTIONS, headline
from synthmed_tf.repository.entry import Entry, File, Row, Tombstone, number
from synthmed_tf.repository.publish import card_text as described
from synthmed_tf.site import listing, snippets, words
from synthmed_tf.site.content import Content, announced_file
from synthmed_tf.site.rendering import Pages

REPORT = "report/report.json"
MOST_GENERATOR_BYTES = 1_000_000_000
"""Beyond this a browser, which has 4 GB for it and its tensors, is not asked to generate."""

_ROLES = {
    "preview": "Previews",
    "report": "Report of the judge",
    "generator": "Generator",
    "description": "Description",
    "imagefolder": "Image folders",
    "tfrecord": "TFRecord",
    "webdataset": "WebDataset",
    "nnunet": "nnU-Net",
    "dicom": "DICOM",
    "png": "PNG",
}
_DESCRIBING = ("description", "preview", "report", "generator")


@dataclass(frozen=True)
class Files:
    """The files of one role.

    Attributes:
        title: of the role.
        files: in their order.
    """

    title: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Drawing:
    """Whether pairs can be generated in the browser.

    Attributes:
        file: the generator; None where they cannot.
        why: where they cannot, the reason in a sentence.
    """

    file: File | None
    why: str = ""


def write(content: Content, entry: Entry, versions: list[Row], pages: Pages, runtime_bytes: int) -> None:
    """Writes the page of a version in circulation.

    Args:
        content: the repository; images that are shown are verified.
        entry: the version.
        versions: all of its name.
        pages: to write it with.
        runtime_bytes: of ONNX Runtime Web; 0 where it is not in the site.
    """
    for path in (entry.thumbnail, *(path for pair in entry.previews for path in (pair.photograph, pair.mask))):
        content.verified(entry, path)
    generates = drawing(entry, bool(runtime_bytes))
    evaluation = entry.evaluation
    pages.write(
        _path(entry),
        "entry",
        "generate" if generates.file else "view",
        entry=entry,
        files=f"../../../repository/targets/{entry.name}/{entry.version}/",
        badge=words.badge(evaluation and evaluation.verdict),
        headline=words.shown(headline(evaluation.verdict, evaluation.verdicts)) if evaluation else "",
        questions=QUESTIONS,
        has_report=has_report(entry),
        drawing=generates,
        runtime_bytes=runtime_bytes,
        groups=groups(entry),
        total=sum(file.size for file in entry.files),
        snippets=snippets.loading(entry),
        citation=snippets.citation(entry),
        download=snippets.download(entry),
        fingerprint=content.fingerprint,
        attribution=described.attribution(entry),
        trained_on=described.origin(entry),
        attacked=described.attacked(entry) if entry.generator else "",
        keywords=described.tags(entry),
        versions=_newest_first(versions),
    )


def write_tombstone(tombstone: Tombstone, versions: list[Row], pages: Pages) -> None:
    """Writes what is left of a version that was withdrawn."""
    pages.write(_path(tombstone), "tombstone", "read", tombstone=tombstone, versions=_newest_first(versions))


def drawing(entry: Entry, can_generate: bool) -> Drawing:
    """Whether pairs of this version can be generated in the browser, and if not, why."""
    if entry.generator is None:
        return Drawing(None, "The publisher does not share the generator of this set.")
    if entry.generator.onnx is None:
        return Drawing(None, "The generator is shared as a SavedModel alone; a browser needs its ONNX file.")
    if not can_generate:
        return Drawing(
            None, "These pages were built without ONNX Runtime Web; see synthmed site build --onnxruntime-web."
        )
    file = announced_file(entry, entry.generator.onnx)
    if file.size > MOST_GENERATOR_BYTES:
        most = words.size(MOST_GENERATOR_BYTES)
        return Drawing(
            None, f"The generator has {words.size(file.size)}; up to {most} can be generated with in a browser."
        )
    return Drawing(file)


def has_report(entry: Entry) -> bool:
    """Whether there is a page of its report."""
    return entry.evaluation is not None and any(file.path == REPORT for file in entry.files)


def groups(entry: Entry) -> list[Files]:
    """The files by what they belong to: the pairs first."""
    roles = dict.fromkeys([*entry.formats, *_DESCRIBING, *(file.role for file in entry.files)])
    found = {role: tuple(file for file in entry.files if file.role == role) for role in roles}
    return [Files(_ROLES.get(role, words.shown(role)), listed) for role, listed in found.items() if listed]


def _path(of: Entry | Tombstone) -> str:
    return listing.page_path(of)


def _newest_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: number(row.version), reverse=True)

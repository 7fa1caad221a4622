"""The page of a version: its images, verdicts, provenance and files; or its tombstone."""

import re
from dataclasses import dataclass

from synthmed_tf.evaluation.verdict import QUESTIONS, headline
from synthmed_tf.repository.entry import Entry, File, Row, Tombstone, number
from synthmed_tf.repository.publish import card_text
from synthmed_tf.site import listing
from synthmed_tf.site.content import Content, announced_file
from synthmed_tf.site.rendering import Pages, badge, shown, size

REPORT = "report/report.json"
HERE = "ADDRESS/repository"
"""Stands for the repository's address, which static pages do not know; the page's script inserts it."""

MOST_GENERATOR_BYTES = 1_000_000_000
"""Beyond this a browser, which has 4 GB for it and its tensors, is not asked to generate."""

_ROLES = {
    "preview": "Previews",
    "report": "Evaluation report",
    "generator": "Generator",
    "description": "Description",
    "imagefolder": "Image folders",
    "tfrecord": "TFRecord",
    "webdataset": "WebDataset",
    "nnunet": "nnU-Net",
    "dicom": "DICOM",
    "png": "PNG",
}
_BIBTEX = re.compile(r"[\\{}\"@#%~$&_^]")
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
class InBrowser:
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
    for path in (entry.thumbnail, *(path for pair in entry.previews for path in (pair.image, pair.mask))):
        content.verified(entry, path)
    generates = in_browser(entry, bool(runtime_bytes))
    evaluation = entry.evaluation
    pages.write(
        _path(entry),
        "entry",
        "generate" if generates.file else "view",
        entry=entry,
        files=f"../../../repository/targets/{entry.name}/{entry.version}/",
        badge=badge(evaluation.verdict if evaluation else None),
        headline=shown(headline(evaluation.verdict, evaluation.verdicts)) if evaluation else "",
        questions=QUESTIONS,
        has_report=has_report(entry),
        in_browser=generates,
        runtime_bytes=runtime_bytes,
        groups=groups(entry),
        total=sum(file.size for file in entry.files),
        snippets=loading_code(entry),
        citation=citation(entry),
        download=download_command(entry),
        fingerprint=content.fingerprint,
        attribution=card_text.attribution(entry),
        trained_on=card_text.origin(entry),
        attacked=card_text.attacked(entry) if entry.generator else "",
        keywords=card_text.tags(entry),
        versions=_newest_first(versions),
    )


def write_tombstone(tombstone: Tombstone, versions: list[Row], pages: Pages) -> None:
    """Writes what is left of a version that was withdrawn."""
    pages.write(_path(tombstone), "tombstone", "read", tombstone=tombstone, versions=_newest_first(versions))


def in_browser(entry: Entry, can_generate: bool) -> InBrowser:
    """Whether pairs of this version can be generated in the browser, and if not, why."""
    if entry.generator is None:
        return InBrowser(None, "The publisher does not share the generator of this set.")
    if entry.generator.onnx is None:
        return InBrowser(None, "The generator is shared as a SavedModel alone; a browser needs its ONNX file.")
    if not can_generate:
        return InBrowser(
            None, "These pages were built without ONNX Runtime Web; see synthmed site build --onnxruntime-web."
        )
    file = announced_file(entry, entry.generator.onnx)
    if file.size > MOST_GENERATOR_BYTES:
        most = size(MOST_GENERATOR_BYTES)
        return InBrowser(None, f"The generator has {size(file.size)}; up to {most} can be generated with in a browser.")
    return InBrowser(file)


def has_report(entry: Entry) -> bool:
    """Whether there is a page of its report."""
    return entry.evaluation is not None and any(file.path == REPORT for file in entry.files)


def groups(entry: Entry) -> list[Files]:
    """The files by what they belong to: the pairs first."""
    roles = dict.fromkeys([*entry.formats, *_DESCRIBING, *(file.role for file in entry.files)])
    found = {role: tuple(file for file in entry.files if file.role == role) for role in roles}
    return [Files(_ROLES.get(role, shown(role)), listed) for role, listed in found.items() if listed]


def download_command(entry: Entry) -> str:
    """The command, in lines that a shell takes for one."""
    return f"synthmed download {entry.name}@{entry.version} \\\n  --from {HERE} \\\n  --out {entry.name}"


def loading_code(entry: Entry) -> dict[str, str]:
    """Code by the title of what it needs; all but the first read the folder that `download` makes."""
    name = entry.name
    known = {
        "tfrecord": (
            "TensorFlow Datasets",
            "import tensorflow_datasets as tfds\n\n"
            f'pairs = tfds.builder_from_directory("{name}/tfrecord").as_dataset(split="train")',
        ),
        "imagefolder": (
            "Hugging Face datasets",
            "import datasets\n\n"
            f'pairs = datasets.load_dataset("imagefolder", data_files="{name}/imagefolder/*.zip", split="train")',
        ),
        "webdataset": (
            "WebDataset",
            "import glob, webdataset\n\n"
            f'shards = sorted(glob.glob("{name}/webdataset/*.tar"))\n'
            'pairs = webdataset.WebDataset(shards).decode("rgb8").to_tuple("image.png", "mask.png", "json")',
        ),
    }
    found = {
        "synthmed_tf": "import synthmed_tf.repository\n\n"
        f'pairs, card = synthmed_tf.repository.load("{name}@{entry.version}", "{HERE}")'
    }
    for format, (title, code) in known.items():
        if format in entry.formats:
            found[title] = f"# {_download_of(entry, format)}\n{code}"
    if "imagefolder" in entry.formats:
        found["Plain PNG"] = f'{download_command(entry)}\nunzip -d pairs "{name}/imagefolder/*.zip"'
    return found


def citation(entry: Entry) -> str:
    """BibTeX of the set and of the paper."""
    authors = " and ".join(f"{{{_bibtex(creator)}}}" for creator in entry.creators)
    return (
        f"@misc{{{entry.name}-{entry.version},\n"
        f"  title = {{{_bibtex(entry.title)}}},\n"
        f"  author = {{{authors}}},\n"
        f"  year = {{{entry.published.year}}},\n"
        f"  version = {{{entry.version}}},\n"
        f"  note = {{Synthetic; model SHA-256 {entry.model_sha256}}}\n"
        f"}}\n\n{card_text.CITATION}"
    )


def _path(of: Entry | Tombstone) -> str:
    return listing.page_path(of)


def _newest_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: number(row.version), reverse=True)


def _download_of(entry: Entry, format: str) -> str:
    """The command that fetches one format, in one line."""
    chosen = "" if format == "imagefolder" else f" --format {format}"
    return f"synthmed download {entry.name}@{entry.version} --from {HERE} --out {entry.name}{chosen}"


def _bibtex(text: str) -> str:
    """A text without what BibTeX takes for its own."""
    return " ".join(_BIBTEX.sub(" ", shown(text)).split())

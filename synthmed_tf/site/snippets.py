"""What a reader copies: commands, loading code, and how to cite."""

import re

from synthmed_tf.repository.entry import Entry
from synthmed_tf.repository.publish import card_text as described
from synthmed_tf.site import words

HERE = "ADDRESS/repository"
"""Stands for the repository's address, which static pages do not know; the page's script puts it in."""

_BIBTEX = re.compile(r"[\\{}\"@#%~$&_^]")


def download(entry: Entry) -> str:
    """The command, in lines that a shell takes for one."""
    return f"synthmed download {entry.name}@{entry.version} \\\n  --from {HERE} \\\n  --out {entry.name}"


def loading(entry: Entry) -> dict[str, str]:
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
        found["Plain PNG"] = f'{download(entry)}\nunzip -d pairs "{name}/imagefolder/*.zip"'
    return found


def _download_of(entry: Entry, format: str) -> str:
    """The command that fetches one format, in one line."""
    chosen = "" if format == "imagefolder" else f" --format {format}"
    return f"synthmed download {entry.name}@{entry.version} --from {HERE} --out {entry.name}{chosen}"


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
        f"}}\n\n{described.CITATION}"
    )


def _bibtex(text: str) -> str:
    """A text without what BibTeX takes for its own."""
    return " ".join(_BIBTEX.sub(" ", words.shown(text)).split())

"""`synthmed site`: a repository as web pages."""

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import Entry, Row
from synthmed_tf.site import entry_page, listing
from synthmed_tf.site.content import Content
from synthmed_tf.site.rendering import Pages

RUNTIME_VERSION = "1.30.0"
"""Of ONNX Runtime Web, which generates in the browser: the version that was tried."""

_STATIC = Path(__file__).parent / "static"
_RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")

Progress = Callable[[int, int], None]


def build(
    repository: Path,
    out: Path,
    onnxruntime_web: Path | None = None,
    progress: Progress = lambda done, total: None,
    borrowed: bool = False,
) -> None:
    """Writes the site of a repository, whole or not at all.

    Args:
        repository: its folder on this machine.
        out: the site's folder; an older site there is replaced.
        onnxruntime_web: folder of the npm package, to generate in the browser; None for pages that do not.
        progress: called with (done, total), in versions.
        borrowed: whether the repository's files may be links to another disk: for a site that goes before they do.

    Raises:
        SynthMedError: the repository is not to be trusted, a file is not what is signed, or `out` holds something else.
        OSError: the site cannot be written.
    """
    _check_place(Path(repository), Path(out))
    with tempfile.TemporaryDirectory() as scratch, files.replaced_folder(out) as new:
        content = Content(repository, Path(scratch))
        pages = Pages(new, content.index.title)
        shutil.copytree(_STATIC, new / "static")
        runtime_bytes = 0
        if onnxruntime_web is not None:
            runtime_bytes = place_runtime(Path(onnxruntime_web), new / "static" / "ort")
        listing.write(content.index, pages)
        entries, withdrawn = _write_versions(content, pages, runtime_bytes, progress)
        content.place_beside(new / "repository", entries, withdrawn, borrowed)


def place_runtime(package: Path, out: Path) -> int:
    """Copies the files of ONNX Runtime Web that a page needs, from a local npm install.

    Args:
        package: the package's folder, such as `node_modules/onnxruntime-web`.
        out: folder to copy into.

    Returns:
        Bytes of what was copied.

    Raises:
        SynthMedError: the folder holds something else, or another version.
    """
    install = f"run npm install onnxruntime-web@{RUNTIME_VERSION} and name node_modules/onnxruntime-web"
    try:
        described = json.loads((package / "package.json").read_text(encoding="utf-8"))
        name, version = described["name"], described["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SynthMedError(f"--onnxruntime-web {package} is not an npm package; {install}.") from error
    if (name, version) != ("onnxruntime-web", RUNTIME_VERSION):
        raise SynthMedError(f"--onnxruntime-web {package} is {name} {version}; {install}.")
    out.mkdir(parents=True, exist_ok=True)
    for file in _RUNTIME_FILES:
        try:
            shutil.copyfile(package / "dist" / file, out / file)
        except OSError as error:
            raise SynthMedError(f"{package / 'dist' / file} cannot be copied ({error.strerror}); {install}.") from error
        os.chmod(out / file, 0o644)
    return sum((out / file).stat().st_size for file in _RUNTIME_FILES)


def _write_versions(
    content: Content, pages: Pages, runtime_bytes: int, progress: Progress
) -> tuple[list[Entry], list[Row]]:
    rows = sorted(content.index.entries, key=lambda row: row.name)
    entries, done = [], 0
    for _, group in itertools.groupby(rows, key=lambda row: row.name):
        versions = list(group)
        for row in versions:
            if row.withdrawn:
                entry_page.write_tombstone(content.tombstone(row), versions, pages)
            else:
                entries.append(_write_version(content, row, versions, pages, runtime_bytes))
            done += 1
            progress(done, len(rows))
    return entries, [row for row in rows if row.withdrawn]


def _write_version(content: Content, row: Row, versions: list[Row], pages: Pages, runtime_bytes: int) -> Entry:
    entry = content.entry(row)
    entry_page.write(content, entry, versions, pages, runtime_bytes)
    if entry_page.has_report(entry):
        # Reading a report takes half a second of imports that pages without one do not need.
        from synthmed_tf.site import report_page

        report_page.write(content, entry, entry_page.REPORT, pages)
    return entry


def _check_place(repository: Path, out: Path) -> None:
    inner, outer = out.resolve(), repository.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise SynthMedError(f"--out {out} and the repository {repository} lie in each other; choose another --out.")
    if out.is_dir() and any(out.iterdir()) and not _is_site(out) or out.is_file():
        raise SynthMedError(f"--out {out} is there and holds no site; choose another or remove it.")


def _is_site(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / listing.SEARCH).read_text(encoding="utf-8"))["kind"] == listing.KIND)
    except (OSError, ValueError, KeyError, TypeError):
        return False

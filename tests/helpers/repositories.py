"""Small repositories for tests, and python-tuf's own client to look at them with."""

import json
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from synthmed_tf.repository.entry import INDEX, Index, Row
from synthmed_tf.repository.publish import transaction

PUBLISHED = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


class _Folder(FetcherInterface):
    def _fetch(self, url):
        try:
            yield Path(unquote(urlparse(url).path)).read_bytes()
        except FileNotFoundError:
            raise DownloadHTTPError("not found", 404) from None


class Reader:
    """A user's machine, which remembers what it saw: it trusts the first root and takes nothing older later."""

    def __init__(self, repository: Path, cache: Path):
        self._repository, self._cache = repository, cache
        cache.mkdir()
        self._first = (repository / "metadata" / "1.root.json").read_bytes()

    def read(self) -> tuple[Index, dict[str, bytes]]:
        """The index, and the content of every file of every version, all verified by python-tuf."""
        updater, index = self._refreshed()
        contents = {}
        for row in index.entries:
            updater.get_targetinfo(f"{row.name}/{row.version}/entry.json")
            role = json.loads((self._cache / f"{quote(row.id, '')}.json").read_bytes())
            for path in role["signed"]["targets"]:
                contents[path] = Path(updater.download_target(updater.get_targetinfo(path))).read_bytes()
        return index, contents

    def index(self) -> Index:
        """The index alone."""
        return self._refreshed()[1]

    def _refreshed(self) -> tuple[Updater, Index]:
        base = self._repository.absolute().as_uri()
        updater = Updater(
            str(self._cache),
            f"{base}/metadata/",
            str(self._cache),
            f"{base}/targets/",
            _Folder(),
            UpdaterConfig(prefix_targets_with_hash=False),
            bootstrap=self._first,
        )
        updater.refresh()
        info = updater.get_targetinfo(INDEX)
        prefixed = TargetFile(info.length, info.hashes, info.get_prefixed_paths()[0])
        return updater, Index.model_validate_json(Path(updater.download_target(prefixed)).read_bytes())


def row(name: str, version: str, **changed) -> Row:
    facts = {"title": "A set", "organ": "retina", "modality": "fundus photography", "size": 32, "count": 1, "bytes": 9}
    facts |= {"formats": ("imagefolder",), "license": "CC0-1.0", "published": PUBLISHED, "verdict": None}
    return Row(name=name, version=version, **(facts | changed))


def add(repository: Path, keys: Path, name: str, version: str = "1.0.0", **options) -> None:
    """Publishes a version of two files that mean nothing."""
    with transaction.opened(repository, keys, **options) as opened:
        folder = opened.stage(name, version)
        (folder / "entry.json").write_text(f"{name} {version}")
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").write_text("content")
        opened.rows[f"{name}@{version}"] = row(name, version)


def held(name: str, version: str = "1.0.0") -> dict[str, bytes]:
    """What `add` published, as a `Reader` reads it."""
    place = f"{name}/{version}"
    return {f"{place}/entry.json": f"{name} {version}".encode(), f"{place}/deep/er/file": b"content"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

"""A set of plain pairs as it is published: read once, each file against its SHA-256 in the manifest."""

import hashlib
from array import array
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.pairs import fingerprint
from synthmed_tf.generation import manifest, set_card, shards, stream
from synthmed_tf.generation.formats.base import Line, PngPair

_GENERATE = "name the folder that synthmed generate or synthmed filter wrote"
_AHEAD = 64


class GeneratedSet:
    """What `synthmed generate` or `synthmed filter` wrote; the pairs that a filter dropped are not there.

    Attributes:
        folder: of the set.
        card: what its `card.json` holds.
        indices: of its pairs, ascending; eight bytes each, all that is kept of a pair.
        fingerprint: by which a report knows the set.
    """

    def __init__(self, folder: Path):
        """Reads card and manifest.

        Raises:
            SynthMedError: no set, one of another format than png, or a manifest that is missing or damaged.
        """
        self.folder = Path(folder)
        self.card = _card(self.folder)
        self.indices = array("q")
        self.fingerprint = fingerprint(self._noted())
        if not self.indices:
            raise SynthMedError(f"{self.folder} holds no pairs; {_GENERATE}.")

    def pairs(self) -> Generator[PngPair, None, None]:
        """All pairs in the order of their indices.

        Raises:
            SynthMedError: a file is missing, has changed or cannot be read.
        """
        yield from stream.parallel(self._read, self._lines(), ahead=_AHEAD)

    def _noted(self) -> Iterator[Line]:
        """The lines, each of which must be of this set, with a larger index than the one before."""
        for line in self._lines():
            for name in ("model_sha256", "seed"):
                if line.get(name) != self.card[name]:
                    raise self._damaged(f"pair {line['index']} has {name} {line.get(name)}, not {self.card[name]}")
            if self.indices and line["index"] <= self.indices[-1]:
                raise self._damaged(f"pair {line['index']} comes after pair {self.indices[-1]}")
            self.indices.append(line["index"])
            yield line

    def _lines(self) -> Iterator[Line]:
        plan = set_card.plan_of(self.card)
        try:
            if plan is not None:
                yield from (line for line in shards.read_records(plan, self.folder) if "index" in line)
                return
            with open(self.folder / manifest.FILE, "rb") as lines:
                for number, line in enumerate(map(manifest.parse_pair, lines), start=1):
                    if line is None:
                        raise self._damaged(f"line {number} is no pair")
                    if manifest.files_of(line):
                        yield line
        except OSError as error:
            raise SynthMedError(
                f"{error.filename} cannot be read ({error.strerror}); run the same synthmed generate command again."
            ) from error

    def _read(self, line: Line) -> PngPair:
        image, mask = (self._content(file) for file in manifest.files_of(line))
        return PngPair(line["index"], mask, image)

    def _content(self, file: Line) -> bytes:
        path, remedy = self.folder / file["file"], "synthmed verify names every such file"
        try:
            content: bytes = path.read_bytes()
        except OSError as error:
            raise SynthMedError(f"{path} cannot be read ({error.strerror}); {remedy}.") from error
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise SynthMedError(f"{path} is not the file that the manifest lists; {remedy}.")
        return content

    def _damaged(self, what: str) -> SynthMedError:
        return SynthMedError(f"{self.folder / manifest.FILE} is damaged ({what}); generate or filter the set again.")


def _card(folder: Path) -> dict[str, Any]:
    card = set_card.read(folder, _GENERATE)
    form = (card.get("plan") or {}).get("format", "png")
    if form != "png":
        raise SynthMedError(
            f"{folder} is a set of {form}, and plain pairs are published; generate it with --format png."
        )
    kinds = {"model_sha256": str, "seed": int, "size": int, "license": str, "data": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(card.get(name), kind)]
    if not wrong and not all(isinstance(facts, dict) for facts in card["data"].values()):
        wrong = ["data"]
    if wrong:
        raise SynthMedError(f"{folder / set_card.FILE} is damaged at {', '.join(wrong)}; generate the set again.")
    return card

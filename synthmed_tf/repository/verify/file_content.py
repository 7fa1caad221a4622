"""What each file of a version must be, by its place; everything else is refused.

Every byte is treated as hostile: sizes are bounded before anything is unpacked, generators are read and never run, and
nothing is executed.
"""

import json
import re
import struct
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from synthmed_tf import images
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.verify.archives import Refused

MOST_TEXT = 16_000_000
MOST_WORDS = 1_000_000
MOST_IMAGE = 64_000_000
MOST_MODEL = 2_000_000_000
_DOMAINS = ("", "ai.onnx.ml")

_ACTING = (
    b"PyFunc",
    b"PyFuncStateless",
    b"EagerPyFunc",
    b"ReadFile",
    b"WriteFile",
    b"MatchingFiles",
    b"WholeFileReader",
    b"TextLineReader",
    b"TFRecordReader",
    b"TextLineDataset",
    b"TFRecordDataset",
    b"FixedLengthRecord",
    b"SqlDataset",
    b"GeneratorDataset",
    b"LoadDataset",
    b"SaveDataset",
    b"DataServiceDataset",
    b"RemoteCall",
    b"RemoteFusedGraphExecute",
    b"RpcCall",
    b"DebugIdentity",
    b"DebugNumericSummary",
    b"PrintV2",
    b"WriteGraphSummary",
    b"CreateSummaryFileWriter",
    b"XlaCustomCall",
    b"TPUExecute",
    b"PyLambda",
)
"""Operators of TensorFlow that run Python, or reach files and hosts."""
_ELSEWHERE = r"url\((?!\s*['\"]?(#|data:image/(png|jpeg);))"
_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC = {b"\x7fELF": "a program", b"MZ": "a program", b"#!": "a script", b"PK": "an archive", b"\x80": "a pickle"}
_TAGS = "script|iframe|object|embed|applet|form|input|button|meta|link|base|style|svg|math|img|video|audio|source"
_ACTIVE = re.compile(
    rf"(?<!\\)<\s{{0,9}}/?\s{{0,9}}({_TAGS})\b|(?<!\\)<[a-z][^>]{{0,999}}\son\w{{1,30}}\s{{0,9}}=|"
    r"(?<!\\)\]\(\s{0,99}<?\s{0,99}(javascript|data|vbscript)\s{0,9}:|"
    r"(?<!\\)!\[[^\]]{0,999}\]\(\s{0,99}<?\s{0,99}(https?:)?//",
    re.I,
)
"""What acts, or fetches something, where Markdown is shown; a backslash before it makes it text. Every repetition has
an end, so that no text makes the search long."""

_HEAD = re.compile(r"\A---\n.*?\n---\n", re.S)
_FOREIGN = ("script", "iframe", "frame", "object", "embed", "applet", "form", "link", "base", "foreignobject")


def kind(place: str) -> str | None:
    """What lies at a place in a version's folder; None where nothing may."""
    return next((name for name, pattern in _PLACES.items() if re.fullmatch(pattern, place)), None)


def look(path: Path, place: str) -> Iterator[str]:
    """Says what is wrong with a file of a version; of archives and records see `check_pairs`.

    Args:
        path: where it is.
        place: in the version's folder.
    """
    yield from attempted(lambda: _LOOKS[kind(place)](path))


def attempted(action: Callable[[], object]) -> Iterator[str]:
    """Says why something was refused, or could not be read."""
    try:
        action()
    except Refused as refused:
        yield str(refused)
    # A hostile file can make the decoders raise errors of almost any class.
    except Exception as error:
        yield f"cannot be read ({type(error).__name__}: {plain(str(error), 120)})"


def check_png(content: bytes) -> np.ndarray:
    """The pixels of a PNG file, `(height, width, 1 or 3)`, uint8.

    Raises:
        Refused: it is none, is damaged, unpacks to too much, or holds something behind the image.
    """
    if not content.startswith(_PNG):
        raise Refused("is no PNG file")
    if len(content) > MOST_IMAGE:
        raise Refused(f"has {len(content)} bytes, which is too much for an image")
    offset, name = len(_PNG), b""
    while offset + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, offset)
        offset += 12 + length
        if name == b"IEND":
            break
    if offset != len(content) or name != b"IEND":
        raise Refused("does not end where its image ends")
    try:
        return images.decode_png(content)
    except SynthMedError as error:
        raise Refused(f"is no image that can be read ({plain(str(error), 120)})") from error


def check_json(content: bytes) -> object:
    """The content of a JSON file.

    Raises:
        Refused: it is none.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"is no JSON ({plain(str(error), 120)})") from error


def read_bounded(path: Path, most: int = MOST_TEXT) -> bytes:
    """A small file.

    Raises:
        Refused: it is not small.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Refused(f"has more than {most // 1_000_000} MB")
    return content


def _look_at_text(path: Path) -> None:
    text = _text(read_bounded(path, MOST_WORDS))
    if text.startswith("#!"):
        raise Refused("is a script")
    text = _HEAD.sub("", text)  # YAML, which is removed where the file is shown
    found = _ACTIVE.search(text)
    if found:
        raise Refused(f"holds what can act or fetch something ({plain(found[0], 60)})")


def _look_at_page(path: Path) -> None:
    text = _text(read_bounded(path))
    # Where these end, browsers and parsers disagree, so that something could hide in them.
    if re.search(r"<[!?]", re.sub(r"\A\s*<!doctype html>", "", text, count=1, flags=re.I)):
        raise Refused("holds a comment or another declaration than <!doctype html>")
    page = _Page()
    page.feed(text)
    if page.rawdata.strip():
        raise Refused("does not end where its last tag ends")


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("is no text in UTF-8") from error


def _look_at_data(path: Path) -> None:
    """What has no form of its own must at least not be something that runs."""
    with open(path, "rb") as file:
        head = file.read(4)
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 1))
        last = file.read(1)
    for magic, name in _MAGIC.items():
        if magic == b"\x80" and not (head[1:2] in (b"\2", b"\3", b"\4", b"\5") and last == b"."):
            continue
        if head.startswith(magic):
            raise Refused(f"looks like {name}")


class _Page(HTMLParser):
    """Refuses a page that holds anything but text, images and styles of its own."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in _FOREIGN:
            raise Refused(f"holds <{tag}>, which a report does not need")
        facts = {name: (value or "").strip() for name, value in attributes}
        if tag == "meta" and "http-equiv" in facts and facts["http-equiv"].lower() != "content-security-policy":
            raise Refused("holds <meta http-equiv>, which a report does not need")
        for name, value in facts.items():
            if name.startswith("on"):
                raise Refused(f"holds {plain(name, 40)}=, which runs a script")
            if name == "style" or re.search(_ELSEWHERE, value, re.I):
                _check_style(value)
            address = re.sub(r"[\x00-\x20]", "", value).lower()
            if name in ("src", "srcset", "href", "xlink:href", "data", "poster") and not address.startswith(
                ("#", "data:image/png;", "data:image/jpeg;")
            ):
                is_link = tag == "a" and address.startswith(("https://", "http://"))
                if not is_link:
                    raise Refused(f"refers to {plain(value, 60)}, which is not in it")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            _check_style(data)


def _check_style(style: str) -> None:
    # In an SVG a browser reads tags even here; and a backslash could write any word otherwise.
    found = re.search(rf"[<\\]|@import|{_ELSEWHERE}", style, re.I)
    if found:
        raise Refused(f"holds a style with {found[0]}, which a report does not need")


def check_onnx(path: Path) -> None:
    """Sees that an ONNX file is whole, keeps its weights in itself and has standard operators alone.

    Raises:
        Refused: what it has.
    """
    import onnx

    if path.stat().st_size > MOST_MODEL:
        raise Refused("has more than 2 GB")
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    imported = {opset.domain: opset.version for opset in model.opset_import}
    if not imported or not model.graph.node:
        raise Refused("is no ONNX file")
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or message.external_data
        ):
            raise Refused("keeps weights in another file")
        if isinstance(message, onnx.NodeProto) and not (
            message.domain in _DOMAINS
            and message.domain in imported
            and onnx.defs.has(message.op_type, imported[message.domain], message.domain)
        ):
            named = f"{plain(message.op_type, 60)} of {plain(message.domain, 60) or 'ONNX'}"
            raise Refused(f"has the operator {named}, which is not part of ONNX as it imports it")


def check_savedmodel(path: Path) -> None:
    """Sees that a graph has no operator that runs Python or reaches files and hosts.

    The names are looked for in the bytes, so that nothing has to parse what somebody else wrote; an operator's name
    stands there as it is.

    Raises:
        Refused: which it has.
    """
    if path.stat().st_size > MOST_MODEL:
        raise Refused("has more than 2 GB")
    content = path.read_bytes()
    if not content.startswith(b"\x08\x01"):
        raise Refused("is no SavedModel")
    for name in _ACTING:
        if name in content:
            raise Refused(f"names the operator {name.decode()}, which runs Python or reaches files or hosts")


def _messages(message: Any) -> Iterator[Any]:
    """A message and all in it, however deeply graphs lie in nodes."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if _is_single(field) else value)


def _is_single(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)  # protobuf before 6 has the label alone
    return not (field.label == field.LABEL_REPEATED if repeated is None else repeated)


_SHARD = r"\d{5}-of-\d{5}"
_PLACES = {
    "json": r"(entry|card|croissant|tombstone)\.json|tfrecord/(features|dataset_info)\.json|report/report\.json|"
    r"generator/(card|parity)\.json",
    "text": r"README\.md|generator/card\.md",
    "png": r"thumbnail\.png|previews/\d{8,}\.(image|mask)\.png",
    "zip": rf"imagefolder/train-{_SHARD}\.zip",
    "tfrecord": rf"tfrecord/synthmed-train\.tfrecord-{_SHARD}",
    "tar": r"webdataset/(?:train|pairs)-\d{5}\.tar",
    "page": r"report/report\.html",
    "onnx": r"generator/[a-z0-9_.-]+\.onnx",
    "savedmodel": r"generator/savedmodel/1/saved_model\.pb",
    "data": rf"generator/savedmodel/1/(fingerprint\.pb|variables/variables\.(index|data-{_SHARD})|"
    r"assets\.extra/tf_serving_warmup_requests)",
}
_LOOKS: dict[str | None, Callable[[Path], object]] = {
    "json": lambda path: check_json(read_bounded(path)),
    "text": _look_at_text,
    "png": lambda path: check_png(read_bounded(path, MOST_IMAGE)),
    "zip": lambda path: None,
    "tfrecord": lambda path: None,
    "tar": lambda path: None,
    "page": _look_at_page,
    "onnx": check_onnx,
    "savedmodel": check_savedmodel,
    "data": _look_at_data,
}

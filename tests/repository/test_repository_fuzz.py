"""Hostile words and damage at random: what is checked and shown never ends in a traceback."""

import json
import random

import pytest
from click.testing import CliRunner
from helpers import published

from synthmed_tf.cli.main import main
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.fetching import Source
from synthmed_tf.repository.verify.checking import check


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a repository of a set in all formats with its generator. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    model, formats = published.artifact(folder / "model"), ("imagefolder", "tfrecord", "webdataset")
    published.make(folder, "phantom@1.0.0", formats=formats, artifact=model)
    return folder


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><svg onload=alert(1)>",
    "[x](javascript:alert(1))",
    "{{ 7 * 7 }} {% raw %}",
    "../../../etc/passwd",
    "C:\\Windows\\system32",
    "\u202egnp.exe\u202c",
    "\u2066hidden\u2069\u200b\ufeff",
    "\x1b[2J\x1b]0;title\x07",
    "a\x00b",
    "--- \n- yaml: [",
    "'; DROP TABLE sets; --",
    "𝕊𝕪𝕟𝕥𝕙\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "é" * 300,
)


@pytest.mark.parametrize("seed", range(len(HOSTILE)))
def test_hostile_words_are_published_and_shown_as_words(tmp_path, monkeypatch, seed):
    """Titles and descriptions may hold anything: they are text, wherever they are shown."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = random.Random(seed).sample(HOSTILE, 3)
    title = HOSTILE[seed]
    more = {"description": " ".join(words) * 9, "creators": (words[0],), "keywords": tuple(words[1:])}
    repo = published.make(tmp_path / "made", "phantom@1.0.0", formats=("imagefolder",), title=title, **more)
    assert check(repo).problems == ()
    assert Repository(Source(repo), cache=tmp_path / "seen").index.entries[0].title == title
    done = CliRunner().invoke(main, ["search", "--from", str(repo)])
    assert done.exit_code == 0
    assert all(character.isprintable() or character == "\n" for character in done.stdout)


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_found_without_a_traceback(made, tmp_path, seed):
    """A file of the repository is cut, changed or replaced by another, at random."""
    source = random.Random(seed)
    repo = published.copied(made, tmp_path / "made")
    every = sorted(path for path in repo.rglob("*") if path.is_file())
    path = source.choice(every)
    content = bytearray(path.read_bytes())
    for _ in range(source.randint(1, 8)):
        action, place = source.randrange(4), source.randrange(len(content) + 1)
        if action == 0:
            del content[place:]
        elif action == 1:
            content[place : place + 1] = bytes([source.randrange(256)])
        elif action == 2:
            content[place:place] = source.randbytes(source.randint(1, 99))
        else:
            content[place : place + 20] = b""
    if bytes(content) == path.read_bytes():
        return
    path.write_bytes(content)
    if source.random() < 0.5 and "targets/phantom" in path.as_posix():
        published.sign_again(repo, "phantom@1.0.0")
    done = CliRunner().invoke(main, ["repository", "check", str(repo), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert done.exit_code == 2
    assert json.loads(done.stdout)["problems"]


WRONG = (None, True, -1, 10**30, 1.5, "", "x" * 100_000, "../../x", "\ud800", [], {}, [[[]]], {"a": {"b": 1}}, *HOSTILE)


def _changed(content, source: random.Random):
    """Some JSON with a value in it replaced."""
    if isinstance(content, (dict, list)) and content and source.random() < 0.85:
        key = source.choice(sorted(content)) if isinstance(content, dict) else source.randrange(len(content))
        copy = content.copy()
        copy[key] = _changed(content[key], source)
        return copy
    return source.choice(WRONG)


@pytest.mark.parametrize("name", ["entry.json", "croissant.json"])
@pytest.mark.parametrize("seed", range(25))
def test_a_publisher_may_sign_anything(made, tmp_path, monkeypatch, name, seed):
    """A file says something else, and is signed: it is refused or shown, and never met with a traceback."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repo = published.copied(made, tmp_path / "made")
    path = repo / "targets/phantom/1.0.0" / name
    path.write_text(json.dumps(_changed(json.loads(path.read_bytes()), random.Random(seed))))
    published.sign_again(repo, "phantom@1.0.0")
    arguments = ["download", "phantom", "--from", str(repo), "--out", str(tmp_path / "out")]
    for done in (CliRunner().invoke(main, command) for command in (arguments, ["repository", "check", str(repo)])):
        assert done.exit_code in (0, 2)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert all(character.isprintable() or character == "\n" for character in done.output)
    assert name == "entry.json" or done.exit_code == 2
    there = {found.relative_to(tmp_path).parts[0] for found in tmp_path.rglob("*")}
    assert there <= {"made", "cache", "out"}

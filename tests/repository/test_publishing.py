"""Publish and withdraw, from the command to python-tuf's own client."""

import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import killed, repositories
from helpers.paths import ENVIRONMENT

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import Entry, Tombstone
from synthmed_tf.repository.publish import new_repository, publishing

COUNT = 5


@pytest.fixture(scope="module")
def generated(tiny_artifact, tmp_path_factory) -> Path:
    """A set. Not to be changed."""
    from synthmed_tf.exporting import artifact
    from synthmed_tf.generation import synthesis

    folder = tmp_path_factory.mktemp("generated") / "set"
    synthesis.generate_set(artifact.open_artifact(tiny_artifact, "onnx"), folder, COUNT, seed=1)
    return folder


@pytest.fixture(scope="module")
def request_(generated):
    from synthmed_tf.repository.publish import building

    return building.Request(
        generated, "tiny-set", "1.0.0", "A tiny set", "CC-BY-4.0", ("Me",), repositories.PUBLISHED, "For tests."
    )


@pytest.fixture(scope="module")
def made(request_, tmp_path_factory) -> Path:
    """A folder with the repository `repo`, which holds tiny-set@1.0.0, and its `keys`. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    new_repository.init(folder / "repo", folder / "keys", "A repository")
    assert publishing.publish(folder / "repo", folder / "keys", request_)
    return folder


@pytest.fixture
def repository(made, tmp_path) -> Path:
    """A copy to change, with the keys next to it."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made" / "repo"


def _keys(repository):
    return repository.parent / "keys"


def test_a_client_sees_the_entry_and_its_row(made, tmp_path):
    from synthmed_tf.repository.publish import building

    index, contents = repositories.Reader(made / "repo", tmp_path / "cache").read()
    entry = Entry.model_validate_json(contents.pop("tiny-set/1.0.0/entry.json"))
    assert set(contents) == {f"tiny-set/1.0.0/{file.path}" for file in entry.files}
    assert (entry.title, entry.count, entry.published) == ("A tiny set", COUNT, repositories.PUBLISHED)
    assert index.entries == (building.row(entry),)


def test_publishing_the_same_later_changes_nothing(repository, request_):
    before = repositories.contents(repository)
    later = dataclasses.replace(request_, published=repositories.PUBLISHED + timedelta(days=3))
    assert publishing.publish(repository, _keys(repository), later) is False
    assert repositories.contents(repository) == before


def test_a_version_keeps_its_content(repository, request_):
    before = repositories.contents(repository)
    with pytest.raises(SynthMedError) as caught:
        publishing.publish(repository, _keys(repository), dataclasses.replace(request_, title="Another title"))
    assert str(caught.value) == (
        "tiny-set@1.0.0 is published with other content (README.md, croissant.json, entry.json); a version does not "
        "change: choose another --version."
    )
    assert repositories.contents(repository) == before


def test_a_set_that_cannot_be_built_leaves_nothing(repository, request_, tmp_path):
    before = repositories.contents(repository)
    with pytest.raises(SynthMedError, match="is there and is not a synthetic set"):
        publishing.publish(repository, _keys(repository), dataclasses.replace(request_, set=tmp_path, version="1.1.0"))
    assert repositories.contents(repository) == before


def test_a_withdrawn_version_leaves_a_tombstone(repository, request_, tmp_path):
    reader = repositories.Reader(repository, tmp_path / "cache")
    (before,) = reader.read()[0].entries
    assert publishing.withdraw(repository, _keys(repository), "tiny-set@1.0.0", "An image shows too much.")
    index, contents = reader.read()
    tombstone = Tombstone.model_validate_json(contents.pop("tiny-set/1.0.0/tombstone.json"))
    assert contents == {}
    assert (tombstone.name, tombstone.version, tombstone.title) == ("tiny-set", "1.0.0", "A tiny set")
    assert tombstone.withdrawal.reason == "An image shows too much."
    changed = {"withdrawn": tombstone.withdrawal, "thumbnail": None, "generator": False}
    assert index.entries == (before.model_copy(update=changed),)
    there = [path.name for path in (repository / "targets" / "tiny-set").rglob("*") if path.is_file()]
    assert there == ["tombstone.json"]


def test_withdrawing_again_changes_nothing(repository):
    publishing.withdraw(repository, _keys(repository), "tiny-set@1.0.0", "A leak.")
    before = repositories.contents(repository)
    assert publishing.withdraw(repository, _keys(repository), "tiny-set@1.0.0", "Another reason.") is False
    assert repositories.contents(repository) == before


def test_a_withdrawn_version_does_not_come_back(repository, request_):
    publishing.withdraw(repository, _keys(repository), "tiny-set@1.0.0", "A leak.")
    with pytest.raises(SynthMedError, match="was withdrawn on .* and cannot come back; choose another --version"):
        publishing.publish(repository, _keys(repository), request_)
    assert publishing.publish(repository, _keys(repository), dataclasses.replace(request_, version="1.0.1"))


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("tiny-set@2.0.0", "A leak.", "has no tiny-set@2.0.0; of tiny-set there are 1.0.0."),
        ("tiny-set", "A leak.", "has no tiny-set; of tiny-set there are 1.0.0."),
        ("other@1.0.0", "A leak.", "has no other@1.0.0; name it as retina-chase@1.0.0;"),
        ("tiny-set@1.0.0", " ", "Option --reason has 1 characters; it must say why"),
        ("tiny-set@1.0.0", "x" * 10_001, "Option --reason has 10001 characters; it must say why"),
    ],
)
def test_what_cannot_be_withdrawn(repository, name, reason, said):
    before = repositories.contents(repository)
    with pytest.raises(SynthMedError) as caught:
        publishing.withdraw(repository, _keys(repository), name, reason)
    assert said in str(caught.value)
    assert repositories.contents(repository) == before


def test_killed_before_any_file_operation_of_a_withdrawal(tmp_path):
    """In another process, which holds no TensorFlow and can be forked."""
    done = subprocess.run([sys.executable, __file__, tmp_path], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen == sorted(seen) and set(seen) == {False, True} and len(seen) > 30


def _kill_before_each(folder: Path) -> list[bool]:
    """Whether a client saw the withdrawal after each kill; and the same work then went through."""
    repository, keys, seen = folder / "repo", folder / "keys", []
    new_repository.init(repository, keys, "A repository")
    repositories.add(repository, keys, "first")
    shutil.copytree(repository, folder / "start")

    def work():
        return publishing.withdraw(repository, keys, "first@1.0.0", "A leak.")

    for moment in killed.moments(work, repository):
        reader = repositories.Reader(repository, folder / f"cache{moment}")
        index, contents = reader.read()
        seen.append(index.entries[0].withdrawn is not None)
        there = {"first/1.0.0/tombstone.json"} if seen[-1] else set(repositories.held("first"))
        assert set(contents) == there
        assert work() is not seen[-1]
        assert set(reader.read()[1]) == {"first/1.0.0/tombstone.json"}
        assert set(repositories.contents(repository / "targets" / "first")) == {"1.0.0/tombstone.json"}
        shutil.rmtree(repository)
        shutil.copytree(folder / "start", repository)
    return seen


def _command(repository, generated, *more):
    options = ["--repository", str(repository), "--keys", str(_keys(repository)), "--name", "tiny-set", "--title", "T"]
    options += ["--description", "For tests.", "--license", "CC-BY-4.0", "--creator", "Me"]
    return ["publish", str(generated), *options, *more]


@pytest.mark.slow
def test_the_command_killed_at_any_time(repository, generated, tmp_path):
    """As soon as a file appears, and at random moments; a client always finds one of the two states."""
    rng = random.Random(4)
    version = repository / "targets" / "tiny-set" / "2.0.0"
    staged = repository / ".transaction" / "tiny-set@2.0.0" / "files"
    signs = [
        repository / ".transaction.lock",
        staged / "card.json",
        version,
        repository / "metadata" / "3.targets.json",
    ]
    start, seen = shutil.copytree(repository, tmp_path / "start"), []
    for number, sign in enumerate([*signs, None, None]):
        process = _start(repository, generated)
        moment = time.monotonic() + (600 if sign else rng.uniform(0, 6))
        while process.poll() is None and time.monotonic() < moment and not (sign and sign.exists()):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        reader = repositories.Reader(repository, tmp_path / f"cache{number}")
        seen.append(len(reader.read()[0].entries))
        again = _start(repository, generated)
        assert again.wait() == 0
        index, contents = reader.read()
        assert [row.id for row in index.entries] == ["tiny-set@2.0.0", "tiny-set@1.0.0"]
        there = repositories.contents(repository / "targets")
        assert {path for path in there if not path.endswith("repository.json")} == set(contents)
        shutil.rmtree(repository)
        shutil.copytree(start, repository)
    assert seen[:2] == [1, 1]


def _start(repository, generated):
    command = [sys.executable, "-m", "synthmed_tf", *_command(repository, generated, "--version", "2.0.0")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _run(*command, **options):
    from synthmed_tf.cli.main import main

    return CliRunner().invoke(main, [str(part) for part in command], **options)


def test_the_commands(generated, tmp_path):
    repository = tmp_path / "made" / "repo"
    made = _run("repository", "init", repository, "--keys", _keys(repository), "--title", "A repository")
    assert made.exit_code == 0
    assert made.output.splitlines()[0] == f"fingerprint {new_repository.fingerprint(repository)}"
    assert "root.pem offline" in made.output
    command = _command(repository, generated, "--version", "1.0.0")
    assert "tiny-set@1.0.0 is in" in _run(*command).output
    assert "already, with the same content; nothing was changed" in _run(*command).output
    refused = _run(*_command(repository, generated, "--version", "1.0"))
    assert refused.exit_code == 2 and "synthmed: tiny-set@1.0 is no name and version" in refused.output
    options = ["--repository", repository, "--reason", "A leak."]
    environment = {"SYNTHMED_KEYS": str(_keys(repository))}
    withdrawn = _run("withdraw", "tiny-set@1.0.0", *options, env=environment)
    assert withdrawn.output == "tiny-set@1.0.0 is withdrawn\n"
    withdrawn = _run("withdraw", "tiny-set@1.0.0", *options, env=environment)
    assert withdrawn.output == "tiny-set@1.0.0 was withdrawn already; nothing was changed\n"
    assert _run("repository", "refresh", repository, env=environment).output == "signed again: timestamp\n"
    rotated = _run("repository", "rotate", repository, "--role", "snapshot", env=environment)
    assert "snapshot.pem is the new key; the old one is no longer valid" in rotated.output
    (_keys(repository) / "timestamp.pem").unlink()
    refused = _run("repository", "refresh", repository, env=environment)
    assert refused.exit_code == 2 and "timestamp.pem is missing; name the folder" in refused.output


def test_the_description_is_stated_once_or_not_at_all(repository, generated, tmp_path):
    (tmp_path / "text").write_bytes(b"\xff")
    command = _command(repository, generated, "--version", "1.1.0", "--description-file", str(tmp_path / "text"))
    both = _run(*command)
    assert both.exit_code == 2 and "--description and --description-file both describe" in both.output
    command = [part for part in command if part not in ("--description", "For tests.")]
    unreadable = _run(*command)
    assert unreadable.exit_code == 2 and "name a text file in UTF-8" in unreadable.output
    command = command[: command.index("--description-file")]
    assert _run(*command).exit_code == 0  # it may be left out


if __name__ == "__main__":
    print(json.dumps(_kill_before_each(Path(sys.argv[1]))))

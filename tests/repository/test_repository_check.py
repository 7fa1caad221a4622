"""`synthmed repository check`: what it finds in repositories of careless, broken and hostile publishers."""

import json
import os
import shutil
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import published
from tuf.api.metadata import DelegatedRole

from synthmed_tf import images
from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import Index
from synthmed_tf.repository.publish import publishing
from synthmed_tf.repository.verify.checking import check

VERSION = "targets/phantom/1.0.0"
ZIP = "imagefolder/train-00000-of-00001.zip"
TAR = "webdataset/train-00000.tar"
TFRECORD = "tfrecord/synthmed-train.tfrecord-00000-of-00001"
PAST = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a repository of a set in all formats with its generator. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    model, formats = published.artifact(folder / "model"), ("imagefolder", "tfrecord", "webdataset")
    published.make(folder, "phantom@1.0.0", formats=formats, artifact=model, keywords=("a", "b"))
    return folder


@pytest.fixture
def repo(made, tmp_path):
    """A copy of the repository to change, with its keys next to it."""
    return published.copied(made, tmp_path / "made")


@pytest.fixture
def version(repo):
    return repo / VERSION


def _found(repo: Path) -> dict[str, str]:
    """What is wrong, by file."""
    return {problem.path: problem.problem for problem in check(repo).problems}


def _signed_again(repo: Path) -> dict[str, str]:
    """What is wrong where the publisher has signed what lies there, by place in the version; entry.json is old."""
    published.sign_again(repo, "phantom@1.0.0")
    found = _found(repo)
    return {path.removeprefix(f"{VERSION}/"): what for path, what in found.items() if not path.endswith("entry.json")}


def test_a_good_repository_has_no_problems(made):
    counts = []
    found = check(made / "repo", progress=lambda *count: counts.append(count))
    assert found.problems == ()
    files_ = [path for path in (made / "repo" / VERSION).rglob("*") if path.is_file()]
    assert (found.versions, found.files) == (1, len(files_) + 1)
    assert counts[-1] == (len(files_), len(files_))
    assert len(found.fingerprint) == 64


def test_a_withdrawn_version_has_no_problems(repo):
    publishing.withdraw(repo, repo.parent / "keys", "phantom@1.0.0", "a reason")
    assert _found(repo) == {}


def test_the_command_ends_with_what_was_found(repo, version):
    done = CliRunner().invoke(main, ["repository", "check", str(repo)])
    assert done.exit_code == 0
    assert done.stdout.startswith("1 versions, ") and ": 0 problem(s); the root's fingerprint is " in done.stdout
    (version / "notes.txt").write_text("mine")
    done = CliRunner().invoke(main, ["repository", "check", str(repo)])
    assert done.exit_code == 2
    assert done.stdout.splitlines()[0] == f"{VERSION}/notes.txt is not announced by the signed metadata; delete it."
    done = CliRunner().invoke(main, ["repository", "check", str(repo), "--json"])
    what = {
        "severity": "error",
        "path": f"{VERSION}/notes.txt",
        "problem": "is not announced by the signed metadata",
        "remedy": "delete it",
    }
    assert (done.exit_code, json.loads(done.stdout)["problems"]) == (2, [what])


def test_a_folder_that_is_none_is_said(tmp_path):
    with pytest.raises(SynthMedError, match="is no folder"):
        check(tmp_path / "absent")


def test_a_folder_without_metadata_is_said(tmp_path):
    assert "there is no repository here" in _found(tmp_path)["metadata"]


def test_another_root_than_is_known_is_said(made):
    found = check(made / "repo", fingerprint="0" * 64)
    assert [problem.path for problem in found.problems] == ["metadata"]
    assert "has a root with the fingerprint" in found.problems[0].problem


def test_expired_metadata_is_said(repo):
    published.resign(repo, "timestamp", lambda signed: setattr(signed, "expires", PAST))
    assert "the metadata is frozen: timestamp has expired" in _found(repo)["metadata"]


def test_files_that_differ_from_what_is_signed(repo, version):
    with open(version / ZIP, "ab") as file:
        file.write(b"x")
    (version / "README.md").unlink()
    assert _found(repo) == {
        f"{VERSION}/{ZIP}": "is not the file that is signed",
        f"{VERSION}/README.md": "is missing, or is not a regular file",
    }


def test_a_role_that_was_changed_is_said_of_its_version_alone(repo):
    published.publish(repo.parent, "second@1.0.0", formats=("imagefolder",))
    path = published.metadata(repo, "second@1.0.0")
    path.write_bytes(path.read_bytes().replace(b"second", b"secund"))
    found = _found(repo)
    assert "was changed, swapped or cut short" in found.pop("metadata (second@1.0.0)")
    assert set(found.values()) == {"is not announced by the signed metadata"}
    assert all(file.startswith("targets/second/1.0.0/") for file in found)


def test_roles_that_are_no_versions_are_said(repo):
    def delegate(targets):
        (known,) = targets.delegations.roles.values()
        for name in ("../../evil", "evil@1.0.0"):
            targets.delegations.roles[name] = DelegatedRole(name, known.keyids, 1, True, ["elsewhere/*"])

    published.resign(repo, "targets", delegate)
    found = {problem.path: problem.problem for problem in check(repo).problems}
    assert found["metadata (../../evil)"] == "is no name and version"
    assert "nobody may sign for evil@1.0.0" in found["metadata (evil@1.0.0)"]


def test_what_is_no_plain_file_is_said(repo, version):
    (version / "README.md").unlink()
    (version / "README.md").symlink_to("/etc/passwd")
    (version / "linked").symlink_to("/etc", target_is_directory=True)
    os.mkfifo(version / "pipe")
    (version / "card.json").chmod(0o755)
    (repo / "targets" / "empty").mkdir()
    assert _found(repo) == {
        f"{VERSION}/README.md": "is missing, or is not a regular file",
        f"{VERSION}/linked": "is a link",
        f"{VERSION}/pipe": "is no regular file",
        f"{VERSION}/card.json": "is marked executable",
        "targets/empty": "is an empty folder",
    }


def test_what_an_interrupted_publisher_left_is_named_as_such(repo):
    (repo / ".transaction/phantom@2.0.0/files/previews").mkdir(parents=True)
    left = [
        ".transaction/phantom@2.0.0/files/previews/a.png",
        ".transaction.lock",
        "metadata/.timestamp.json.host.1.part",
    ]
    for name in left:
        (repo / name).write_bytes(b"")
    shutil.copyfile(repo / "metadata/2.targets.json", repo / "metadata/3.targets.json")
    (repo / "targets/repository.json").write_text("{}")
    said = "is left of a publisher that was interrupted, or is still at work"
    assert _found(repo) == dict.fromkeys(left, said) | {
        "metadata/3.targets.json": "was never announced: a publisher was interrupted",
        "targets/repository.json": "is not the index that is signed: a publisher was interrupted",
    }


def test_strangers_are_named(repo):
    (repo / "metadata/notes.json").write_text("{}")
    (repo / "metadata/1.other@1.0.0.json").write_text("{}")
    (repo / "metadata/1.snapshot.json").write_text("#!/bin/sh")
    (repo / "install.sh").write_text("#!/bin/sh")
    (repo / f"targets/{'0' * 64}.repository.json").write_text("{}")
    assert _found(repo) == {
        "metadata/notes.json": "does not belong to the repository",
        "metadata/1.other@1.0.0.json": "does not belong to the repository",
        "metadata/1.snapshot.json": "is no metadata",
        "install.sh": "is not announced by the signed metadata",
        f"targets/{'0' * 64}.repository.json": "is not announced by the signed metadata",
    }


def test_names_that_would_confuse_a_terminal_are_shown_plainly(repo):
    for name in ("\x1b[2Jx", "\u202egnp.exe", "line\nbreak", os.fsdecode(b"\xff\xfe")):
        (repo / "targets" / name).write_bytes(b"")
    for problem in check(repo).problems:
        assert str(problem).isprintable()
    done = CliRunner().invoke(main, ["repository", "check", str(repo)])
    assert (done.exit_code, len(done.stdout.splitlines())) == (2, 5)


@pytest.mark.parametrize(
    "name", ["run.py", "weights.pkl", "page.html", "previews/evil.svg", "imagefolder/more.zip", "a/b/c/d"]
)
def test_kinds_that_no_version_holds_are_refused_though_they_are_signed(repo, version, name):
    (version / name).parent.mkdir(parents=True, exist_ok=True)
    (version / name).write_bytes(b"x")
    assert _signed_again(repo) == {name: "is not of a kind that a version may hold"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("thumbnail.png", b"\x7fELF" + bytes(99), "is no PNG file"),
        ("thumbnail.png", b"\x89PNG\r\n\x1a\n", "does not end where its image ends"),
        (
            "thumbnail.png",
            images.encode_png(np.zeros((4, 4), np.uint8)) + b"#!/bin/sh",
            "does not end where its image ends",
        ),
        ("card.json", b"{" * 99, "is no JSON"),
        ("card.json", b"[" * 100_000, "is no JSON"),
        ("card.json", b"\xff", "is no JSON"),
        ("README.md", b"#!/bin/sh\nrm", "is a script"),
        ("README.md", b"a\xff", "is no text in UTF-8"),
        ("README.md", b"see <ScRiPt >alert(1)", "holds what can act or fetch something (<ScRiPt)"),
        ("README.md", b"[x](JavaScript:alert(1))", "holds what can act or fetch something (](JavaScript:)"),
        ("README.md", b"![x](https://example.org/a.png)", "holds what can act or fetch something (![x](https://)"),
        ("README.md", b"<p title='a' onclick=x>", "holds what can act or fetch something (<p title='a' onclick=)"),
        ("README.md", b'<img src="x" onerror=alert(1)>', "holds what can act or fetch something (<img)"),
        ("generator/generator.onnx", b"not ONNX at all", "cannot be read (DecodeError"),
        ("generator/savedmodel/1/saved_model.pb", b"\x80\x04K\x01.", "is no SavedModel"),
        ("generator/savedmodel/1/variables/variables.index", b"\x80\x04K\x01.", "looks like a pickle"),
        ("generator/savedmodel/1/variables/variables.index", b"\x7fELF", "looks like a program"),
        (TFRECORD, b"\x80\x04K\x01.", "is no TFRecord file, or is cut short"),
        (ZIP, b"#!/usr/bin/env python\n", "is no plain zip file"),
        (TAR, b"x" * 2000, "cannot be read (ReadError"),
        ("croissant.json", b"[]", "has no @context of its own"),
        ("croissant.json", b'{"@context": {"a": {"@context": "http://127.0.0.1/"}}}', "has a @context that refers to"),
        (
            "croissant.json",
            b'{"@context": {}, "creator": {"@context": "http://127.0.0.1/"}}',
            "has more than one @context",
        ),
        ("croissant.json", b'{"@context": {}, "@type": "Dataset"}', "is no valid Croissant"),
    ],
)
def test_files_that_are_not_what_they_say(repo, version, name, content, said):
    (version / name).write_bytes(content)
    assert _signed_again(repo)[name].startswith(said)


def _rewritten(path: Path, change) -> None:
    """Writes an image folder again, its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)


def _png(*shape, value=255):
    return images.encode_png(np.full(shape, value, np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("masks/00000001.png", _png(32, 32, 3), "holds masks/00000001.png of (32, 32, 3), not (32, 32, 1)"),
        ("masks/00000001.png", _png(32, 32, value=7), "holds masks/00000001.png with other values than 0 and 255"),
        ("images/00000001.png", _png(16, 16, 3), "holds images/00000001.png of (16, 16, 3), not (32, 32, 3)"),
        (
            "images/00000001.png",
            published.black_png(20_000),
            "holds images/00000001.png, which is no image that can be",
        ),
        ("images/00000001.png", b"\x80\x04K\x01.", "holds images/00000001.png, which is no PNG file"),
        ("images/00000009.png", _png(32, 32, 3), "holds images/00000009.png, which metadata.jsonl does not name"),
        ("metadata.jsonl", b"", "holds images/00000000.png, which metadata.jsonl does not name"),
        ("metadata.jsonl", b'{"index": 99}', "holds a pair outside of 0 to 2"),
        ("metadata.jsonl", b'{"index": true}', "holds a pair outside of 0 to 2"),
        ("metadata.jsonl", b"[1]", "holds a pair outside of 0 to 2"),
        ("metadata.jsonl", b'{"index": 1}', "says of pair 1 that another seed or model generated it"),
    ],
)
def test_an_image_folder_that_is_not_what_the_entry_says(repo, version, name, content, said):
    _rewritten(version / ZIP, lambda members: members.update({name: content}))
    assert _signed_again(repo)[ZIP].startswith(said)


def test_pairs_that_differ_from_one_format_to_the_next(repo, version):
    _rewritten(version / ZIP, lambda members: members.update({"images/00000000.png": _png(32, 32, 3)}))
    assert _signed_again(repo) == {
        "webdataset": "holds other pairs than imagefolder",
        "previews/00000000.image.png": "is not that of pair 0 in imagefolder",
    }


def test_pairs_that_are_fewer_than_the_entry_says(repo, version):
    content = (version / TFRECORD).read_bytes()
    first = int.from_bytes(content[:8], "little") + 16
    (version / TFRECORD).write_bytes(content[first:])
    assert _signed_again(repo) == {"tfrecord": "holds 2 pairs, not 3 as entry.json says"}


def _change_entry(repo: Path, **fields) -> dict[str, str]:
    path = repo / VERSION / "entry.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))
    published.sign_again(repo, "phantom@1.0.0")
    return {file.removeprefix(f"{VERSION}/"): what for file, what in _found(repo).items()}


def test_an_entry_that_does_not_agree_with_the_index(repo):
    found = _change_entry(repo, title="Another", count=4)
    assert found["entry.json"] == "does not agree with repository.json on title, count"
    assert found["imagefolder"] == "holds 3 pairs, not 4 as entry.json says"


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"title": ""}, "entry.json", "title: String should have at least 1 character"),
        ({"name": "../../x"}, "entry.json", "name: String should match pattern"),
        ({"count": -1}, "entry.json", "count: Input should be greater than or equal to 1"),
        ({"schema_version": "2"}, "entry.json", "schema_version: Input should be '1'"),
        ({"thumbnail": "../../x.png"}, "../../x.png", "is named by entry.json, and is not among its files"),
        ({"formats": ["tfrecord", "webdataset"]}, "entry.json", "is without files of the format imagefolder"),
        ({"files": []}, "entry.json", "lists other files than those that are signed"),
        ({"generator": None}, "generator/card.md", "is there, and entry.json says that the generator is not shared"),
    ],
)
def test_an_entry_that_does_not_agree_with_itself(repo, fields, place, said):
    path = repo / VERSION / "entry.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))
    published.sign_again(repo, "phantom@1.0.0")
    found = [(problem.path, problem.problem) for problem in check(repo).problems]
    assert any(file == f"{VERSION}/{place}" and what.startswith(said) for file, what in found)


def test_a_privacy_failure_is_not_published(repo):
    verdict = {"question": "copies", "state": "FAIL", "sentence": "a copy", "limit": "none"}
    evaluated = {
        "verdict": "FAIL",
        "quick": False,
        "created": "2026-11-25T12:00:00Z",
        "verdicts": [verdict],
        "not_asked": [],
    }
    _change_entry(repo, evaluation=evaluated)
    found = [(problem.path, problem.problem) for problem in check(repo).problems]
    assert (f"{VERSION}/entry.json", "has FAIL on copies, with which nothing is published") in found
    assert (f"{VERSION}/report/report.json", "is missing") in found


def test_an_index_of_100_kb_strings_is_refused(repo, tmp_path):
    with pytest.raises(SynthMedError, match="The title has 100000 characters"):
        from synthmed_tf.repository.publish import new_repository

        new_repository.init(tmp_path / "repo", tmp_path / "keys", "x" * 100_000)
    found = _change_entry(repo, title="x" * 100_000)
    assert found["entry.json"] == "title: String should have at most 300 characters"


def test_an_index_may_hold_what_this_program_does_not_know():
    assert Index.model_validate_json('{"title": "a", "new": 1}').title == "a"

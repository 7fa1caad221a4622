"""Changes to a repository: all or none, as python-tuf's own client sees them."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import killed, repositories
from helpers.paths import ENVIRONMENT, TESTS

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import Index
from synthmed_tf.repository.publish import new_repository, transaction
from synthmed_tf.repository.signed_metadata import KEPT


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with the repository `repo`, which holds first@1.0.0, and its `keys`. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    new_repository.init(folder / "repo", folder / "keys", "A repository")
    repositories.add(folder / "repo", folder / "keys", "first")
    return folder


@pytest.fixture
def repository(made, tmp_path) -> Path:
    """A copy to change, with the keys next to it."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made" / "repo"


def _keys(repository):
    return repository.parent / "keys"


def _ids(index):
    return [row.id for row in index.entries]


def test_a_client_sees_what_was_published(repository, tmp_path):
    reader = repositories.Reader(repository, tmp_path / "cache")
    assert reader.read() == (
        Index(title="A repository", entries=(repositories.row("first", "1.0.0"),)),
        repositories.held("first"),
    )
    for version in ("1.9.0", "1.10.0"):
        repositories.add(repository, _keys(repository), "first", version)
    repositories.add(repository, _keys(repository), "another")
    index, contents = reader.read()
    assert _ids(index) == ["another@1.0.0", "first@1.10.0", "first@1.9.0", "first@1.0.0"]
    versions = ("1.0.0", "1.9.0", "1.10.0")
    expected = repositories.held("another")
    for version in versions:
        expected |= repositories.held("first", version)
    assert contents == expected


def test_the_copy_of_the_index_is_the_index(repository, tmp_path):
    repositories.add(repository, _keys(repository), "second")
    index, _ = repositories.Reader(repository, tmp_path / "cache").read()
    assert Index.model_validate_json((repository / "targets" / "repository.json").read_bytes()) == index


def test_an_error_changes_nothing(repository):
    before = repositories.contents(repository)
    with pytest.raises(RuntimeError), transaction.opened(repository, _keys(repository)) as opened:
        (opened.stage("second", "1.0.0") / "entry.json").write_text("text")
        opened.rows["second@1.0.0"] = repositories.row("second", "1.0.0")
        raise RuntimeError
    assert repositories.contents(repository) == before


def test_nothing_to_do_changes_nothing(repository):
    before = repositories.contents(repository)
    with transaction.opened(repository, _keys(repository)) as opened:
        assert _ids(opened.index) == ["first@1.0.0"]
        opened.stage("second", "1.0.0")
        opened.discard("second", "1.0.0")
    assert repositories.contents(repository) == before


def test_a_versions_file_does_not_change(repository):
    before = repositories.contents(repository)
    with (
        pytest.raises(ValueError, match="entry.json is there, and a version's files do not change"),
        transaction.opened(repository, _keys(repository)) as opened,
    ):
        folder = opened.stage("first", "1.0.0")
        (folder / "added").write_text("text")
        (folder / "entry.json").write_text("other")
    assert repositories.contents(repository) == before


@pytest.mark.parametrize("path", [".hidden", "a b ", "a\\b"])
def test_paths_that_clients_refuse_are_not_published(repository, path):
    before = repositories.contents(repository)
    with pytest.raises(SynthMedError), transaction.opened(repository, _keys(repository)) as opened:
        (opened.stage("second", "1.0.0") / path).write_text("text")
        opened.rows["second@1.0.0"] = repositories.row("second", "1.0.0")
    assert repositories.contents(repository) == before


def test_files_in_the_place_of_a_new_version_give_way(repository, tmp_path):
    place = repository / "targets" / "second" / "1.0.0"
    place.mkdir(parents=True)
    for name in ("entry.json", "stray"):
        (place / name).write_text("left by hand")
    repositories.add(repository, _keys(repository), "second")
    both = repositories.held("first") | repositories.held("second")
    assert repositories.Reader(repository, tmp_path / "cache").read()[1] == both
    assert not (place / "stray").exists()


@pytest.mark.parametrize("name", ["../first", "First", "a/b", "", "a@b", "-a"])
def test_names_that_leave_their_folder_are_refused(repository, name):
    with (
        pytest.raises(SynthMedError, match="is no name and version; write it as retina-chase@1.0.0"),
        transaction.opened(repository, _keys(repository)) as opened,
    ):
        opened.stage(name, "1.0.0")


def test_old_metadata_and_indexes_go_in_time(repository, tmp_path):
    reader = repositories.Reader(repository, tmp_path / "cache")
    for patch in range(KEPT + 3):
        repositories.add(repository, _keys(repository), "second", f"1.0.{patch}")
    versions = sorted(int(path.name.split(".")[0]) for path in (repository / "metadata").glob("*.targets.json"))
    newest = KEPT + 5
    assert versions == list(range(newest - KEPT, newest + 1))
    assert len(list((repository / "targets").glob("*.repository.json"))) == KEPT + 1
    assert len(reader.read()[0].entries) == KEPT + 4


def test_killed_before_any_file_operation(made, tmp_path):
    """In another process, which holds no TensorFlow and can be forked."""
    done = subprocess.run([sys.executable, __file__, made, tmp_path], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    # The old state up to the moment when the timestamp is replaced, the new one from then on.
    assert seen == sorted(seen) and set(seen) == {1, 2} and len(seen) > 30


def _kill_before_each(made: Path, folder: Path) -> list[int]:
    """How many versions a client saw after each kill; and the same work then went through."""
    repository, keys, seen = folder / "repo", made / "keys", []
    shutil.copytree(made / "repo", repository)
    both = repositories.held("first") | repositories.held("second")
    for moment in killed.moments(lambda: repositories.add(repository, keys, "second"), repository):
        reader = repositories.Reader(repository, folder / f"cache{moment}")
        index, contents = reader.read()
        seen.append(len(index.entries))
        assert contents == (both if len(index.entries) == 2 else repositories.held("first"))
        with transaction.opened(repository, keys) as opened:
            again = "second@1.0.0" not in opened.rows
        if again:
            repositories.add(repository, keys, "second")
        index, contents = reader.read()
        assert _ids(index) == ["first@1.0.0", "second@1.0.0"] and contents == both
        assert not [path for path in repository.iterdir() if path.name.startswith(".")]
        there = repositories.contents(repository / "targets")
        assert {path for path in there if not path.endswith("repository.json")} == set(both)
        assert Index.model_validate_json(there["repository.json"]) == index
        shutil.rmtree(repository)
        shutil.copytree(made / "repo", repository)
    return seen


_PUBLISH = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers import repositories
repositories.add(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], say=lambda line: print(line, flush=True))
"""


def _publish(repository, name, **options):
    command = [sys.executable, "-c", _PUBLISH, TESTS, repository, _keys(repository), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_publishers_at_once_wait_for_each_other(repository, tmp_path):
    names = ["second", "third", "fourth"]
    with transaction.opened(repository, _keys(repository)):
        processes = [_publish(repository, name) for name in names]
        for process in processes:
            assert process.stdout.readline().startswith(f"waiting for pid {os.getpid()} on ")
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    index, _ = repositories.Reader(repository, tmp_path / "cache").read()
    assert sorted(_ids(index)) == sorted(f"{name}@1.0.0" for name in ["first", *names])


def test_a_publisher_does_not_wait_forever(repository):
    with transaction.opened(repository, _keys(repository)):
        with pytest.raises(SynthMedError) as caught, transaction.opened(repository, _keys(repository), wait=0.2):
            pass
        assert f"is being changed by pid {os.getpid()}" in str(caught.value)
        assert "run the same command again" in str(caught.value)


@pytest.mark.parametrize("limit", [0, 12, 600, 1000])
def test_a_full_disk_leaves_the_old_state(repository, tmp_path, limit):
    """A limit on the size of files stands for it: at once, in a version's file, in the metadata, late in it."""
    before = repositories.contents(repository)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = _publish(repository, "second", preexec_fn=limited)
    _, errors = process.communicate()
    sentence = errors.strip().splitlines()[-1]
    assert process.returncode == 1 and "SynthMedError" in sentence
    assert "File too large; put this right and run the same command again" in sentence
    after = repositories.contents(repository)
    assert after == before
    assert repositories.Reader(repository, tmp_path / "cache").read()[1] == repositories.held("first")


@pytest.mark.slow
def test_five_thousand_versions_are_well_within_a_clients_limits(repository, tmp_path):
    with transaction.opened(repository, _keys(repository)) as opened:
        for number in range(5000):
            (opened.stage(f"set-{number}", "1.0.0") / "entry.json").write_text("text")
            opened.rows[f"set-{number}@1.0.0"] = repositories.row(f"set-{number}", "1.0.0")
    assert len(repositories.Reader(repository, tmp_path / "cache").index().entries) == 5001
    sizes = {name: (repository / "metadata" / f"3.{name}.json").stat().st_size for name in ("snapshot", "targets")}
    assert sizes == {"snapshot": pytest.approx(679_500, rel=1e-3), "targets": pytest.approx(828_700, rel=1e-3)}
    repositories.add(repository, _keys(repository), "second")


def test_damaged_metadata_is_not_signed_over(repository):
    path = repository / "metadata" / "2.targets.json"
    path.write_bytes(path.read_bytes().replace(b"first", b"worst"))
    before = repositories.contents(repository)
    with pytest.raises(SynthMedError, match=r"2\.targets\.json is not as it was signed .* restore it from"):
        repositories.add(repository, _keys(repository), "second")
    assert repositories.contents(repository) == before


def test_a_root_in_anothers_place_is_not_followed(repository):
    shutil.copy(repository / "metadata" / "1.root.json", repository / "metadata" / "2.root.json")
    with pytest.raises(SynthMedError, match=r"2\.root\.json is of version 1; restore it from"):
        repositories.add(repository, _keys(repository), "second")


def test_what_a_hostile_host_left_removes_nothing_elsewhere(repository, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (repository / ".transaction" / "..@..").mkdir(parents=True)
    repositories.add(repository, _keys(repository), "second")
    (repository / ".transaction" / "third@1.0.0").mkdir(parents=True)
    (repository / "targets" / "third").mkdir()
    (repository / "targets" / "third" / "1.0.0").symlink_to(tmp_path / "mine")
    with pytest.raises(SynthMedError, match="is a link, behind which nothing is removed; remove the link"):
        repositories.add(repository, _keys(repository), "third")
    assert (tmp_path / "mine" / "file").exists() and (repository.parent / "keys" / "root.pem").exists()


def test_an_index_that_was_changed_is_not_signed_over(repository):
    for path in (repository / "targets").glob("*.repository.json"):
        path.write_bytes(path.read_bytes().replace(b"first", b"worst"))
    with pytest.raises(SynthMedError, match="repository.json is not as it was signed"):
        repositories.add(repository, _keys(repository), "second")


def test_what_is_no_repository(tmp_path):
    with pytest.raises(SynthMedError, match="is not a repository; make one with synthmed repository init"):
        repositories.add(tmp_path / "none", tmp_path / "keys", "second")
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    print(json.dumps(_kill_before_each(*map(Path, sys.argv[1:]))))

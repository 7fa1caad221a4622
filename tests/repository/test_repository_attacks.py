"""What a reader is told where somebody shows it another repository than the one that was signed."""

import hashlib
import json
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest
from helpers import published, web_host
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.publish import publishing
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.client_cache import Trust
from synthmed_tf.repository.read.download import download
from synthmed_tf.repository.read.fetching import Source

pytestmark = pytest.mark.once

PAST = datetime(2020, 1, 1, tzinfo=timezone.utc)
ZIP = "imagefolder/train-00000-of-00001.zip"
NOTHING = "; nothing of it was used"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a repository of two sets. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    published.make(folder, "phantom@1.0.0", "other@1.0.0", formats=("imagefolder",))
    return folder


@pytest.fixture
def repo(made, tmp_path):
    """A copy of the repository to change, with its keys next to it."""
    return published.copied(made, tmp_path / "made")


@pytest.fixture
def read(tmp_path):
    """Reads a repository as one and the same user, and fetches a set from it."""

    def read(source, name="phantom", trust=None):
        repository = Repository(Source(source), trust, tmp_path / "cache")
        return download(repository, name, tmp_path / "out")

    return read


def _refusal(read, repo, *arguments) -> str:
    """The sentence, without the repository's place."""
    with pytest.raises(SynthMedError) as refused:
        read(repo, *arguments)
    return str(refused.value).removeprefix(f"{repo}: ")


def _state(repo, folder: Path) -> Path:
    """What a host shows now, to be shown again later."""
    shutil.copytree(repo, folder)
    return folder


def _show(state: Path, repo: Path) -> None:
    shutil.rmtree(repo)
    shutil.copytree(state, repo)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_was_not_touched_is_read(repo, read, tmp_path):
    done = read(repo)
    assert (done.files, done.fetched) == (12, 11)
    content = (tmp_path / "out" / ZIP).read_bytes()
    assert content == (repo / "targets/phantom/1.0.0" / ZIP).read_bytes()


@pytest.mark.parametrize("place", ["README.md", ZIP, "entry.json"])
def test_a_file_that_was_changed(repo, read, tmp_path, place):
    _flip(repo / "targets/phantom/1.0.0" / place)
    said = f"targets/phantom/1.0.0/{place} was changed, swapped or cut short: it is not the file that is signed"
    assert _refusal(read, repo) == f"{said}{NOTHING}."
    assert not (tmp_path / "out" / place).exists()


def test_a_file_that_was_cut_short(repo, read, tmp_path):
    path = repo / "targets/phantom/1.0.0" / ZIP
    path.write_bytes(path.read_bytes()[:1000])
    assert _refusal(read, repo).startswith(f"targets/phantom/1.0.0/{ZIP} was changed, swapped or cut short")
    assert not [path.name for path in tmp_path.glob("out/imagefolder/*") if not path.name.endswith(".part")]


def test_a_file_that_goes_on(repo, read):
    with open(repo / "targets/phantom/1.0.0" / ZIP, "ab") as file:
        file.write(b"more")
    said = f"targets/phantom/1.0.0/{ZIP} is longer than what is signed or allowed, or does not end{NOTHING}."
    assert _refusal(read, repo) == said


def test_files_of_two_sets_that_were_swapped(repo, read):
    published.generated_set(repo.parent / "again", seed=8)
    shutil.rmtree(repo.parent / "generated")
    (repo.parent / "again").rename(repo.parent / "generated")
    published.publish(repo.parent, "others@1.0.0", formats=("imagefolder",))
    place = "previews/00000000.image.png"
    one, other = (repo / "targets" / name / "1.0.0" / place for name in ("phantom", "others"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert len(content) == one.stat().st_size
    assert _refusal(read, repo).startswith(f"targets/phantom/1.0.0/{place} was changed, swapped or cut short")


def test_roles_of_two_sets_that_were_swapped(repo, read):
    one, other = (published.metadata(repo, f"{name}@1.0.0") for name in ("phantom", "other"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert _refusal(read, repo).startswith("metadata/1.phantom@1.0.0.json was changed, swapped or cut short")


def test_an_entry_that_is_signed_in_the_place_of_another(repo, read):
    shutil.copyfile(repo / "targets/other/1.0.0/entry.json", repo / "targets/phantom/1.0.0/entry.json")
    published.sign_again(repo, "phantom@1.0.0")
    assert _refusal(read, repo) == "phantom/1.0.0/entry.json is that of other@1.0.0; do not use it."


def test_an_entry_that_says_other_than_is_signed(repo, read):
    path = repo / "targets/phantom/1.0.0/entry.json"
    digest = hashlib.sha256((repo / "targets/phantom/1.0.0/README.md").read_bytes()).hexdigest()
    path.write_text(path.read_text().replace(digest, "0" * 64))
    published.sign_again(repo, "phantom@1.0.0")
    assert _refusal(read, repo) == "phantom/1.0.0/entry.json says of README.md what is not signed; do not use it."


@pytest.mark.parametrize(
    "place", ["../../../escaped", "/etc/passwd", "a/../../b", ".hidden", "con.txt", "a\\b", "x\x1b[2J"]
)
def test_an_entry_whose_files_leave_its_folder(repo, read, tmp_path, place):
    path = repo / "targets/phantom/1.0.0/entry.json"
    entry = json.loads(path.read_bytes())
    entry["files"][0]["path"] = place
    path.write_text(json.dumps(entry))
    published.sign_again(repo, "phantom@1.0.0")
    said = _refusal(read, repo)
    assert said.startswith("Path ") and said.endswith("a file is named relative to its folder, plainly.")
    assert said.isprintable()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("role", ["targets", "snapshot", "phantom@1.0.0"])
def test_metadata_that_was_changed(repo, read, role):
    path = published.metadata(repo, role)
    _flip(path)
    said = f"metadata/{path.name} was changed, swapped or cut short: it is not the file that is signed{NOTHING}."
    assert _refusal(read, repo) == said


def test_a_timestamp_that_was_changed(repo, read):
    path = repo / "metadata/timestamp.json"
    content = json.loads(path.read_bytes())
    content["signed"]["version"] += 1
    path.write_text(json.dumps(content))
    assert _refusal(read, repo).startswith("metadata/timestamp.json is not signed with the keys that are trusted")


def test_a_timestamp_that_was_cut_short(repo, read):
    path = repo / "metadata/timestamp.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert _refusal(read, repo) == f"metadata/timestamp.json is damaged or cut short: it is no metadata{NOTHING}."


def test_a_timestamp_that_another_key_signed(repo, read):
    path = repo / "metadata/timestamp.json"
    timestamp = Metadata.from_bytes(path.read_bytes())
    timestamp.sign(CryptoSigner.generate_ed25519())
    path.write_bytes(timestamp.to_bytes())
    assert _refusal(read, repo).startswith("metadata/timestamp.json is not signed with the keys that are trusted")


def test_an_older_state_is_a_rollback(repo, read, tmp_path):
    old = _state(repo, tmp_path / "old")
    published.publish(repo.parent, "third@1.0.0", formats=("imagefolder",))
    read(repo)
    _show(old, repo)
    said = "the metadata was rolled back: metadata/timestamp.json is older than what was seen before"
    assert _refusal(read, repo) == f"{said} (New timestamp version 3 must be >= 4){NOTHING}."


def test_a_snapshot_that_is_rolled_back_under_a_new_timestamp(repo, read):
    read(repo)
    old = Metadata.from_bytes((repo / "metadata/timestamp.json").read_bytes()).signed.snapshot_meta

    def roll_back(timestamp):
        timestamp.version, timestamp.snapshot_meta.version = timestamp.version + 1, old.version - 1

    published.resign(repo, "timestamp", roll_back)
    assert "rolled back" in _refusal(read, repo)
    assert "New snapshot version must be >= 3, got version 2" in _refusal(read, repo)


def test_targets_that_are_rolled_back_under_a_new_snapshot(repo, read):
    read(repo)
    _next(repo)

    def roll_back(snapshot):
        snapshot.version += 1
        snapshot.meta["targets.json"].version = 1

    number = Metadata.from_bytes(published.metadata(repo, "snapshot").read_bytes()).signed.version
    _resign_as_next(repo, roll_back)
    said = _refusal(read, repo)
    assert said.startswith(f"the metadata was rolled back: metadata/{number + 1}.snapshot.json is older")


def test_a_role_that_is_no_longer_announced(repo, read):
    read(repo)

    def forget(snapshot):
        snapshot.version += 1
        del snapshot.meta["phantom@1.0.0.json"]

    _resign_as_next(repo, forget)
    said = _refusal(read, repo)
    assert said.startswith("the metadata was rolled back: metadata/4.snapshot.json has lost what was announced before")


def _next(repo):
    """Gives the timestamp a new version, so that it is read."""
    published.resign(repo, "timestamp", lambda signed: setattr(signed, "version", signed.version + 1))


def _resign_as_next(repo, change):
    """Signs a changed snapshot as the next one, and a timestamp that names it."""
    path = published.metadata(repo, "snapshot")
    number = int(path.name.split(".")[0])
    shutil.copyfile(path, path.with_name(f"{number + 1}.snapshot.json"))
    published.resign(repo, "snapshot", change)
    _next(repo)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_metadata_that_has_expired_is_frozen(repo, read, role):
    published.resign(repo, role, lambda signed: setattr(signed, "expires", PAST))
    said = _refusal(read, repo)
    assert said.startswith(f"the metadata is frozen: {role} has expired, so that what is new may be kept from you")
    assert said.endswith("ask the publisher to run synthmed repository refresh.")


def test_a_snapshot_of_another_state_is_a_mix(repo, read):
    shutil.copyfile(repo / "metadata/2.snapshot.json", repo / "metadata/3.snapshot.json")

    def without_hash(timestamp):
        timestamp.snapshot_meta.hashes = timestamp.snapshot_meta.length = None

    published.resign(repo, "timestamp", without_hash)
    said = "the metadata is mixed: metadata/3.snapshot.json is of another state than the rest"
    assert _refusal(read, repo) == f"{said} (Expected snapshot version 3, got 2){NOTHING}."


@pytest.mark.parametrize(
    "file", ["metadata/timestamp.json", "metadata/3.snapshot.json", f"targets/phantom/1.0.0/{ZIP}"]
)
def test_a_file_without_end(repo, read, tmp_path, file):
    with web_host.serving(repo) as host:
        host.endless = (file,)
        with pytest.raises(SynthMedError, match="is longer than what is signed or allowed, or does not end") as refused:
            read(host.url)
        assert f"{host.url}: {file} " in str(refused.value)
    assert sum(path.stat().st_size for path in tmp_path.rglob("out/**/*.part")) < 1_000_000


def test_a_host_that_sends_nothing(repo, tmp_path):
    with web_host.serving(repo) as host:
        host.stalls = ("timestamp.json",)
        with pytest.raises(SynthMedError, match=r"metadata/timestamp.json comes too slowly or not at all"):
            Repository(Source(host.url, seconds=0.2), cache=tmp_path / "cache")


def test_a_pipe_in_the_place_of_a_file(repo, read):
    import os

    path = repo / "targets/phantom/1.0.0/README.md"
    path.unlink()
    os.mkfifo(path)
    said = "targets/phantom/1.0.0/README.md could not be read (it is no regular file)"
    assert _refusal(read, repo).startswith(said)


def test_a_file_that_is_missing(repo, read):
    (repo / "targets/phantom/1.0.0/README.md").unlink()
    said = f"targets/phantom/1.0.0/README.md is missing{NOTHING}; try again, or ask the publisher."
    assert _refusal(read, repo) == said


def test_a_folder_without_a_repository(tmp_path, read):
    (tmp_path / "empty").mkdir()
    said = "there is no repository here (metadata/1.root.json is missing); check the address."
    assert _refusal(read, tmp_path / "empty") == said


def test_a_root_with_another_fingerprint(repo, read, tmp_path):
    fingerprint = hashlib.sha256((repo / "metadata/1.root.json").read_bytes()).hexdigest()
    said = _refusal(read, repo, "phantom", Trust(fingerprint="0" * 64))
    assert said.endswith(
        f"has a root with the fingerprint {fingerprint}, not {'0' * 64}; ask the publisher, and do not use it until "
        "you know."
    )
    assert not list(tmp_path.rglob("anchor.json"))
    spelled = ":".join(fingerprint[i : i + 2].upper() for i in range(0, 64, 2))
    assert read(repo, "phantom", Trust(fingerprint=spelled)).fetched == 11


def test_a_repository_that_was_made_again_needs_its_new_root(repo, read, tmp_path):
    read(repo)
    other = published.make(tmp_path / "again", "phantom@1.0.0", formats=("imagefolder",))
    _show(other, repo)
    assert _refusal(read, repo).startswith("metadata/timestamp.json is not signed with the keys that are trusted")
    root = (repo / "metadata/1.root.json").read_bytes()
    assert read(repo, "phantom", Trust(root=root)).fetched == 0
    assert read(repo).fetched == 0  # it is remembered


def test_a_root_that_is_no_root(repo, read, tmp_path):
    (repo / "metadata/1.root.json").write_text("{}")
    assert _refusal(read, repo) == f"metadata/1.root.json is damaged or cut short: it is no metadata{NOTHING}."


def test_a_reader_goes_on_after_a_publisher_wrote_in_between(repo, tmp_path):
    repository = Repository(Source(repo), cache=tmp_path / "cache")
    for number in range(1, 11):  # more than superseded metadata is kept
        publishing.withdraw(repo, repo.parent / "keys", "other@1.0.0", "a reason") if number == 1 else _publish(
            repo, number
        )
    assert repository.entry("phantom@1.0.0").count == published.COUNT
    assert download(repository, "phantom@1.0.0", tmp_path / "out").fetched == 11


def _publish(repo, number):
    from synthmed_tf.repository.publish import transaction

    with transaction.opened(repo, repo.parent / "keys") as opened:
        row = next(iter(opened.rows.values()))
        opened.rows[row.id] = row.model_copy(update={"title": f"title {number}"})


def test_a_set_that_is_withdrawn_while_it_is_fetched(repo, read):
    with web_host.serving(repo) as host:
        done = []

        def withdraw(path):
            if path.endswith(ZIP) and not done:
                done.append(path)
                publishing.withdraw(repo, repo.parent / "keys", "phantom@1.0.0", "pair 2 is a copy\x1b[31m\u202e.")

        host.before = withdraw
        with pytest.raises(SynthMedError) as refused:
            read(host.url)
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    said = f"phantom@1.0.0 was withdrawn on {today}: pair 2 is a copy\ufffd[31m\ufffd; do not use it any more."
    assert str(refused.value) == said


def test_the_newest_version_in_circulation_is_taken(repo, tmp_path):
    keys = repo.parent / "keys"
    for version in ("1.9.0", "1.10.0", "2.0.0"):
        published.publish(repo.parent, f"phantom@{version}", formats=("imagefolder",))
    publishing.withdraw(repo, keys, "phantom@2.0.0", "a reason")
    repository = Repository(Source(repo), cache=tmp_path / "cache")
    assert repository.entry("phantom").version == "1.10.0"
    with pytest.raises(SynthMedError, match=r"^phantom@2.0.0 was withdrawn on .*: a reason; do not use it any more.$"):
        repository.entry("phantom@2.0.0")
    with pytest.raises(SynthMedError, match="has no version 3.0.0 of phantom; leave the version out"):
        repository.entry("phantom@3.0.0")
    with pytest.raises(SynthMedError, match="has no set absent; synthmed search shows what it has"):
        repository.entry("absent")

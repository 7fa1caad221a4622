"""A new repository and its keys."""

import hashlib
import json
import os
import shutil
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from helpers import repositories

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import Index
from synthmed_tf.repository.publish import new_repository

ROLES = ("root", "snapshot", "targets", "timestamp")


@pytest.fixture
def made(tmp_path):
    new_repository.init(tmp_path / "repo", tmp_path / "keys", "A repository")
    return tmp_path


def test_an_empty_repository_is_accepted_by_a_client(tmp_path):
    fingerprint = new_repository.init(tmp_path / "repo", tmp_path / "keys", "Ein Titel <b>")
    index, contents = repositories.Reader(tmp_path / "repo", tmp_path / "cache").read()
    assert index == Index(title="Ein Titel <b>") and contents == {}
    root = (tmp_path / "repo" / "metadata" / "1.root.json").read_bytes()
    assert fingerprint == hashlib.sha256(root).hexdigest()
    assert sorted(repositories.contents(tmp_path / "repo" / "metadata")) == [
        "1.root.json",
        "1.snapshot.json",
        "1.targets.json",
        "timestamp.json",
    ]


def test_only_the_owner_can_read_the_keys(made):
    assert stat.S_IMODE((made / "keys").stat().st_mode) == 0o700
    assert sorted(path.name for path in (made / "keys").iterdir()) == [f"{role}.pem" for role in ROLES]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made / "keys").iterdir()} == {0o600}


def test_each_role_has_its_own_key_and_its_days(tmp_path):
    new_repository.init(tmp_path / "repo", tmp_path / "keys", "A repository", expires_days=100)
    root = json.loads((tmp_path / "repo" / "metadata" / "1.root.json").read_bytes())["signed"]
    assert root["consistent_snapshot"] is True
    assert len({tuple(role["keyids"]) for role in root["roles"].values()}) == 4
    days = {name: role["x-synthmed-expires-days"] for name, role in root["roles"].items()}
    assert days == {"root": 730, "targets": 365, "snapshot": 100, "timestamp": 100}


@pytest.mark.parametrize("inside", ["repo", "repo/keys", "link/keys"])
def test_keys_do_not_lie_in_the_repository(tmp_path, inside):
    (tmp_path / "link").symlink_to("repo")
    with pytest.raises(SynthMedError, match="which is for all to see; keep the keys elsewhere"):
        new_repository.init(tmp_path / "repo", tmp_path / inside, "A repository")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_nothing_is_overwritten(made):
    before = repositories.contents(made)
    with pytest.raises(SynthMedError, match="repo is there and not empty; choose another folder"):
        new_repository.init(made / "repo", made / "other", "A repository")
    with pytest.raises(SynthMedError, match=r"root\.pem is there; keys are not overwritten: choose another --keys"):
        new_repository.init(made / "new", made / "keys", "A repository")
    assert repositories.contents(made) == before


def test_keys_go_again_where_the_repository_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SynthMedError, match="cannot be written"):
        new_repository.init(tmp_path / "file" / "repo", tmp_path / "keys", "A repository")
    assert repositories.contents(tmp_path) == {"file": b""}


@pytest.mark.parametrize("title", ["", "x" * 301])
def test_a_title_that_is_none(tmp_path, title):
    with pytest.raises(SynthMedError, match=f"The title has {len(title)} characters; it must have 1 to 300"):
        new_repository.init(tmp_path / "repo", tmp_path / "keys", title)
    assert list(tmp_path.iterdir()) == []


def _pem(private, encryption):
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _spoil(path, how):
    plain = serialization.NoEncryption()
    if how == "missing":
        path.unlink()
    elif how == "garbage":
        path.write_bytes(b"\0" * 40)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "other":
        path.write_bytes(_pem(Ed25519PrivateKey.generate(), plain))
    elif how == "passphrase":
        path.write_bytes(_pem(Ed25519PrivateKey.generate(), serialization.BestAvailableEncryption(b"secret")))
    elif how == "rsa":
        path.write_bytes(_pem(rsa.generate_private_key(65537, 2048), plain))
    elif how == "swapped":
        shutil.copy(path.with_name("root.pem"), path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "is missing; name the folder with the repository's keys by --keys or SYNTHMED_KEYS"),
        ("garbage", "is not a key in PEM without a passphrase"),
        ("folder", "cannot be read (Is a directory); see to its owner and mode"),
        ("other", "is not the targets key of this repository"),
        ("passphrase", "is not a key in PEM without a passphrase"),
        ("rsa", "is not an ed25519 key"),
        ("swapped", "is not the targets key of this repository"),
    ],
)
def test_a_key_that_does_not_sign(made, how, said):
    _spoil(made / "keys" / "targets.pem", how)
    before = repositories.contents(made / "repo")
    with pytest.raises(SynthMedError) as caught:
        repositories.add(made / "repo", made / "keys", "first")
    assert str(caught.value).startswith(f"{made / 'keys' / 'targets.pem'} {said}")
    assert repositories.contents(made / "repo") == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_that_may_not_be_read(made):
    (made / "keys" / "targets.pem").chmod(0)
    with pytest.raises(SynthMedError, match="cannot be read .Permission denied.; see to its owner and mode"):
        repositories.add(made / "repo", made / "keys", "first")


def test_publishing_does_not_need_the_root(made):
    (made / "keys" / "root.pem").unlink()
    repositories.add(made / "repo", made / "keys", "first")
    assert repositories.Reader(made / "repo", made / "cache").read()[1] == repositories.held("first")

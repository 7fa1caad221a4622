"""Fresh signatures and new keys, as python-tuf's own client sees them."""

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from helpers import killed, repositories
from helpers.paths import ENVIRONMENT

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository import keys as keyring
from synthmed_tf.repository.publish import key_rotation, new_repository
from synthmed_tf.repository.signed_metadata import Chain, set_days

BOTH = repositories.held("first") | repositories.held("second")


@pytest.fixture
def made(tmp_path) -> Path:
    """A folder with a repository of two versions, its keys, and a reader's cache in use."""
    new_repository.init(tmp_path / "repo", tmp_path / "keys", "A repository")
    for name in ("first", "second"):
        repositories.add(tmp_path / "repo", tmp_path / "keys", name)
    return tmp_path


@pytest.fixture
def reader(made):
    """Who has read the repository before."""
    reader = repositories.Reader(made / "repo", made / "cache")
    assert reader.read()[1] == BOTH
    return reader


def _versions(repository):
    chain = Chain.read(repository)
    found = {role: getattr(chain, role).signed.version for role in keyring.ROLES}
    return found | {name: chain.role(name).signed.version for name in chain.names}


def _age(repository, keys, role):
    """Lets what a role signed end tomorrow, though it is meant to be good for longer."""
    signers = {name: keyring.load(keyring.place(keys, name)) for name in keyring.ROLES}
    chain = Chain.read(repository)
    usual = {"root": 730, "targets": 365, "snapshot": 90}[role]
    set_days(chain.root.signed, role, 1)
    if role == "targets":
        chain.commit(signers, {name: chain.role(name) for name in sorted(chain.names)} | {"targets": chain.targets})
    elif role == "snapshot":
        chain.renew_snapshot(signers)
        chain.commit(signers, {})
    if role == "root":
        chain.renew_root([signers["root"]])
        path = repository / "metadata" / f"{chain.root.signed.version}.root.json"
        chain.root.signed.roles["root"].unrecognized_fields["x-synthmed-expires-days"] = usual
        chain.root.sign(signers["root"])
        path.write_bytes(chain.root.to_bytes())


def test_a_fresh_repository_gets_a_new_timestamp_alone(made, reader):
    before = _versions(made / "repo")
    assert key_rotation.refresh(made / "repo", made / "keys") == key_rotation.Refreshed((), {})
    assert _versions(made / "repo") == before | {"timestamp": before["timestamp"] + 1}
    assert reader.read()[1] == BOTH


def test_the_timestamps_key_suffices(made, reader):
    for role in ("root", "targets", "snapshot"):
        (made / "keys" / f"{role}.pem").unlink()
    key_rotation.refresh(made / "repo", made / "keys")
    assert reader.read()[1] == BOTH


@pytest.mark.parametrize(
    ("role", "renewed"),
    [
        ("root", {"root"}),
        ("snapshot", {"snapshot"}),
        ("targets", {"targets", "snapshot", "first@1.0.0", "second@1.0.0"}),
    ],
)
def test_what_nears_its_end_is_signed_again(made, reader, role, renewed):
    _age(made / "repo", made / "keys", role)
    before = _versions(made / "repo")
    assert key_rotation.refresh(made / "repo", made / "keys") == key_rotation.Refreshed((role,), {})
    after = _versions(made / "repo")
    assert {name for name in after if after[name] == before[name] + 1} == renewed | {"timestamp"}
    assert {name for name in after if after[name] not in (before[name], before[name] + 1)} == set()
    assert key_rotation.refresh(made / "repo", made / "keys").signed == ()
    assert reader.read()[1] == BOTH


@pytest.mark.parametrize("role", ["root", "targets", "snapshot"])
def test_what_nears_its_end_without_its_key_is_said(made, role):
    _age(made / "repo", made / "keys", role)
    (made / "keys" / f"{role}.pem").unlink()
    found = key_rotation.refresh(made / "repo", made / "keys")
    assert found.signed == () and list(found.missing) == [role]
    left = found.missing[role] - datetime.now(timezone.utc)
    assert timedelta(hours=23) < left <= timedelta(days=1)


def test_refresh_with_another_timestamps_key(made):
    shutil.copy(made / "keys" / "root.pem", made / "keys" / "timestamp.pem")
    with pytest.raises(SynthMedError, match="timestamp.pem is not the timestamp key of this repository"):
        key_rotation.refresh(made / "repo", made / "keys")


@pytest.mark.parametrize("role", keyring.ROLES)
def test_a_key_is_replaced(made, reader, role):
    stolen = made / "stolen"
    shutil.copytree(made / "keys", stolen)
    if role != "root":
        (made / "keys" / f"{role}.pem").unlink()  # a lost key is replaced as well
    key_rotation.rotate(made / "repo", made / "keys", role)
    assert sorted(path.name for path in (made / "keys").iterdir()) == sorted(f"{name}.pem" for name in keyring.ROLES)
    assert (made / "keys" / f"{role}.pem").read_bytes() != (stolen / f"{role}.pem").read_bytes()
    for user in (reader, repositories.Reader(made / "repo", made / "new")):
        assert user.read()[1] == BOTH
    repositories.add(made / "repo", made / "keys", "third")
    assert reader.read()[1] == BOTH | repositories.held("third")
    if role == "root":
        with pytest.raises(SynthMedError, match="root.pem is not the root key"):
            key_rotation.rotate(made / "repo", stolen, "targets")
    else:
        with pytest.raises(SynthMedError, match=f"{role}.pem is not the {role} key"):
            repositories.add(made / "repo", stolen, "fourth")


def test_the_roots_key_brings_all_others_back(made, reader):
    for role in keyring.ONLINE:
        (made / "keys" / f"{role}.pem").unlink()
    with pytest.raises(SynthMedError, match="snapshot.pem is missing"):
        key_rotation.rotate(made / "repo", made / "keys", "targets")
    for role in reversed(keyring.ONLINE):
        key_rotation.rotate(made / "repo", made / "keys", role)
    repositories.add(made / "repo", made / "keys", "third")
    assert reader.read()[1] == BOTH | repositories.held("third")


def test_a_clients_python_tuf_refuses_what_a_replaced_key_signs(made, reader):
    """Not this package's own checks: anybody with the old key has a program of their own."""
    old = keyring.load(made / "keys" / "timestamp.pem")
    key_rotation.rotate(made / "repo", made / "keys", "timestamp")
    chain = Chain.read(made / "repo")
    chain.commit({"timestamp": old}, {})
    from tuf.api.exceptions import UnsignedMetadataError

    with pytest.raises(UnsignedMetadataError, match="timestamp was signed by 0/1 keys"):
        reader.read()


def test_publishing_waits_for_the_end_of_a_rotation_that_was_stopped(made):
    chain = Chain.read(made / "repo")
    root = keyring.load(made / "keys" / "root.pem")
    chain.root.signed.add_key(keyring.make(made / "keys" / "targets.new.pem").public_key, "targets")
    chain.renew_root([root])
    with pytest.raises(SynthMedError, match="run synthmed repository rotate --role targets again"):
        repositories.add(made / "repo", made / "keys", "third")
    key_rotation.rotate(made / "repo", made / "keys", "targets")
    repositories.add(made / "repo", made / "keys", "third")
    assert Chain.read(made / "repo").names == {"first@1.0.0", "second@1.0.0", "third@1.0.0"}


@pytest.mark.slow
@pytest.mark.parametrize("role", keyring.ROLES)
def test_killed_before_any_file_operation_of_a_rotation(made, role):
    """In another process, which holds no TensorFlow and can be forked."""
    done = subprocess.run([sys.executable, __file__, made, role], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) > 8


def _kill_before_each(made: Path, role: str) -> int:
    shutil.copytree(made, made / "start")
    repository, keys = made / "repo", made / "keys"
    kills = 0
    for moment in killed.moments(lambda: key_rotation.rotate(repository, keys, role), made):
        reader = repositories.Reader(repository, made / f"cache{moment}")
        assert reader.read()[1] == BOTH
        key_rotation.rotate(repository, keys, role)
        repositories.add(repository, keys, "third")
        assert reader.read()[1] == BOTH | repositories.held("third")
        for name in ("repo", "keys"):
            shutil.rmtree(made / name)
            shutil.copytree(made / "start" / name, made / name)
        kills += 1
    return kills


if __name__ == "__main__":
    print(_kill_before_each(Path(sys.argv[1]), sys.argv[2]))

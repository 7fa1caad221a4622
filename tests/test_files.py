"""Files and folders that are never half-written."""

import hashlib
import os
import stat

import pytest

from synthmed_tf import files


def _names(folder):
    return sorted(os.listdir(folder))


def test_a_file_is_replaced_whole(tmp_path):
    files.write_text(tmp_path / "new" / "a.txt", "grüße")
    files.write_bytes(tmp_path / "new" / "a.txt", b"second")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"second"
    assert _names(tmp_path / "new") == ["a.txt"]


def test_text_is_utf8(tmp_path):
    files.write_text(tmp_path / "a.txt", "ü")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xbc"


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    files.write_bytes(tmp_path / "a", b"old")
    with pytest.raises(RuntimeError), files.replaced_file(tmp_path / "a") as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"old" and _names(tmp_path) == ["a"]


def test_a_folder_in_the_way_of_a_file_is_kept(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        files.write_bytes(tmp_path / "a", b"new")
    assert _names(tmp_path) == ["a"]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "deep" / "model"
    for content in ("first", "second"):
        with files.replaced_folder(target) as new:
            (new / content).write_text(content)
            assert not (target / content).exists()
    assert _names(target) == ["second"] and _names(target.parent) == ["model"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_an_error_while_filling_a_folder_leaves_the_old_one(tmp_path):
    with files.replaced_folder(tmp_path / "model") as new:
        (new / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.replaced_folder(tmp_path / "model") as new:
        (new / "half").touch()
        raise KeyboardInterrupt
    assert _names(tmp_path) == ["model"] and _names(tmp_path / "model") == ["old"]


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(FileNotFoundError), files.replaced_folder(tmp_path / "model") as new:
        new.rmdir()
    assert _names(tmp_path) == ["model"] and _names(tmp_path / "model") == ["old"]


@pytest.mark.parametrize("name", [".a.host.588.part", ".a.host.58812.part", ".model.k3_x9abc"])
def test_what_killed_processes_left_is_removed(tmp_path, name):
    """With a process number of three digits the end of a file's name is as long as that of a folder's."""
    (tmp_path / name).touch()
    (tmp_path / "a").touch()
    files.clear_remains(tmp_path)
    assert _names(tmp_path) == ["a"]


def test_a_durable_file_is_replaced_whole(tmp_path):
    for content in (b"first", b"second"):
        files.write_bytes(tmp_path / "new" / "a", content, durable=True)
    assert (tmp_path / "new" / "a").read_bytes() == b"second" and _names(tmp_path / "new") == ["a"]


def test_a_link_to_a_folder_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to("disk")
    with files.replaced_folder(tmp_path / "model") as new:
        (new / "new").touch()
    assert (tmp_path / "model").is_symlink() and _names(tmp_path / "disk") == ["new"]
    assert _names(tmp_path) == ["disk", "model"]


def test_the_present_folder_can_be_replaced(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with files.replaced_folder(".") as new:
        (new / "new").touch()
    assert _names(tmp_path / "here") == ["new"]


def test_sha256_of_more_than_one_block(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()

"""Addresses of object stores. What is done with them is tried in generation/test_object_stores.py, on servers."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from synthmed_tf import stores
from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError


def test_a_path_stays_a_path():
    for name in ("sets/one", Path("sets/one")):
        assert stores.place(name) == Path("sets/one") and not stores.in_store(stores.place(name))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://host/set", "begins with ftp://, which is not read; give a folder, or one of s3://, gs://, abfs://"),
        ("s3://bucket", "names no folder in a store; give one such as s3://bucket/NAME"),
        ("gs:///set", "names no folder in a store; give one such as gs://BUCKET/NAME"),
        ("s3://bucket/a/../b", "names no folder in a store"),
    ],
)
def test_other_addresses_are_refused(address, said):
    with pytest.raises(SynthMedError) as refused:
        stores.place(address)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "address", ["s3://key:hidden@bucket/set", "gs://hidden@bucket/set", "abfs://box/set?sig=hidden"]
)
def test_a_credential_in_an_address_is_refused_and_not_repeated(address):
    with pytest.raises(SynthMedError, match="holds a credential; leave it out") as refused:
        stores.place(address)
    assert "hidden" not in str(refused.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SynthMedError, match=r's3fs.*run pip install "synthmed-tf\[s3\]"'):
        stores.place("s3://bucket/set")


def test_an_option_that_needs_a_disk_says_so():
    ran = CliRunner().invoke(main, ["status", "s3://bucket/run"])
    assert ran.exit_code == 2 and "needs a folder on this disk" in ran.output


def test_a_reason_is_one_line_without_credentials():
    error = OSError("Denied: http://host/box/a?sig=hidden&se=1 AccountKey=hidden;\nmore")
    assert stores.reason(error) == "Denied: http://host/box/a... Account..."
    assert stores.reason(OSError()) == "OSError"

"""What the tests of data share."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """Makes empty files in a new folder: finding pairs reads names alone."""

    def make(*names):
        for name in names:
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "data"

    return make

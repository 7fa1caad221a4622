"""What several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets (chase_db1/, hrf/): SYNTHMED_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("SYNTHMED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (folder / "chase_db1").is_dir() or not (folder / "hrf").is_dir():
        pytest.skip(f"no chase_db1/ and hrf/ in {folder}; set SYNTHMED_DATA")
    return folder

"""Where benchmarks leave their results: a JSON file, and a table in docs/performance.md."""

import json
import platform
from pathlib import Path
from typing import Any

from synthmed_tf import files

_ROOT = Path(__file__).resolve().parents[1]
RESULTS = _ROOT / "benchmarks" / "results"
_PAGE = _ROOT / "docs" / "performance.md"


def save(name: str, results: dict[str, Any], table: str, folder: Path = RESULTS) -> None:
    """Writes `folder/name.json`; into the repository's own folder it also puts the table on the page, and prints it."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"processor": processor(), "python": platform.python_version()}
    files.write_text(folder / f"{name}.json", json.dumps(about | results, indent=2) + "\n")
    print(table)
    if folder == RESULTS and _PAGE.exists():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = _PAGE.read_text(encoding="utf-8").partition(begin)
        _, found, after = rest.partition(end)
        if found:
            files.write_text(_PAGE, before + begin + "\n" + table.strip() + "\n\n" + end + after)


def table(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; numbers right-aligned as they come."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def processor() -> str:
    """The processor's name, and how many cores this process sees."""
    import os

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"

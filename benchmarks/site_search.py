"""The start page over many sets: bytes of the first page, and milliseconds per keystroke in Chromium.

cd tests/web && npm ci && cd ../..
python benchmarks/site_search.py --sets 5000
"""

import argparse
import functools
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

from synthmed_tf.data.phantom import generate_phantom
from synthmed_tf.evaluation.verdict import State
from synthmed_tf.images import encode_png
from synthmed_tf.repository.entry import Index, Row
from synthmed_tf.site import building, listing
from synthmed_tf.site.rendering import Pages

_HERE = Path(__file__).resolve().parent
_ORGANS = {"retina": "fundus photography", "lung": "radiography", "skin": "dermoscopy", "colon": "endoscopy"}
_LICENSES = ("CC-BY-4.0", "CC0-1.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0")
_WORDS = ("adult", "paediatric", "wide-field", "macula", "left", "right", "screening", "diabetic", "healthy", "myopia")


def main() -> None:
    """Prints the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=5000)
    sets = parser.parse_args().sets
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        shutil.copytree(Path(building.__file__).parent / "static", site / "static")
        rows = tuple(_row(number) for number in range(sets))
        listing.write(Index(title="Many sets", entries=rows), Pages(site, "Many sets"))
        for row in rows:
            thumbnail = site / "repository/targets" / row.name / row.version / row.thumbnail
            thumbnail.parent.mkdir(parents=True)
            thumbnail.write_bytes(_image(int(row.name.split("-")[1]) % 8))
        metrics = {"sets": sets, "bytes": _bytes(site)} | _in_chromium(site)
    print(json.dumps(metrics, indent=2))


def _row(number: int) -> Row:
    organ, modality = list(_ORGANS.items())[number % len(_ORGANS)]
    words = [_WORDS[number // step % len(_WORDS)] for step in (1, 10, 100)]
    return Row(
        name=f"set-{number:05d}",
        version="1.0.0",
        title=f"Synthetic {modality} of the {organ}, {' '.join(words)}",
        organ=organ,
        modality=modality,
        size=64 << number % 5,
        count=1000 + number,
        bytes=10_000_000,
        formats=("imagefolder", "tfrecord"),
        license=_LICENSES[number % len(_LICENSES)],
        published=datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=number),
        verdict=[None, *State][number % 4],
        generator=number % 3 == 0,
        keywords=tuple(words),
        thumbnail="thumbnail.png",
    )


@functools.cache
def _image(seed: int) -> bytes:
    return encode_png(generate_phantom(128, seed, 0).image)


def _bytes(site: Path) -> dict[str, int]:
    first = ("index.html", "static/site.css", "static/search.mjs", "static/icon.svg")
    return {name: (site / name).stat().st_size for name in (*first, listing.SEARCH)} | {
        "first page without images": sum((site / name).stat().st_size for name in first)
    }


def _in_chromium(site: Path) -> dict:
    handler = functools.partial(_Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = ["node", _HERE / "site_search.mjs", f"http://127.0.0.1:{server.server_port}/"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        server.shutdown()
    return json.loads(done.stdout)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


if __name__ == "__main__":
    main()

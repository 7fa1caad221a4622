"""The pages of a repository: what is written, what is refused, and how they are served; no browser is needed."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from datetime import datetime, timezone
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner
from helpers import sites
from helpers.paths import TESTS

from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation.verdict import Result, State
from synthmed_tf.repository.entry import Entry, File, Generator, Index, Row
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.fetching import Source
from synthmed_tf.serving.listening import listen
from synthmed_tf.site import building, entry_page, hosting, listing, rendering, report_page
from synthmed_tf.site.rendering import Pages

NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
ENTRY = "entries/eyes/1.1.0/index.html"


@pytest.fixture(scope="module")
def repository(tiny_artifact, tmp_path_factory):
    """Not to be changed."""
    return sites.make(tmp_path_factory.mktemp("repository"), tiny_artifact)


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory):
    """Without ONNX Runtime Web. Not to be changed."""
    out = tmp_path_factory.mktemp("built") / "site"
    building.build(repository, out)
    return out


@pytest.fixture
def copy(repository, tmp_path):
    """A repository to change."""
    return shutil.copytree(repository, tmp_path / "copy")


@pytest.fixture
def package(tmp_path):
    """What stands for the npm package."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": building.RUNTIME_VERSION}))
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "ort.all.min.js"):
        (folder / "dist" / name).write_text(name)
    return folder


def _row(name, version="1.0.0", **changed):
    facts = {"title": f"Title of {name}", "organ": "retina", "modality": "fundus photography", "size": 64, "count": 1}
    facts |= {"bytes": 9, "formats": ("imagefolder",), "license": "CC0-1.0", "published": NOON, "verdict": None}
    return Row(name=name, version=version, **(facts | changed))


def _read(folder, path):
    return (folder / path).read_text(encoding="utf-8")


def test_every_version_has_a_page_and_every_link_leads_somewhere(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html") if "repository" not in path.parts}
    versions = {"eyes/0.9.0", "eyes/1.0.0", "eyes/1.1.0", "plain/1.0.0", "gone/1.0.0", "hostile/1.0.0"}
    assert pages == {"index.html", "entries/eyes/1.1.0/report.html"} | {f"entries/{v}/index.html" for v in versions}
    for page in pages:
        for link in re.findall(r'(?:href|src)="([^"#][^"]*)"', _read(site, page)):
            assert not link.startswith(("/", "http")), (page, link)
            assert ((site / page).parent / link).is_file(), (page, link)


def test_the_repository_beside_the_pages_is_whole(site, repository, tmp_path):
    there = Repository(Source(site / "repository"), cache=tmp_path)
    assert there.index.title == sites.TITLE and there.entry("eyes").version == "1.1.0"
    announced = {p.relative_to(repository) for p in (repository / "targets").rglob("*") if p.is_file()}
    placed = {p.relative_to(site / "repository") for p in (site / "repository/targets").rglob("*") if p.is_file()}
    assert placed == announced


def test_what_is_not_announced_stays_behind(copy, tmp_path):
    (copy / "targets/eyes/1.1.0/secret.txt").write_text("private")
    (copy / "targets/extra").mkdir()
    building.build(copy, tmp_path / "site")
    assert (
        not list((tmp_path / "site").rglob("secret.txt")) and not (tmp_path / "site/repository/targets/extra").exists()
    )


def test_pages_have_policies_and_nothing_inline(site):
    for page in site.glob("**/*.html"):
        text = page.read_text()
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert policy.startswith("default-src &#39;none&#39;; style-src &#39;self&#39;;")
        assert "unsafe-inline" not in policy and "wasm-unsafe-eval" not in policy
        assert not re.search(
            r"<style|\sstyle=|\son\w+=\"|<script(?![^>]*\ssrc=)|(?:href|src)=\"(?:javascript|data):", text
        )


def test_pages_that_generate_may_compile_wasm(repository, package, tmp_path):
    building.build(repository, tmp_path / "site", package)
    assert "wasm-unsafe-eval" in _read(tmp_path, f"site/{ENTRY}")
    assert "wasm-unsafe-eval" not in _read(tmp_path, "site/entries/plain/1.0.0/index.html")
    placed = sorted(path.name for path in (tmp_path / "site/static/ort").iterdir())
    assert placed == ["ort-wasm-simd-threaded.wasm", "ort.wasm.bundle.min.mjs"]


def test_a_site_is_replaced_and_the_same_bytes(repository, site, tmp_path):
    out = tmp_path / "site"
    building.build(repository, out)
    (out / "stale.html").write_text("of a version that is gone")
    building.build(repository, out)
    contents = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (out, site)]
    assert contents[0] == contents[1]


def test_another_folder_is_not_replaced(repository, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/thesis.txt").write_text("years of work")
    with pytest.raises(SynthMedError, match="is there and holds no site; choose another or remove it"):
        building.build(repository, tmp_path / "notes")
    assert _read(tmp_path, "notes/thesis.txt") == "years of work"


@pytest.mark.parametrize("out", [".", "site", ".."])
def test_site_and_repository_do_not_lie_in_each_other(copy, out):
    with pytest.raises(SynthMedError, match="lie in each other; choose another --out"):
        building.build(copy, copy / out)


def test_an_image_that_was_changed_is_not_shown(copy, tmp_path):
    image = next((copy / "targets/plain/1.0.0/previews").iterdir())
    image.write_bytes(image.read_bytes()[:-1] + b"!")
    with pytest.raises(SynthMedError, match="is not the file that is signed"):
        building.build(copy, tmp_path / "site")
    assert not (tmp_path / "site").exists() and [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_an_entry_that_was_changed_is_not_shown(copy, tmp_path):
    entry = copy / "targets/plain/1.0.0/entry.json"
    entry.write_text(entry.read_text().replace("CC0-1.0", "CC0-2.0"))
    with pytest.raises(SynthMedError, match=r"plain/1\.0\.0/entry\.json"):
        building.build(copy, tmp_path / "site")


def test_a_publisher_at_the_same_time_ends_it(copy, tmp_path):
    stamp = copy / "metadata/timestamp.json"
    with pytest.raises(SynthMedError, match="has changed while its pages were made; run the same command again"):
        building.build(copy, tmp_path / "site", progress=lambda *_: stamp.write_bytes(stamp.read_bytes() + b" "))
    assert not (tmp_path / "site").exists()


def test_a_link_in_the_repository_is_not_followed(copy, tmp_path):
    (tmp_path / "private").write_bytes((copy / "targets/plain/1.0.0/README.md").read_bytes())
    (copy / "targets/plain/1.0.0/README.md").unlink()
    os.symlink(tmp_path / "private", copy / "targets/plain/1.0.0/README.md")
    with pytest.raises(SynthMedError, match="is a link, which a repository must not hold"):
        building.build(copy, tmp_path / "site")


def test_the_command_ends_with_a_sentence(tmp_path):
    result = CliRunner().invoke(main, ["site", "build", str(tmp_path / "none"), "--out", str(tmp_path / "site")])
    assert (result.exit_code, result.stdout) == (2, "")
    why = "is not a repository: it has no metadata/timestamp.json; name another folder."
    assert result.stderr == f"synthmed: {tmp_path / 'none'} {why}\n"


def test_the_command(repository, tmp_path):
    result = CliRunner().invoke(main, ["site", "build", str(repository), "--out", str(tmp_path / "site")])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"the site is in {tmp_path / 'site'}; ")
    assert sites.TITLE in _read(tmp_path, "site/index.html")


def test_the_runtime_has_one_version(package, tmp_path):
    pinned = json.loads((TESTS / "web/package.json").read_text())["dependencies"]
    assert pinned["onnxruntime-web"] == building.RUNTIME_VERSION
    assert building.place_runtime(package, tmp_path / "ort") == len(
        "ort.wasm.bundle.min.mjs" + "ort-wasm-simd-threaded.wasm"
    )
    (package / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.2.3"}')
    with pytest.raises(SynthMedError, match="is onnxruntime-web 1.2.3; run npm install onnxruntime-web@"):
        building.place_runtime(package, tmp_path / "ort")
    with pytest.raises(SynthMedError, match="is not an npm package"):
        building.place_runtime(tmp_path, tmp_path / "ort")


def test_a_page_has_so_many_sets_and_leads_to_the_next(tmp_path):
    rows = tuple(_row(f"set-{n:03d}", published=NOON.replace(minute=n % 60, hour=n // 60)) for n in range(100))
    listing.write(Index(title="Many", entries=rows), Pages(tmp_path, "Many"))
    found = [
        re.findall(r'<p class="id">([^@<]+)@', _read(tmp_path, p)) for p in ("index.html", "page/2.html", "page/3.html")
    ]
    assert [len(page) for page in found] == [48, 48, 4]
    assert found[0][0] == "set-099" and sum(found, []) == [f"set-{n:03d}" for n in reversed(range(100))]
    assert 'rel="next" href="../page/3.html"' in _read(tmp_path, "page/2.html")
    assert 'rel="prev" href="../index.html"' in _read(tmp_path, "page/2.html")


def test_a_repository_without_sets_has_a_page(tmp_path):
    listing.write(Index(title="Empty"), Pages(tmp_path, "Empty"))
    assert "Nothing has been published yet." in _read(tmp_path, "index.html")
    assert json.loads(_read(tmp_path, "search.json"))["rows"] == []


def test_a_set_is_shown_by_its_newest_version_in_circulation():
    gone = {"date": NOON, "reason": "a leak"}
    rows = [_row("a", "1.10.0", withdrawn=gone), _row("a", "1.9.0"), _row("a", "1.2.0"), _row("b", withdrawn=gone)]
    shown = listing.cards(Index(title="Two", entries=tuple(rows)))
    assert [(card.row.id, card.extra) for card in shown] == [
        ("a@1.9.0", "2 versions, 1 withdrawn"),
        ("b@1.0.0", "2026-11-25: a leak"),
    ]


def _entry(generator, size=10):
    files = (File(path="generator/generator.onnx", size=size, sha256="ab" * 32, role="generator"),)
    return Entry.model_construct(name="a", version="1.0.0", generator=generator, files=files)


def test_what_cannot_be_generated_says_why():
    shared = Generator(onnx="generator/generator.onnx")
    assert entry_page.in_browser(_entry(shared), True).file.size == 10
    assert "does not share" in entry_page.in_browser(_entry(None), True).why
    assert "SavedModel alone" in entry_page.in_browser(_entry(Generator(savedmodel="x")), True).why
    assert "--onnxruntime-web" in entry_page.in_browser(_entry(shared), False).why
    too_large = entry_page.in_browser(_entry(shared, 1_000_000_001), True)
    assert (too_large.file, too_large.why) == (
        None,
        "The generator has 1.0 GB; up to 1.0 GB can be generated with in a browser.",
    )


def test_words():
    assert [rendering.size(count) for count in (0, 1, 999, 1000, 999_949, 999_950, 14_239_897, 2_500_000_000)] == [
        *("0 bytes", "1 byte", "999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "14.2 MB", "2.5 GB")
    ]
    assert rendering.shown("a\u202eb\x07\u200bc") == "a\ufffdb\ufffd\ufffdc"
    assert rendering.paragraphs("one\ntwo\r\n\r\n\nthree\n \n") == ["one two", "three"]
    assert rendering.counted(1, "pair") == "1 pair" and rendering.counted(5000, "pair") == "5,000 pairs"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://example.org/a?b=c", "https://example.org/a?b=c"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("//example.org", None),
        ("https://user@example.org", None),
        ("https://[", None),
        ("https://example.org/\u202e", None),
        (None, None),
    ],
)
def test_only_web_addresses_are_links(text, address):
    assert rendering.web_address(text) == address


class Inner(Result):
    value: float


class Line(Result):
    name: str
    kid: Inner | None = None
    more: tuple[int, ...] = ()


class Whole(Result):
    pairs: int = 1200
    low: float = math.nan
    works: bool = True
    p: float = 0.012345
    names: tuple[str, ...] = ()
    side: Inner = Inner(value=64)
    rows: tuple[Line, ...]
    data: dict[str, Any] | None = None


def test_results_become_flat_tables():
    whole = Whole(rows=[Line(name="a", kid=Inner(value=1.5)), Line(name="b", more=(1, 2))])
    single, rows, side = report_page.tables("section", whole)
    assert single.rows == [
        ("Pairs", "1,200"),
        ("Low", "–"),
        ("Works", "yes"),
        ("P", "0.01235"),
        ("Names", "–"),
        ("Data", "–"),
    ]
    assert (side.caption, side.rows) == ("Side", [("Value", "64")])
    assert (rows.caption, rows.head) == ("Rows", ("Name", "Kid value", "More", "Kid"))
    assert rows.rows == [("a", "1.5", "–", "–"), ("b", "–", "1, 2", "–")]


def test_results_without_end_are_cut():
    deep = {"a": 1}
    for _ in range(50):
        deep = {"deeper": deep}
    single, rows = list(report_page.tables("section", Whole(rows=[Line(name="n")] * 300, data=deep)))[:2]
    assert single.rows[-1][1].startswith('{"deeper"')
    assert (len(rows.rows), rows.left_out) == (200, 100)


def test_a_citation_holds_no_bibtex(repository):
    entry = Entry.model_validate_json((repository / "targets/eyes/1.1.0/entry.json").read_bytes())
    cited = entry_page.citation(entry.model_copy(update={"title": '}}, evil = {"x"} \\input', "creators": ("A & B",)}))
    assert "  title = {, evil = x input},\n  author = {{A B}},\n  year = {2026},\n" in cited
    assert cited.startswith("@misc{eyes-1.1.0,\n") and cited.count("{") == cited.count("}")


def test_the_verdicts_on_the_page_are_those_of_the_entry(repository, site):
    entry = Entry.model_validate_json((repository / "targets/eyes/1.1.0/entry.json").read_bytes())
    shown = re.findall(r'<p class="answer"><span class="badge (\w+)">', _read(site, ENTRY))
    kinds = {State.PASS: "pass", State.CANNOT_TELL: "cannot", State.FAIL: "fail"}
    assert shown == [kinds[answer.state] for answer in entry.evaluation.verdicts]


@pytest.fixture(scope="module")
def host(site):
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(hosting.app(site), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


def _get(address, **headers):
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
        return answer.status, answer.headers, answer.read()


def test_the_host_gives_types_headers_and_parts(host, site):
    status, headers, content = _get(host + "static/search.mjs")
    assert (status, headers.get_content_type()) == (200, "text/javascript")
    assert {name: headers[name] for name in hosting.HEADERS} == hosting.HEADERS
    status, headers, part = _get(host + "static/search.mjs", Range="bytes=5-9")
    assert (status, part) == (206, content[5:10])
    assert _get(host)[2] == (site / "index.html").read_bytes()


def test_what_others_published_is_no_page_of_the_site(host):
    _, headers, _ = _get(host + "repository/targets/eyes/1.1.0/entry.json")
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("path", ["../repo/metadata/timestamp.json", "%2e%2e/%2e%2e/etc/passwd", "static/../../x"])
def test_the_host_gives_nothing_from_beside_the_site(host, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(host + path)
    assert caught.value.code == 404


def test_the_repository_is_read_from_the_host(host, tmp_path):
    there = Repository(Source(host + "repository"), cache=tmp_path)
    assert {row.id for row in there.index.entries if row.withdrawn} == {"eyes@0.9.0", "gone@1.0.0"}


def test_files_that_cannot_be_linked_are_copied_or_borrowed(repository, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    for name, borrowed in (("copied", False), ("borrowed", True)):
        building.build(repository, tmp_path / name, borrowed=borrowed)
        placed = tmp_path / name / "repository/targets/plain/1.0.0/entry.json"
        assert placed.is_symlink() == borrowed
        assert placed.read_bytes() == (repository / "targets/plain/1.0.0/entry.json").read_bytes()


def test_no_page_needs_tensorflow():
    code = (
        "import sys; from synthmed_tf.site import building, hosting, report_page; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

"""The report's page: what it shows, what it leaves out, and that it stands alone."""

import dataclasses
import math
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.reports import made_context, made_sections

from synthmed_tf.errors import SynthMedError
from synthmed_tf.evaluation import page, report
from synthmed_tf.evaluation.context import SectionResults, Settings
from synthmed_tf.evaluation.pairs import ArrayPairs
from synthmed_tf.evaluation.transforms import Transform
from synthmed_tf.evaluation.verdict import QUESTIONS
from synthmed_tf.evaluation.views import parts

VOID = {"meta", "img", "br", "link", "input", "use", "path", "rect"}
IMAGE = "data:image/png;base64,"


class Parsed(HTMLParser):
    """A page taken apart; a tag that is not closed, or closed twice, is an error."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is read, in one line."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        """The attributes of all such tags."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """Phantoms."""
    return made_context(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def sections(context):
    """Made-up results of all sections; synthetic pair 5 is a copy."""
    return made_sections(context)


def rendered(context, sections, real_images: bool = True) -> str:
    return page.render(report.make(context, sections, real_images), sections, context)


@pytest.fixture(scope="module")
def whole(context, sections):
    """The page with everything on it."""
    return rendered(context, sections)


@pytest.fixture(scope="module")
def read(whole):
    """The same, parsed."""
    return Parsed(whole)


def test_the_verdict_over_all_comes_first(read):
    found = "Over all: ✗ FAIL Harm is established in 2 of 6 questions: is the set as useful as real pairs for training"
    assert found in read.text
    assert read.text.index("Over all") < read.text.index("What was found") < read.text.index("Vessels found")


def test_every_verdict_is_on_the_page(read, sections):
    answers = [answer for _, section in sections.items() for answer in section.verdicts]
    assert len(answers) == len(QUESTIONS) == 6
    symbols = {"PASS": "✓", "FAIL": "✗", "CANNOT TELL": "?"}
    for answer in answers:
        state = answer.state.value
        invalid = " (the test is INVALID: a control fired)" if answer.invalid else ""
        limit = answer.limit[0].upper() + answer.limit[1:]
        said = " ".join((answer.sentence, *answer.private))
        row = f"{QUESTIONS[answer.question]} {symbols[state]} {state}{invalid} {said} {limit}"
        assert row in read.text
    assert "About 9 unseen patients" in read.text and "Other patients" in read.text


@pytest.mark.parametrize(
    "headline",
    [
        "synthetic (TSTR) 0.652 – 0.610 0.955 0.660 0.688 0.832",
        "synthetic (TSTR) minus real (TRTR) 3 patients −0.070 (−0.110 to −0.029) 0.250 0.250",
        "synthetic set 12 0.682 0.700 0.410 0.690",
        "Mean Dice of the set minus that of unseen patients: −0.031 (−0.082 to +0.019).",
        "vessel density CANNOT TELL 1.23 1.3 0.41 (0.10 to 0.70) 0.30 – 0.20 0.990",
        "energy distance 0.679 (by chance 0.813), p = 0.740. 25% of the synthetic masks",
        "geometry 0.87 (0.70 to 1.10) 3.10 2.70 0% none repeats another",
        "geometry 15 4 12 0.0456 0.01 0.300",
        "geometry 0.81 0.72 1.13 0.64 0.91 −0.27 3 4",
        "real to synthetic, comparable to the paper 0.0481 0.01 0.06 0.07 0.126 0.0955 1.3",
        "mask whole 1 0.542 0.476 97% (at least 83%) yes yes",
        "synthetic-5 train-1 train-1 train mask whole 0.938 0.542",
        "nearest mask 0.75 (0.31 to 0.93) 0.400 0.25 (0.01 to 0.80) 0.00 (0.00 to 0.70) no",
        "mask 0.55 / 0.57 0.96 / 0.98 63% 21% to 78% 0.600 −0.4 no",
        "AUC 0.91, p = 0.030: so the attacks mean nothing.",
        "a leak below an AUC of 0.98 would usually be missed",
        "discriminator of Stage-I the run was not given (--run)",
    ],
)
def test_the_metrics_of_each_section_are_on_the_page(read, headline):
    assert headline in read.text


def test_what_the_paper_reports_and_what_is_no_verdict_is_marked(read):
    assert "macro F1, comparable to the paper" in read.text
    assert "Fréchet distance (FID-like): not a verdict" in read.text
    assert "blind to structure" in read.text


def test_it_speaks_of_audited_risk(whole, read):
    assert "The results are audited risk" in read.text
    assert "anonym" not in whole.lower()


def test_the_page_stands_alone(whole, read):
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in read.tags}
    for _, attributes in read.tags:
        for name, value in attributes.items():
            if name in ("src", "srcset", "poster", "data"):
                assert value.startswith(IMAGE)
            if name in ("href", "xlink:href"):
                assert value.startswith("#")
            assert not name.startswith("on")
    assert "http" not in whole and "@import" not in whole
    assert set(re.findall(r"url\((.)", whole)) == {"#"}


def test_what_is_referred_to_is_there_once(whole, read):
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(names) == len(set(names))
    referred = {attributes["href"][1:] for _, attributes in read.tags if "href" in attributes}
    referred |= {attributes["aria-labelledby"] for _, attributes in read.tags if "aria-labelledby" in attributes}
    referred |= set(re.findall(r"url\(#([^)]+)\)", whole))
    assert referred <= set(names)


def test_it_can_be_read_aloud(read):
    assert read.all("html") == [{"lang": "en"}]
    assert all(len(read.all(landmark)) == 1 for landmark in ("main", "header", "nav", "footer", "h1"))
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels == [1] + [2] * (len(levels) - 1) and len(levels) == 10
    assert all(attributes["alt"] for attributes in read.all("img"))
    plots = [attributes for attributes in read.all("svg") if attributes.get("role") == "img"]
    assert len(plots) == len(read.all("svg")) == 2 + 1 + 15 + 1 + 1 + 1 + 1
    assert all(attributes["aria-label"] for attributes in plots)
    assert all(attributes.get("scope") in ("col", "row") for attributes in read.all("th"))


def test_ten_nearest_and_typical_and_worst_pairs_are_shown(read):
    alt = [attributes["alt"] for attributes in read.all("img")]
    assert len(alt) == 10 * 5 + 3 * (4 + 4) * 2
    for kind in ("synthetic mask", "real mask, moved", "both", "synthetic image", "real photograph, moved"):
        assert sum(one.startswith(kind) for one in alt) == 10
    assert sum(one.startswith("image of pair") for one in alt) == 24


def test_the_nearest_pair_is_shown_as_it_was_found(context, whole, sections):
    near = sections.privacy.nearest[0]
    block = context.train.read([1])
    moved = Transform((True, False), 5.0, 1.02, 0.01, 0.0).warp(block.masks[0])
    mask, _ = parts.aligned(context, near)
    np.testing.assert_array_equal(mask, moved)
    both = parts.overlay(context.synthetic.read([5]).masks[0], moved)
    assert parts.data_uri(moved) in whole and parts.data_uri(both) in whole


def real_images(context, sections) -> set[str]:
    """Every real image that a page could show, as it would be in it."""
    found = set()
    for pairs in (context.train, context.holdout):
        block = pairs.all()
        found |= {parts.data_uri(image) for image in (*block.images, *block.masks)}
    for near in sections.privacy.nearest:
        mask, image = parts.aligned(context, near)
        synthetic = context.synthetic.read([near.row]).masks[0]
        found |= {parts.data_uri(image) for image in (mask, image, parts.overlay(synthetic, mask))}
    return found


def test_no_real_image_is_left_where_none_may_be(context, sections, whole):
    without = rendered(context, sections, real_images=False)
    real = real_images(context, sections)
    shown = {attributes["src"] for attributes in Parsed(whole).all("img")}
    left = {attributes["src"] for attributes in Parsed(without).all("img")}
    assert len(real & shown) == 1 + 1 + 10
    assert not real & left
    block = context.synthetic.all()
    synthetic = {parts.data_uri(image) for image in (*block.images, *block.masks)}
    assert left and left <= synthetic
    assert "Real photographs and masks are left out of this page" in Parsed(without).text


def test_a_copy_is_a_real_image_too(context, sections):
    without = rendered(context, sections, real_images=False)
    copy = context.synthetic.read([5])
    assert parts.data_uri(copy.images[0]) not in without
    assert parts.data_uri(copy.masks[0]) not in without
    assert "the pair is left out: it copies a real one" in Parsed(without).text


def test_what_was_not_searched_for_copies_is_left_out_with_the_real_images(context, sections):
    some = SectionResults(sections.compared, fidelity=sections.fidelity)
    assert IMAGE in rendered(context, some)
    assert IMAGE not in rendered(context, some, real_images=False)


def test_a_quick_look_says_so(context, sections, read):
    assert "This is a quick look" in read.text
    thorough = dataclasses.replace(context, settings=Settings())
    assert "This is a quick look" not in rendered(thorough, sections)


def test_sections_that_did_not_run_are_missing_and_their_questions_named(context, sections):
    found = Parsed(rendered(context, SectionResults(sections.compared, distribution=sections.distribution)))
    assert "✓ PASS One question was asked, and the whole interval of each result lies inside its limit" in found.text
    assert f"Not asked, so there is no answer here: {QUESTIONS['utility']} {QUESTIONS['fidelity']}" in found.text
    sections = [attributes["id"] for attributes in found.all("section")]
    assert sections == ["verdicts", "compared", "distribution"]


def test_names_of_files_are_text(context, sections):
    bad = '<script>alert("1")</script>&amp;'
    pairs = ArrayPairs(context.synthetic.all(), [f"{bad}{row}" for row in range(12)])
    train = ArrayPairs(context.train.all(), [f"{bad}{row}" for row in range(4)])
    named = dataclasses.replace(context, synthetic=pairs, train=train)
    names = {"real": bad, "synthetic": bad, "patient": bad}
    near = [copy.model_copy(update=names) for copy in sections.privacy.nearest]
    changed = dataclasses.replace(
        made_sections(named), privacy=dataclasses.replace(sections.privacy, nearest=tuple(near))
    )
    text = rendered(named, changed)
    found = Parsed(text)
    assert "<script" not in text
    assert f"{bad}0, {bad}1, {bad}2, {bad}3" in found.text
    assert f"image of pair {bad}5" in {attributes["alt"] for attributes in found.all("img")}


def test_large_images_are_made_smaller_and_small_ones_kept():
    small, large = np.zeros((64, 64, 3), np.uint8), np.zeros((512, 512, 3), np.uint8)
    sizes = []
    for image in (small, large):
        data = parts.base64.b64decode(parts.data_uri(image).removeprefix(IMAGE))
        sizes.append((int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")))
    assert sizes == [(64, 64), (160, 160)]


def test_an_overlay_tells_three_kinds_apart():
    synthetic = np.array([[True, True], [False, False]])
    real = np.array([[True, False], [True, False]])
    expected = [[(0, 0, 0), (0, 90, 181)], [(230, 159, 0), (255, 255, 255)]]
    np.testing.assert_array_equal(parts.overlay(synthetic, real), expected)


def test_typical_pairs_are_near_the_median_and_worst_ones_at_the_end():
    score = np.array([0.9, 0.1, 0.5, math.nan, 0.4, 0.6, 0.2])
    typical, worst = parts.typical_and_worst(score, "low", 2)
    assert worst.tolist() == [1, 6] and typical.tolist() == [4, 2]
    typical, worst = parts.typical_and_worst(score, "high", 2)
    assert worst.tolist() == [0, 5] and sorted(typical.tolist()) == [2, 4]


def test_no_pair_is_both_typical_and_worst():
    typical, worst = parts.typical_and_worst(np.array([0.3, 0.2]), "low", 4)
    assert (typical.tolist(), worst.tolist()) == ([], [1, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (parts.number(math.nan), "–"),
        (parts.number(None), "–"),
        (parts.number(-0.05, 2, signed=True), "−0.05"),
        (parts.number(math.inf), "∞"),
        (parts.interval(0.5, 0.4, math.inf, 1), "0.5 (0.4 to ∞)"),
        (parts.interval(0.5, math.nan, math.nan, 1), "0.5"),
        (parts.probability(0.0004), "< 0.001"),
        (parts.rough(123456.0), "1.23e+05"),
        (parts.percent(math.nan), "–"),
    ],
)
def test_metrics_are_written_plainly(text, expected):
    assert text == expected


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named(context, sections, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SynthMedError, match=rf'(?i)needs {package}, .*run pip install "synthmed-tf\['):
        rendered(context, sections)


def test_without_a_holdout_the_page_says_what_is_missing(context, sections):
    alone = dataclasses.replace(context, holdout=None)
    nothing = {"arms": (), "results": (), "compared": ()}
    changes = {"utility": nothing, "fidelity": {"unseen": None, "difference": None}, "privacy": {"control": None}}
    changed = {
        name: dataclasses.replace(section, metrics=section.metrics.model_copy(update=changes[name]))
        for name, section in sections.items()
        if name in changes
    }
    without = dataclasses.replace(sections, compared=made_sections(alone).compared, **changed)
    text = Parsed(rendered(alone, without)).text
    assert "Not given: real, unseen patients (holdout); real, another camera." in text
    assert "No segmenter was trained, since there are no real pairs to test it on." in text
    assert "Attacks on membership need real pairs of unseen patients, and none were given." in text
    assert "minus that of unseen patients" not in text


def test_a_set_that_is_too_small_for_typical_pairs_shows_the_worst(context, sections):
    few = dataclasses.replace(context, synthetic=ArrayPairs(context.synthetic.read([0, 5]), ["a", "b"]))
    fidelity = dataclasses.replace(sections.fidelity, scores={"dice": np.array([0.9, 0.8])})
    text = Parsed(rendered(few, SectionResults(sections.compared, fidelity=fidelity))).text
    assert "worst first b: 0.800 its mask a: 0.900 its mask" in text
    assert "typical" not in text.replace("Typical and worst pairs", "")

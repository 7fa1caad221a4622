"""`report.html`: the report for people, in one file that needs no network and no script."""

from collections.abc import Mapping
from pathlib import Path

from synthmed_tf import templating
from synthmed_tf.evaluation.context import Case, Outcome
from synthmed_tf.evaluation.report import Report
from synthmed_tf.evaluation.verdict import QUESTIONS, State, headline
from synthmed_tf.evaluation.views import (
    compared,
    dispersion,
    distribution,
    fidelity,
    geometry,
    pairs,
    privacy,
    utility,
)
from synthmed_tf.evaluation.views.parts import Page

_VIEWS = {
    "compared": compared,
    "utility": utility,
    "fidelity": fidelity,
    "geometry": geometry,
    "distribution": distribution,
    "dispersion": dispersion,
    "privacy": privacy,
}
_SYMBOLS = {State.PASS: "\N{CHECK MARK}", State.FAIL: "\N{BALLOT X}", State.CANNOT_TELL: "?"}
_TEMPLATES = Path(__file__).parent / "templates"


def render(report: Report, outcomes: Mapping[str, Outcome], case: Case) -> str:
    """The page.

    Args:
        report: what was found.
        outcomes: of the sections that ran, by name: figures, and the arrays that plots show.
        case: whose pairs are shown; real ones only where `report.real_images` says so.

    Returns:
        HTML with all that it shows in it.

    Raises:
        SynthMedError: the package Jinja2 or matplotlib is missing.
    """
    environment = templating.environment(_TEMPLATES, "evaluate")
    page = Page(case, outcomes, report.real_images)
    shown = {name: (view.TITLE, view.view(page)) for name, view in _VIEWS.items() if name in outcomes}
    shown["pairs"] = (pairs.TITLE, pairs.view(page))
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=headline(report.verdict, report.verdicts),
        questions=QUESTIONS,
        symbols=_SYMBOLS,
        sections={name: parts for name, parts in shown.items() if parts[1]},
        answers={name: outcome.verdicts for name, outcome in outcomes.items()},
    )

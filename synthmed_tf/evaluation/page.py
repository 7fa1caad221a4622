"""`report.html`: the report for people, in one file that needs no network and no script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthmed_tf import templating
from synthmed_tf.evaluation.context import EvaluationContext, SectionResults
from synthmed_tf.evaluation.report import Report
from synthmed_tf.evaluation.verdict import QUESTIONS, State, headline
from synthmed_tf.evaluation.views import overview, privacy, similarity, usefulness
from synthmed_tf.evaluation.views.parts import Page, Part

_VIEWS: dict[str, tuple[str, Callable[[Page, Any], list[Part]]]] = {
    "compared": ("What was compared", overview.compared),
    "utility": ("Usefulness: segmenters trained on the set", usefulness.utility),
    "fidelity": ("Do the images show their masks", usefulness.fidelity),
    "geometry": ("Vessel trees", similarity.geometry),
    "distribution": ("Distribution and diversity", similarity.distribution),
    "dispersion": ("Dispersion, as in the paper", similarity.dispersion),
    "privacy": ("Privacy: audited risk", privacy.privacy),
}
_SYMBOLS = {State.PASS: "\N{CHECK MARK}", State.FAIL: "\N{BALLOT X}", State.CANNOT_TELL: "?"}
_TEMPLATES = Path(__file__).parent / "templates"


def render(report: Report, sections: SectionResults, context: EvaluationContext) -> str:
    """The page.

    Args:
        report: the results.
        sections: the same with the arrays that plots show.
        context: whose pairs are shown; real ones only where `report.real_images` says so.

    Returns:
        HTML that includes all images and styles.

    Raises:
        SynthMedError: the package Jinja2 or matplotlib is missing.
    """
    environment = templating.environment(_TEMPLATES, "evaluate")
    page = Page(context, sections, report.real_images)
    shown = {name: (_VIEWS[name][0], _VIEWS[name][1](page, result)) for name, result in sections.items()}
    shown["pairs"] = ("Typical and worst pairs", overview.pairs(page))
    return environment.get_template("report.html.j2").render(
        report=report,
        headline=headline(report.verdict, report.verdicts),
        questions=QUESTIONS,
        symbols=_SYMBOLS,
        sections={name: parts for name, parts in shown.items() if parts[1]},
        answers={name: result.verdicts for name, result in sections.items()},
    )

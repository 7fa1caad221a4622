"""Copies, and membership of the training."""

import numpy as np

from synthmed_tf.evaluation import page_images, plots
from synthmed_tf.evaluation.views.parts import (
    Image,
    Images,
    Note,
    Page,
    Part,
    Plots,
    Table,
    interval,
    number,
    percent,
    probability,
    reasons,
    rough,
)

TITLE = "Privacy: audited risk"

_MOST_NAMED = 20
_YES = {True: "yes", False: "no"}


def view(page: Page) -> list[Part]:
    """The search for copies with its nearest pairs, then the attacks."""
    return [*_copies(page), *_nearest(page), *_membership(page)]


def _copies(page: Page) -> list[Part]:
    outcome = page.outcomes["privacy"]
    figures, arrays = outcome.figures, outcome.arrays
    rows = [
        (
            one.name,
            str(one.copies),
            number(one.threshold),
            number(one.highest_stranger),
            f"{percent(one.recall)} (at least {percent(one.recall_low)})",
            _YES[one.works],
            _YES[one.required],
        )
        for one in figures.searches
    ]
    head = ("search", "copies", "threshold", "highest of strangers", "disguised found", "works", "needed to pass")
    share = f"{percent(figures.most_copies, 2)} (95 percent confidence)"
    excluded = "" if figures.copies else f" So many pairs without a copy do not exclude a share of {share}."
    parts: list[Part] = [
        Note(
            f"Each of {figures.synthetic:,} synthetic pairs was held against each of "
            f"{figures.train + figures.holdout:,} real ones, turned, scaled, shifted and flipped. A score that no two "
            "real pairs of different patients reach speaks of a copy. What a search is worth is measured on disguised "
            "real pairs." + excluded
        ),
        Table("Searches for copies", head, rows),
    ]
    if figures.copies:
        parts.append(_listed(figures.copies))
    names = list(arrays["searches"])
    scores = [arrays[f"{kind} scores"] for kind in ("synthetic", "stranger", "disguised")]
    used = [(str(one.name), names.index(one.name), one.threshold) for one in figures.searches]
    drawn = [(name, plots.scores(*(s[:, column] for s in scores), limit, name)) for name, column, limit in used]
    caption = "Share of pairs that score so much or more: impostors (other patients), genuine (disguised), synthetic."
    return [*parts, Plots(caption, drawn)]


def _listed(copies) -> Table:
    rows = [
        (
            copy.synthetic,
            copy.real,
            copy.patient,
            copy.real_set,
            _found_by(copy.search, copy.place),
            number(copy.score),
            number(copy.threshold),
        )
        for copy in copies[:_MOST_NAMED]
    ]
    more = f" (the first {_MOST_NAMED} of {len(copies):,}; report.json has all)" if len(copies) > _MOST_NAMED else ""
    head = ("synthetic pair", "is real pair", "of patient", "in", "found by", "score", "threshold")
    return Table(f"Copies{more}", head, rows)


def _nearest(page: Page) -> list[Part]:
    near = page.outcomes["privacy"].arrays["nearest"]
    caption = f"The {len(near)} synthetic pairs that come nearest to a real one, the real one moved onto it."
    if not page.real_images:
        caption += " The real ones are left out, and so are synthetic pairs that copy one."
    return [Images(caption, [_group(page, entry) for entry in near])]


def _found_by(search: str, place: str) -> str:
    return search if search.endswith(place) else f"{search}, {place}"


def _group(page: Page, entry) -> tuple[str, list[Image]]:
    is_copy = entry["score"] >= entry["threshold"]
    names = f"{entry['synthetic']} and {entry['real']} of patient {entry['patient']} ({entry['real_set']})"
    scores = f"score {number(entry['score'])}, threshold {number(entry['threshold'])}"
    title = f"{names}. {_found_by(entry['search'], entry['place'])}: {scores}{': a copy' if is_copy else ''}"
    if not page.shows(entry["row"]):
        return title, [Image("", "left out", "the pair is left out: it copies a real one")]
    block = page.case.synthetic.read([entry["row"]])
    mask, photograph = block.masks[0], block.photographs[0]
    drawn = [("synthetic mask", mask), ("synthetic photograph", photograph)]
    if page.real_images:
        real_mask, real_photograph = page_images.aligned(page.case, entry)
        both = page_images.overlay(mask, real_mask)
        drawn[1:1] = [("real mask, moved", real_mask), ("both: black; synthetic blue, real orange", both)]
        drawn.append(("real photograph, moved", real_photograph))
    return title, [Image(page_images.data_uri(p), f"{label}: {names}", label) for label, p in drawn]


def _membership(page: Page) -> list[Part]:
    outcome = page.outcomes["privacy"]
    figures = outcome.figures
    if figures.control is None:
        return [Note("Attacks on membership need real pairs of unseen patients, and none were given.")]
    control = figures.control
    means = "so the attacks mean nothing" if control.fired else "so the attacks can be read"
    parts: list[Part] = [
        Note(
            f"Control: train told from holdout without the generator, AUC {number(control.auc, 2)}, "
            f"p = {probability(control.p)}: {means}.",
            caution=control.fired,
        ),
        _attacks(figures),
    ]
    if figures.detectable_auc is not None:
        parts.append(
            Note(
                f"With so many patients a leak below an AUC of {number(figures.detectable_auc, 2)} would usually be "
                "missed (power of 80 percent)."
            )
        )
    curves, members = outcome.arrays["roc"], {one.name: one for one in figures.attacks}
    drawn = [
        (_named(members[name]), plots.roc(*np.asarray(curve), members[name].members, name))
        for name, curve in curves.items()
    ]
    caption = "ROC curves over patients; hatched: 95 percent interval of the share of members that is found."
    return [*parts, Plots(caption, drawn), _nearness(figures), *reasons(figures.left_out, "Attacks")]


def _named(one) -> str:
    return f"{one.name}: AUC {interval(one.auc, one.auc_low, one.auc_high, 2)}"


def _attacks(figures) -> Table:
    rows = [
        (
            one.name,
            interval(one.auc, one.auc_low, one.auc_high, 2),
            probability(one.p_holm),
            interval(one.tpr, one.tpr_low, one.tpr_high, 2),
            interval(one.fpr, one.fpr_low, one.fpr_high, 2),
            _YES[one.name in figures.leaking],
        )
        for one in figures.attacks
    ]
    head = ("attack", "AUC (interval)", "p (Holm)", "TPR (interval)", "at FPR (interval)", "shows a leak")
    some = figures.attacks[0]
    return Table(f"Attacks on {some.members} patients in train and {some.others} unseen ones", head, rows)


def _nearness(figures) -> Table:
    rows = [
        (
            one.what,
            f"{rough(one.dcr_train)} / {rough(one.dcr_holdout)}",
            f"{number(one.nndr_train, 2)} / {number(one.nndr_holdout, 2)}",
            percent(one.share),
            f"{percent(one.null_low)} to {percent(one.null_high)}",
            probability(one.p_holm),
            number(one.z, 1),
            _YES[one.what in figures.leaking],
        )
        for one in figures.nearness
    ]
    head = (
        "distance",
        "DCR, train / holdout",
        "NNDR, train / holdout",
        "nearer to train",
        "where nothing leaks",
        "p (Holm)",
        "C_T",
        "shows a leak",
    )
    return Table("Is the set nearer to train than to the holdout, at equal sizes", head, rows)

"""Copies, and membership of the training data."""

from synthmed_tf.evaluation import plots
from synthmed_tf.evaluation.context import PrivacyResult
from synthmed_tf.evaluation.privacy_results import Attack, Copy, Privacy
from synthmed_tf.evaluation.views.parts import (
    Image,
    Images,
    Note,
    Page,
    Part,
    Plots,
    Table,
    aligned,
    data_uri,
    interval,
    number,
    overlay,
    percent,
    probability,
    reasons,
    rough,
)

_MOST_NAMED = 20
_YES = {True: "yes", False: "no"}


def privacy(page: Page, section: PrivacyResult) -> list[Part]:
    """The search for copies with its nearest pairs, then the attacks."""
    return [*_copies(section), *_nearest(page, section), *_membership(section)]


def _roc(section: PrivacyResult, attack: Attack) -> str:
    fpr, tpr = section.roc[attack.name]
    return plots.roc(fpr, tpr, attack.members, attack.name)


def _copies(section: PrivacyResult) -> list[Part]:
    metrics = section.metrics
    rows = [
        (
            one.name,
            str(one.copies),
            number(one.threshold),
            number(one.highest_impostor),
            f"{percent(one.recall)} (at least {percent(one.recall_low)})",
            _YES[one.works],
            _YES[one.required],
        )
        for one in metrics.searches
    ]
    head = ("search", "copies", "threshold", "highest of impostors", "augmented found", "works", "needed to pass")
    share = f"{percent(metrics.most_copies, 2)} (95 percent confidence)"
    excluded = "" if metrics.copies else f" So many pairs without a copy do not exclude a share of {share}."
    parts: list[Part] = [
        Note(
            f"Each of {metrics.synthetic:,} synthetic pairs was compared with each of "
            f"{metrics.train + metrics.holdout:,} real ones, rotated, scaled, shifted and flipped. A score that no two "
            "real pairs of different patients reach means a copy. The recall of a search is measured on augmented real "
            "pairs." + excluded
        ),
        Table("Searches for copies", head, rows),
    ]
    if metrics.copies:
        parts.append(_listed(metrics.copies))
    shown = [
        (one.name, plots.scores(*section.copy_scores[one.name], one.threshold, one.name)) for one in metrics.searches
    ]
    caption = "Share of pairs that reach each score: impostors (other patients), genuine (augmented), synthetic."
    return [*parts, Plots(caption, shown)]


def _listed(copies: tuple[Copy, ...]) -> Table:
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


def _nearest(page: Page, section: PrivacyResult) -> list[Part]:
    caption = f"The {len(section.nearest)} synthetic pairs that come nearest to a real one, the real one moved onto it."
    if not page.real_images:
        caption += " The real ones are left out, and so are synthetic pairs that copy one."
    return [Images(caption, [_group(page, copy) for copy in section.nearest])]


def _found_by(search: str, place: str) -> str:
    return search if search.endswith(place) else f"{search}, {place}"


def _group(page: Page, copy: Copy) -> tuple[str, list[Image]]:
    names = f"{copy.synthetic} and {copy.real} of patient {copy.patient} ({copy.real_set})"
    scores = f"score {number(copy.score)}, threshold {number(copy.threshold)}"
    is_copy = ": a copy" if copy.score >= copy.threshold else ""
    title = f"{names}. {_found_by(copy.search, copy.place)}: {scores}{is_copy}"
    if not page.shows(copy.row):
        return title, [Image("", "left out", "the pair is left out: it copies a real one")]
    block = page.context.synthetic.read([copy.row])
    mask, image = block.masks[0], block.images[0]
    shown = [("synthetic mask", mask), ("synthetic image", image)]
    if page.real_images:
        real_mask, real_photograph = aligned(page.context, copy)
        both = overlay(mask, real_mask)
        shown[1:1] = [("real mask, moved", real_mask), ("both: black; synthetic blue, real orange", both)]
        shown.append(("real photograph, moved", real_photograph))
    return title, [Image(data_uri(image), f"{label}: {names}", label) for label, image in shown]


def _membership(section: PrivacyResult) -> list[Part]:
    metrics = section.metrics
    if metrics.control is None:
        return [Note("Attacks on membership need real pairs of unseen patients, and none were given.")]
    control = metrics.control
    means = "so the attacks mean nothing" if control.fired else "so the attacks can be read"
    parts: list[Part] = [
        Note(
            f"Control: train and holdout classified without the generator, AUC {number(control.auc, 2)}, "
            f"p = {probability(control.p)}: {means}.",
            caution=control.fired,
        ),
        _attacks(metrics),
    ]
    if metrics.detectable_auc is not None:
        parts.append(
            Note(
                f"With so many patients a leak below an AUC of {number(metrics.detectable_auc, 2)} would usually be "
                "missed (power of 80 percent)."
            )
        )
    shown = [(_named(one), _roc(section, one)) for one in metrics.attacks]
    caption = "ROC curves over patients; hatched: 95 percent interval of the share of members that is found."
    return [*parts, Plots(caption, shown), _nearness(metrics), *reasons(metrics.left_out, "Attacks")]


def _named(one: Attack) -> str:
    return f"{one.name}: AUC {interval(one.auc, one.auc_low, one.auc_high, 2)}"


def _attacks(metrics: Privacy) -> Table:
    rows = [
        (
            one.name,
            interval(one.auc, one.auc_low, one.auc_high, 2),
            probability(one.p_holm),
            interval(one.tpr, one.tpr_low, one.tpr_high, 2),
            interval(one.fpr, one.fpr_low, one.fpr_high, 2),
            _YES[one.name in metrics.leaking],
        )
        for one in metrics.attacks
    ]
    head = ("attack", "AUC (interval)", "p (Holm)", "TPR (interval)", "at FPR (interval)", "shows a leak")
    some = metrics.attacks[0]
    return Table(f"Attacks on {some.members} patients in train and {some.others} unseen ones", head, rows)


def _nearness(metrics: Privacy) -> Table:
    rows = [
        (
            one.what,
            f"{rough(one.dcr_train)} / {rough(one.dcr_holdout)}",
            f"{number(one.nndr_train, 2)} / {number(one.nndr_holdout, 2)}",
            percent(one.share),
            f"{percent(one.null_low)} to {percent(one.null_high)}",
            probability(one.p_holm),
            number(one.z, 1),
            _YES[one.what in metrics.leaking],
        )
        for one in metrics.nearness
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

"""Whether a run goes well: one sentence, with what to do if not. Imports no TensorFlow."""

Series = tuple[tuple[int, float], ...]

_ENOUGH = 3
"""Validations from which on the measure says something."""

_NEARLY_THE_BEST = 1.1
_RECENT = 2 / 3
_FALLEN = 0.95


def assess(name: str, measures: Series, warnings: tuple[tuple[int, str], ...], target: float | None) -> str:
    """The sentence about a stage.

    Args:
        name: of the stage.
        measures: steps and measures of its validations.
        warnings: steps and messages of alarms that rang.
        target: the measure of real images; None where it is not known.

    The measure counts (less is better): a stage goes well while it falls, or stays within a tenth of its lowest value.
    An alarm that rang after the best step counts more.
    """
    rang = [message for step, message in warnings if not measures or step >= _best(measures)[0]]
    if rang:
        return f"{name} does not go well: {rang[-1]}."
    if not measures:
        return (
            f"{name}: nothing was validated yet, so only the contact sheet tells; without validation patients it "
            "stays so (--validation-patients)."
        )
    if len(measures) < _ENOUGH:
        return f"{name}: too early to say, after {len(measures)} of at least {_ENOUGH} validations."
    return _of_measures(name, measures, target)


def _of_measures(name: str, measures: Series, target: float | None) -> str:
    best_step, best = _best(measures)
    (_, first), (last_step, last) = measures[0], measures[-1]
    aim = f" (real images of other patients: {target:.3g})" if target is not None else ""
    if best > _FALLEN * first:
        return (
            f"{name} does not go well: its measure has not fallen since the first validation ({first:.3g}, now "
            f"{last:.3g}); check the pairs with synthmed data check, then try half the learning rates."
        )
    if best_step >= _RECENT * last_step or last <= _NEARLY_THE_BEST * best:
        return f"{name} goes well: its measure fell from {first:.3g} to {last:.3g}{aim}."
    return (
        f"{name} no longer gets better: its measure was lowest at step {best_step} ({best:.3g}) and is now "
        f"{last:.3g}; stop it with Ctrl-C: synthmed export takes the best step."
    )


def _best(measures: Series) -> tuple[int, float]:
    return min(measures, key=lambda measure: measure[1])

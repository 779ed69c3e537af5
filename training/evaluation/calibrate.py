"""When to act: fits the rule that goes with a network's weights on composites whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from ...hdnet import Harmonizer, HDNet
from ...hdnet.harmonize.decision import Decision
from ...hdnet.network.acting import ActingRule
from ...weights import load_network, read_metadata, save_metadata
from ..data.photos import Photographs
from .cases import already_harmonious
from .evaluate import Case, by_network, evaluate
from .in_use import cases_in_use
from .report import NETWORK

KINDS = ("camera", "pasted")
# mean squared proposed change, 0..255
LOWEST = (0, 5, 10, 20, 30, 45, 60, 80, 100, 130, 170, 220, 300, 400, 550, 750, 1000, 1400)
RATIOS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0)  # of the ramp's end to its beginning
STRENGTHS = tuple(np.arange(0.5, 3.01, 0.1).round(1))
MOST_WORSE = 0.12  # share of the pictures that may be made worse; below the promise of 0.15, for other pictures differ
COST = 3.0  # of each share beyond, in shares of the error
COST_OF_CHANGE = 1e-3  # of a mean square of 1, 0..255, on harmonious pictures


def calibrate(
    weights: Path,
    photographs: Path,
    count: int = 176,
    progress: Callable[[Iterable], Iterable] = iter,
    second_look: float | None = None,
) -> tuple[ActingRule, str]:
    """Fits the rule on the photographs by which weights are chosen, and writes it into the weights' metadata.

    Args:
        weights: A ``.safetensors`` file; its tensors stay as they are.
        photographs: Folder with `images/` and `masks/`.
        count: Composites of each kind.
        progress: Wraps the iteration over the composites.
        second_look: How much larger the mirrored composite is that the network is to judge too, 1 to 2; 0 for none,
            None for what the weights say.

    Returns:
        The rule, and a line on what it does to these composites.
    """
    network = load_network(weights)
    network.acting = None
    metadata = read_metadata(weights)
    if second_look is not None:
        network.second_look = second_look or None
        metadata.pop("second_look", None)
        if second_look:
            metadata["second_look"] = f"{second_look:g}"
    source = Photographs(photographs, "choose")
    groups = [_trials(cases_in_use(source, kind, count), network, progress) for kind in KINDS]
    harmonious = [already_harmonious(case) for case in cases_in_use(source, KINDS[0], count)]
    idle = _trials(harmonious, network, progress)
    rule = fit_rule(groups, idle)
    said = ", ".join(f"{kind} {_describe(group, rule)}" for kind, group in zip(KINDS, groups))
    said += f", harmonious pictures changed by fMSE {_change(idle, rule):.0f}"
    save_metadata(weights, metadata | {"acting": str(rule)})
    return rule, said


@dataclass(frozen=True)
class Trial:
    """What a network proposed for one composite; mean squares over the foreground, on the scale 0..255.

    Attributes:
        error: Of the composite.
        agreement: The mean product of proposed and true change.
        proposed: Of the proposed change.
        trusted: What a rule goes by (:class:`.Decision`, ``proposed``).
    """

    error: float
    agreement: float
    proposed: float
    trusted: float

    def after(self, rule: ActingRule) -> float:
        """The error that a rule leaves: ``e - 2 s a + s² p`` after a change made s times, clipping apart."""
        factor = rule.factor(self.trusted)
        return self.error - 2 * factor * self.agreement + factor**2 * self.proposed


def _trials(cases: list[Case], network: HDNet, progress: Callable[[Iterable], Iterable]) -> list[Trial]:
    """What the network, whose acting rule is None, proposes for composites."""
    decisions: list[Decision] = []
    method = by_network(
        Harmonizer(network), 256, foreground="pasted", decided=lambda _, decision: decisions.append(decision)
    )
    scores, _ = evaluate(cases, {NETWORK: method}, "composite-background", workers=1, progress=progress)
    trials = []
    for score, decision in zip(scores, decisions, strict=True):
        before, agreement = score.metrics["composite"].fmse, score.agreement[NETWORK]
        proposed = score.metrics[NETWORK].fmse - before + 2 * agreement
        trials.append(Trial(before, agreement, proposed, decision.proposed or 0.0))
    return trials


def fit_rule(groups: list[list[Trial]], idle: Sequence[Trial] = ()) -> ActingRule:
    """The rule that leaves the least error where few pictures are made worse and harmonious ones hardly changed.

    Args:
        groups: Composites of each kind; the kinds count alike.
        idle: What is proposed for harmonious pictures.
    """

    def cost(rule: ActingRule) -> float:
        changes, worse = zip(*(_outcome(group, rule) for group in groups))
        harm = COST * max(0.0, np.mean(worse) - MOST_WORSE) + COST_OF_CHANGE * _change(idle, rule)
        return float(np.mean(changes) + harm)

    rules = (ActingRule(low, low * ratio, strength) for low, ratio, strength in product(LOWEST, RATIOS, STRENGTHS))
    return min(rules, key=cost)


def _change(idle: Sequence[Trial], rule: ActingRule) -> float:
    """Mean square of what is changed on harmonious pictures."""
    return float(np.mean([trial.after(rule) for trial in idle])) if len(idle) else 0.0


def _outcome(trials: list[Trial], rule: ActingRule) -> tuple[float, float]:
    """Relative change of the mean error, and the share of pictures made worse."""
    before = np.array([trial.error for trial in trials])
    after = np.array([trial.after(rule) for trial in trials])
    return after.mean() / before.mean() - 1, (after > before + 1e-6).mean()


def _describe(trials: list[Trial], rule: ActingRule) -> str:
    change, worse = _outcome(trials, rule)
    return f"{change:+.1%} of the error, {worse:.0%} made worse"

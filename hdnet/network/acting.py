"""When a network's proposal is worth acting on, and how far."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = 4.0  # strength


@dataclass(frozen=True)
class ActingRule:
    """How far to trust a proposed change, by its size.

    Where a network proposes next to nothing, it does not know better: the composite is nearly right, or it cannot tell.
    The rule is calibrated on composites whose truth is known, and kept with the weights.

    Attributes:
        low: Mean squared proposed change over the foreground, on the scale 0..255 and as far as two looks agree on it
            (:mod:`..harmonize.second_look`), up to which a picture is left alone.
        high: From here on the change is made in full.
        strength: What "in full" means, as a factor: networks that learnt by squared error propose too little.

    Raises:
        ValueError: The numbers are out of range or order.
    """

    low: float
    high: float
    strength: float

    def __post_init__(self) -> None:
        finite = all(math.isfinite(each) for each in (self.low, self.high, self.strength))
        if not finite or not 0 <= self.low <= self.high or not 0 < self.strength <= MOST:
            raise ValueError(
                f"An acting rule needs 0 <= low <= high and a strength above 0 and up to {MOST:g}, "
                f"not {self.low}, {self.high}, {self.strength}."
            )

    def factor(self, proposed: float) -> float:
        """What to multiply a change by whose mean square is ``proposed``: 0 below, ``strength`` above the ramp."""
        if proposed >= self.high:
            return self.strength
        if proposed <= self.low:
            return 0.0
        share = (proposed - self.low) / (self.high - self.low)
        return self.strength * share * share * (3 - 2 * share)

    @classmethod
    def from_text(cls, text: str) -> ActingRule:
        """Reads ``"low high strength"``; ValueError where it is something else."""
        numbers = text.split()
        if len(numbers) != 3:
            raise ValueError(f"An acting rule is three numbers, low, high and strength, not {text!r}.")
        return cls(*(float(number) for number in numbers))

    def __str__(self) -> str:
        return f"{self.low:g} {self.high:g} {self.strength:g}"

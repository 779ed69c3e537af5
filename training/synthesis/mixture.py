"""How often each kind of composite is made of a photograph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of samples; what is left is recoloured in its place by another photograph's colours.

    Attributes:
        untouched: Composites that are the photograph itself, so that a network also learns to leave a harmonious
            picture alone.
        pasted: Composites without traces of the object beside the mask, see `paste`.
        camera: Share of those whose object differs by camera and light, not by another object's statistics.

    Raises:
        ValueError: If a share is not in 0..1.
    """

    untouched: float = 0.05
    pasted: float = 0.0
    camera: float = 0.7

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"The share {name} must be in 0..1, not {value}.")


USUAL_MIXTURE = Mixture()

"""What a user may ask for: resolution and strength, checked in one place for library, command line and nodes."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Real

MAX_STRENGTH = 2.0
MIN_RESOLUTION, MAX_RESOLUTION = 64, 4096


def check_resolution(resolution: int | str) -> int | str:
    """The working resolution as a number of pixels, or ``"native"``.

    Args:
        resolution: The same, or the number as text.

    Raises:
        ValueError: If it is neither, or out of range.
    """
    if resolution == "native":
        return resolution
    try:
        pixels = int(resolution)
    except (TypeError, ValueError, OverflowError):
        pixels = 0
    if not MIN_RESOLUTION <= pixels <= MAX_RESOLUTION:
        raise ValueError(
            f'The resolution must be {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels or "native", not {resolution!r}.'
        )
    return pixels


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raises ValueError, which names the choices, where a value is none of them."""
    if value not in choices:
        raise ValueError(f"The {name} must be one of {', '.join(choices)}, not {value!r}.")


def check_strength(strength: float) -> float:
    """The strength itself.

    Raises:
        ValueError: If it is no number in 0..2.
    """
    if not isinstance(strength, Real) or not 0 <= strength <= MAX_STRENGTH:
        raise ValueError(f"The strength must be a number in 0..{MAX_STRENGTH:g}, not {strength!r}.")
    return strength

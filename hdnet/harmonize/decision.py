"""What was decided about a picture, for whoever wants to know."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {
    "empty": "the mask is empty, so nothing was changed",
    "everything": "the mask covers all that could serve as reference, so nothing was changed",
    "no reference": "the reference mask is empty, so nothing was changed",
    "one colour": "the picture has one colour, so nothing was changed",
    "known": "inpainted: the shift seen outside the mask was taken back, nothing else was changed; if an object was "
    "placed there, set foreground to pasted to have it matched too",
    "edited": "edited in its place: the colours were fitted across the edge of the mask",
    "unclear": "said to be edited, but the picture is not seen to go on across the edge of the mask, so nothing was "
    "changed; set foreground to pasted to have it judged",
    "pasted": "pasted: the colours were judged by the network",
    "left alone": "pasted: it seems to fit already, so nothing was changed; to change it all the same, set foreground "
    "to pasted",
}


@dataclass(frozen=True)
class Decision:
    """What became of one picture.

    Attributes:
        kind: One of :data:`KINDS`.
        correlation: Of the colours on either side of the mask's edge, -1..1; None where that was not asked.
        proposed: Mean squared change over the foreground that the network proposed, on the scale 0..255, as far as its
            two looks agree; None where it was not asked.
        factor: How much of a proposal was made, before the strength.
    """

    kind: str
    correlation: float | None = None
    proposed: float | None = None
    factor: float = 0.0

    def __str__(self) -> str:
        """A sentence for people."""
        return KINDS[self.kind]

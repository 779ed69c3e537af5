"""Which part of a picture the network is shown: all of it, or the surroundings of a small foreground.

The network judges the same number of pixels whatever a picture has, and of an object that covers a hundredth of a
photograph little is left then. So it looks at a part of the picture that shows both, as a person who steps closer.
The part has the picture's proportions, so that pictures of one size stay one batch, and no fewer pixels than the
network judges: nothing is enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .masks import Box

MARGIN = 2.0  # to every side of the foreground, in units of its longer side
WHOLE = 0.95  # of a picture's sides; from here on all of it is shown


def part_to_judge(foreground: Box, size: Sequence[int], working: Sequence[int]) -> Box | None:
    """The part of a picture to show of a foreground.

    Args:
        foreground: What the part must hold.
        size: ``(H, W)`` of the picture.
        working: ``(h, w)``, how many pixels the network judges.

    Returns:
        The part, or None where that is all of the picture or nearly so.
    """
    top, bottom, left, right = foreground
    margin = 2 * MARGIN * max(bottom - top, right - left)
    wanted = bottom - top + margin, right - left + margin
    scale = max(each / side for pair in (wanted, working) for each, side in zip(pair, size))
    if scale > WHOLE:
        return None
    height, width = (math.ceil(scale * side) for side in size)
    top, left = (
        min(max(0, (first + last - part) // 2), side - part)
        for first, last, part, side in ((top, bottom, height, size[0]), (left, right, width, size[1]))
    )
    return top, top + height, left, left + width

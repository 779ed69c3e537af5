"""Clips: films whose frames are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from .video import Clip, Film
from .video_frames import Apply, colours_for
from .video_masks import FilmMask, masks_for

SMALL = 32  # pixels of a side of a thumbnail


class ClipFrame:
    """A frame in memory, its mask, its time and its background: what the streaming harmonizer works on.

    Args:
        image: ``[H, W, 3 or 4]``, 0..1; not written.
        marked: Its mask.
        seconds: From the first frame.
        behind: ``[H, W, 3]``, the background.
    """

    def __init__(self, image: Tensor, marked: FilmMask, seconds: float, behind: Tensor | None = None) -> None:
        self.marked, self.seconds, self.behind = marked, seconds, behind
        self.box, self.has_background, self.size = marked.box, behind is not None, marked.size
        self._image = image.float()
        self._result = self._image

    def thumbnail(self) -> Tensor:
        """``[3, 32, 32]``."""
        height, width = self._image.shape[:2]
        small = self._image[:: max(1, height // 256), :: max(1, width // 256), :3]
        return F.adaptive_avg_pool2d(small.permute(2, 0, 1), SMALL)

    def look(self, coarse: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """RGB ``[H, W, 3]`` of the composite, its mask ``[H, W]`` and RGB of its background, if there is one."""
        behind = None if self.behind is None else self.behind.clamp(0, 1)
        return self._image[..., :3].clamp(0, 1), self.marked.full(), behind

    def change(self, apply: Apply, gain: float) -> None:
        """Lets ``apply`` change a copy inside the mask's box, given the background."""
        picture = self._image.clone() if self.behind is None else self._image[..., :3].clone()
        self._result = picture if self.behind is None else self.behind.clone()
        if self.box is not None:
            apply(picture, self.behind, self.marked.full(), self.box)
            top, bottom, left, right = self.box
            self._result[top:bottom, left:right] = picture[top:bottom, left:right]

    def result(self) -> Tensor:
        """``[H, W, 3 or 4]`` float32; without alpha where it was pasted onto a background."""
        return self._result


def clip_frames(
    clip: Clip,
    mask: Path | Film | Clip | Tensor,
    invert: bool = False,
    behind: Path | Film | Clip | Tensor | None = None,
) -> Iterator[ClipFrame]:
    """Frames of a clip with their masks and backgrounds; the arguments are those of :func:`.masked_frames`."""
    mask_at = masks_for(clip, mask, clip.size, invert)
    behind_at = None if behind is None else colours_for(clip, behind, clip.size)
    for number, (seconds, image) in enumerate(clip.frames()):
        yield ClipFrame(image, mask_at(number, seconds), seconds, behind_at(number, seconds) if behind_at else None)

"""A decoded frame's samples, seen and changed as RGB, without a conversion of what stays.

Only a change is converted and added to the samples, so what is not changed keeps its bits, whatever the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from av import VideoFrame
from torch import Tensor

if TYPE_CHECKING:
    from av.video.format import VideoFormat

BT601, BT709, BT2020, SMPTE240M = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593), (0.212, 0.087)
WEIGHTS = {1: BT709, 5: BT601, 6: BT601, 7: SMPTE240M, 9: BT2020, 10: BT2020}  # (Kr, Kb) by ITU-T H.273's number
HD = 720  # lines; from here on what is not tagged is BT.709, as players take it
FULL_RANGE = 2
TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")
CHROMA = {(1, 1): "444", (1, 2): "422", (2, 2): "420", (2, 1): "440", (1, 4): "411", (4, 4): "410"}  # by lines, pixels


class Planes:
    """The samples of one frame.

    Args:
        frame: Decoded; converted where its samples are not in planes.
        to_change: Copied where its memory is the decoder's, which may look at it again.
    """

    def __init__(self, frame: VideoFrame, to_change: bool = True) -> None:
        name = planar_name(frame.format)
        if name != frame.format.name:
            frame = retimed(frame.reformat(format=name), frame)
        if to_change:
            frame.make_writable()
        self.frame = frame
        form = frame.format
        self.size = (frame.height, frame.width)
        self.bits = form.components[0].bits
        self.step = _chroma_step(form)  # pixels of a chroma sample, down and across
        colours = [each for each in form.components if not each.is_alpha]
        self.planes = [self._plane(each.plane) for each in colours]
        alpha = [each for each in form.components if each.is_alpha]
        self.alpha = self._plane(alpha[0].plane) if alpha else None
        self.is_rgb = form.is_rgb
        full = self.is_rgb or frame.color_range == FULL_RANGE or form.name.startswith("yuvj")
        unit = 1 << (self.bits - 8)
        self.most = (1 << self.bits) - 1
        self.black: int
        self.luma: int
        self.chroma: int
        self.black, self.luma, self.chroma = (0, self.most, self.most) if full else (16 * unit, 219 * unit, 224 * unit)
        self.kr, self.kb = WEIGHTS.get(int(frame.colorspace), BT709 if frame.height >= HD else BT601)

    @classmethod
    def copied(cls, frame: VideoFrame) -> Planes:
        """Of a copy, without alpha."""
        name = planar_name(frame.format, alpha=False)
        source = cls(frame, to_change=False)
        copy = VideoFrame(frame.width, frame.height, name)
        for tag in TAGS:
            setattr(copy, tag, getattr(frame, tag))
        result = cls(copy)
        for one, other in zip(result.planes, source.planes):
            one[:] = other
        return result

    def _plane(self, number: int) -> np.ndarray:
        plane: Any = self.frame.planes[number]  # a buffer, of which PyAV's types say nothing
        kind = np.uint8 if self.bits == 8 else np.uint16
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
        return rows[: plane.height, : plane.width]

    def aligned(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """A box ``(top, bottom, left, right)`` grown to whole chroma samples."""
        (down, across), (height, width) = self.step, self.size
        top, bottom, left, right = box
        return (
            top // down * down,
            min(height, -(-bottom // down) * down),
            left // across * across,
            min(width, -(-right // across) * across),
        )

    def colours(self, box: tuple[int, int, int, int]) -> Tensor:
        """RGB ``[h, w, 3]`` float32, 0..1 but for what lies beyond black and white, of an aligned box."""
        top, bottom, left, right = box
        if self.is_rgb or len(self.planes) == 1:
            found = [_part(each, box).sub_(self.black).div_(self.luma) for each in self.planes]
            return torch.stack(found * (3 // len(found)), -1)
        luma = _part(self.planes[0], box).sub_(self.black).div_(self.luma)
        out = luma.new_empty(*luma.shape, 3)
        for channel, added in enumerate(self._chroma(box)):
            torch.add(luma, self._spread(added, luma.shape), out=out[..., channel])
        return out

    @property
    def is_halved(self) -> bool:
        """Whether two by two pixels share their chroma, so that a change can be found for all four at once."""
        return self.step == (2, 2) and len(self.planes) == 3

    def halved(self, box: tuple[int, int, int, int]) -> Tensor:
        """Like :meth:`colours`, of four pixels each, ``[h / 2, w / 2, 3]``; for halved frames."""
        luma = quarters(_part(self.planes[0], box)).sub_(self.black).div_(self.luma)
        out = luma.new_empty(*luma.shape, 3)
        for channel, added in enumerate(self._chroma(box)):
            torch.add(luma, added, out=out[..., channel])
        return out

    def add_halved(self, change: Tensor, gain: float, weight: Tensor, box: tuple[int, int, int, int]) -> None:
        """Adds a change of four pixels each, ``[h / 2, w / 2, 3]``, and of luma what each differs from their mean.

        Args:
            change: Of RGB.
            gain: How much the change of luma grows with luma.
            weight: ``[h, w]``, how far the change is made.
            box: Aligned.
        """
        luma, chroma = self._components(change)
        before = _part(self.planes[0], box)
        mean = quarters(before)
        luma = luma.mul_(self.luma).sub_(mean, alpha=gain).repeat_interleave(2, 1)
        rows, columns = before.shape
        made = before * gain
        made[0::2] += luma[:, :columns]
        made[1::2] += luma[: rows // 2, :columns]
        self._put(self.planes[0], made.mul_(weight).add_(before), box)
        small, share = self._chroma_box(box), quarters(weight)
        for plane, part in zip(self.planes[1:], chroma):
            self._add(plane, part.mul_(share), small)

    def add(self, change: Tensor, box: tuple[int, int, int, int]) -> None:
        """Adds a change ``[h, w, 3]`` of RGB inside an aligned box, rounded to the format's steps."""
        if self.is_rgb:
            for plane, part in zip(self.planes, change.unbind(-1)):
                self._add(plane, part * self.luma, box)
            return
        luma, chroma = self._components(change)
        self._add(self.planes[0], luma * self.luma, box)
        if len(self.planes) > 1:
            small = self._chroma_box(box)
            for plane, part in zip(self.planes[1:], chroma):
                self._add(plane, self._gathered(part), small)

    def _chroma(self, box: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """What chroma adds to luma to make red, green and blue, at its own resolution."""
        small = self._chroma_box(box)
        blue, red = (_part(each, small).sub_(self.most // 2 + 1).div_(self.chroma) for each in self.planes[1:3])
        red, blue = red.mul_(2 * (1 - self.kr)), blue.mul_(2 * (1 - self.kb))
        green = (red * -self.kr).sub_(blue, alpha=self.kb).div_(1 - self.kr - self.kb)
        return red, green, blue

    def _components(self, change: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """A change of RGB as one of luma, 0..1, and two of the samples of chroma."""
        red, green, blue = change.unbind(-1)
        luma = (red * self.kr).add_(green, alpha=1 - self.kr - self.kb).add_(blue, alpha=self.kb)
        first, second = (
            (part - luma).mul_(self.chroma / (2 * (1 - weight))) for part, weight in ((blue, self.kb), (red, self.kr))
        )
        return luma, (first, second)

    def _add(self, plane: np.ndarray, change: Tensor, box: tuple[int, int, int, int]) -> None:
        self._put(plane, _part(plane, box).add_(change), box)

    def _put(self, plane: np.ndarray, samples: Tensor, box: tuple[int, int, int, int]) -> None:
        kept = torch.from_numpy(plane[box[0] : box[1], box[2] : box[3]])
        kept.copy_(samples.round_().clamp_(0, self.most))

    def _chroma_box(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        down, across = self.step
        return box[0] // down, -(-box[1] // down), box[2] // across, -(-box[3] // across)

    def _spread(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Chroma samples repeated over their pixels: the reverse of the mean, so nothing is lost."""
        down, across = self.step
        if down > 1:
            values = values.repeat_interleave(down, 0)
        if across > 1:
            values = values.repeat_interleave(across, 1)
        return values[: shape[0], : shape[1]]

    def _gathered(self, values: Tensor) -> Tensor:
        pooled = torch.nn.functional.avg_pool2d(values[None, None], self.step, ceil_mode=True)
        return pooled[0, 0]


def retimed(frame: VideoFrame, other: VideoFrame) -> VideoFrame:
    """A frame at another's time."""
    frame.pts = other.pts
    if other.time_base is not None:
        frame.time_base = other.time_base
    return frame


def planar_name(form: VideoFormat, alpha: bool = True) -> str:
    """The name of the planar format, in the machine's order of bytes, that holds what ``form`` does."""
    bits = form.components[0].bits if not form.has_palette else 8
    ending = "" if bits <= 8 else f"{min(bits, 16)}le"
    has_alpha = any(each.is_alpha for each in form.components)
    alpha = alpha and has_alpha
    if form.is_rgb or form.has_palette or form.is_bayer:
        return f"gbr{'a' if alpha else ''}p{ending}"
    if len(form.components) - has_alpha == 1 and not alpha:
        return f"gray{ending}"
    if form.name.startswith("yuvj"):
        return form.name
    return f"yuv{'a' if alpha else ''}{CHROMA[_chroma_step(form)]}p{ending}"


def _chroma_step(form: VideoFormat) -> tuple[int, int]:
    if form.is_rgb or len(form.components) < 3:
        return 1, 1
    return 64 // form.chroma_height(64), 64 // form.chroma_width(64)


def quarters(values: Tensor) -> Tensor:
    """Means of two by two; at an odd end of what there is."""
    rows = values[0::2].clone()
    below = values[1::2]
    rows[: len(below)].add_(below).mul_(0.5)
    columns = rows[:, 0::2].clone()
    beside = rows[:, 1::2]
    columns[:, : beside.shape[1]].add_(beside).mul_(0.5)
    return columns


def _part(plane: np.ndarray, box: tuple[int, int, int, int]) -> Tensor:
    return torch.from_numpy(plane[box[0] : box[1], box[2] : box[3]].astype(np.float32))

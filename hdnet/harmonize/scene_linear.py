"""Scene-linear pictures: values in proportion to light, without an upper limit.

All that judges a picture sees its display rendering: exposed by a factor ``e`` and encoded by the transfer function of
sRGB (IEC 61966-2-1), which goes on above white as scRGB has it (IEC 61966-2-2). What is more than a stop brighter than
white is brought down to there in its own hue, and its excess ``k = max(1, e * max(x) / 2)`` over that is kept for each
pixel. So the rendering ``sRGB(e * x / k)`` is invertible, and its change becomes ``k / e * sRGB⁻¹`` of what it was
changed to: a highlight is multiplied by what the change makes of a bright white of its hue, and stays a highlight. A
gain map (ISO 21496-1) keeps range and picture apart in the same way.

Whatever judges colours clips the rendering at 1, as the sensor of a camera does; what is applied to it does not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .consistency import looks_like_film
from .decision import Decision
from .defringe import defringe as take_fringe
from .drift import find_drift
from .inputs import BRIGHTEST, Frames, check_frames, paste, shaped
from .masks import fit_mask, shape_mask
from .objects import check_objects, together
from .options import check_choice

if TYPE_CHECKING:
    from .harmonizer import Harmonizer

ENCODINGS = ("auto", "display", "linear")
ABOVE_WHITE = 1.5  # a picture that is brighter than this is light; what resizing and sharpening overshoot by is less
HEADROOM = 2.0  # times white: up to there a rendering goes on above 1
LUMINANCE = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
BRIGHT, OUTLIERS = 0.995, 2.0  # quantile of the largest channel, and how many times that white may be
ROOM = 0.9  # of white, to expose to; a foreground that is brighter than the background is clipped less
OUT_OF_SIGHT = 4.0  # times white; a pasted foreground that for the most part is brighter is dimmed
MOST_IN_SIGHT = 0.9  # quantile of its largest channel that is then no more than white
DARKEST_KEY, RAISED_KEY = 0.0125, 0.02  # log-average luminances below which 1 and 2 of 100 photographs lie
FLOOR = 1e-3  # of a rendering; keeps black pixels from deciding a log-average
ROUNDS, MOST_RAISED = 3, 64  # towards that log-average
SAMPLES = 1 << 18  # pixels that an exposure is found from
MAX_STOPS = 32.0


@dataclass(frozen=True)
class Rendering:
    """A display rendering and the way back.

    Attributes:
        display: ``[H, W, 3]``, sRGB, not negative; 1 is white, and the most is 1.35, :data:`HEADROOM` times its light.
        excess: ``[H, W, 1]``, ``k / e``: how much brighter the light is than what is rendered.
        light: ``[H, W, 3]``, the picture itself.
    """

    display: Tensor
    excess: Tensor
    light: Tensor

    @classmethod
    def of(cls, light: Tensor, exposure: float) -> Rendering:
        """Renders linear light; negative values, as of colours outside the gamut, are rendered as 0.

        Args:
            light: ``[H, W, 3]`` float32, linear, finite.
            exposure: Factor that brings a diffuse white to 1.
        """
        excess = (light.amax(-1, keepdim=True) / HEADROOM).clamp(min=1 / exposure)
        return cls(encode_srgb((light / excess).clamp(0, HEADROOM)), excess, light)

    def undone(self, display: Tensor) -> Tensor:
        """The light of a changed rendering ``[H, W, 3]``; where nothing has changed, bit for bit the picture."""
        changed = decode_srgb(display) * self.excess + self.light.clamp(max=0)
        return torch.where(display == self.display, self.light, changed)


def encode_srgb(linear: Tensor) -> Tensor:
    """Linear light, not negative, to sRGB; the curve goes on above 1."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def decode_srgb(display: Tensor) -> Tensor:
    """The inverse of :func:`encode_srgb`."""
    return torch.where(display <= 0.04045, display / 12.92, ((display.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def is_scene_linear(encoding: str, exposure: float | None, **images: Tensor | None) -> bool:
    """Whether images are scene-linear.

    Args:
        encoding: ``"display"`` and ``"linear"`` say it; with ``"auto"`` images are that are brighter than white, and
            those that an exposure is given for.
        exposure: See :func:`harmonize_scene_linear`.
        **images: ``[B, H, W, 3 or 4]`` by their names, or None; one that is brighter than white decides for all.

    Raises:
        ValueError: An option is wrong, or the values may be in 0..255 as well.
    """
    check_choice("encoding", encoding, ENCODINGS)
    if exposure is not None:
        if not isinstance(exposure, Real) or not abs(exposure) <= MAX_STOPS:
            raise ValueError(
                f"The exposure must be a number of stops in -{MAX_STOPS:g}..{MAX_STOPS:g}, not {exposure!r}."
            )
        if encoding == "display":
            raise ValueError("An exposure is for scene-linear images; leave it out, or set the encoding to linear.")
        return True
    if encoding != "auto":
        return encoding == "linear"
    return any([_is_brighter_than_white(image, name) for name, image in images.items() if image is not None])


def _is_brighter_than_white(image: Tensor, name: str) -> bool:
    if not isinstance(image, Tensor) or image.dim() != 4 or not image.is_floating_point() or image.numel() == 0:
        return False  # whoever takes it says what is wrong
    colours = image[..., :3]
    highest = float(colours.amax())
    if not ABOVE_WHITE < highest < math.inf or torch.equal(colours, colours.round()):  # whole numbers: 0..255
        return False
    if highest > BRIGHTEST and colours.median() > 1:
        raise ValueError(
            f"The {name} reaches up to {highest:.3g}: if it lies in 0..255, divide it by 255; if it is scene-linear, "
            "set the encoding to linear."
        )
    return True


def find_exposure(light: Tensor, weight: Tensor | None = None) -> float:
    """The exposure under which a picture looks like a photograph.

    A photograph uses its whole range, so the brightest of it is rendered as white, and no more than a stop above the
    brightest two-hundredth, for lamps and the sun outshine any white. Of 94 photographs made linear, that of the
    background lies 0.1 stops below their white (standard deviation 0.3); with the two-hundredth itself as white it is
    0.3 (0.6), and half a stop too much costs more than twice what half a stop too little does, for what is clipped
    cannot be judged.

    The log-average by which Reinhard et al. expose ("Photographic Tone Reproduction for Digital Images", 2002) spreads
    by 0.9 and serves as a lower bound: where a window or a lamp would leave the picture darker than 99 of 100
    photographs, more of it is rendered as white. It is raised by up to twice what it lacks, for a night is to stay a
    night, and a room to be seen beside its window.

    Args:
        light: ``[H, W, 3]``, linear.
        weight: ``[H, W]``; where 0 a pixel does not count.

    Returns:
        The factor; 1 where no light is seen.
    """
    pixels = _samples(light, None if weight is None else weight > 0).float().clamp(min=0)
    if not pixels.any():
        return 1.0
    bright, brightest = _quantiles(pixels.amax(-1), BRIGHT, 1.0)
    white = min(brightest, OUTLIERS * bright) or brightest
    luminance = (pixels @ pixels.new_tensor(LUMINANCE)) / white
    luminance = luminance[luminance > 0]

    def key(exposure: float) -> float:
        return float((luminance * exposure).clamp(FLOOR, 1).log().mean().exp())

    wanted = min(RAISED_KEY, DARKEST_KEY * max(1.0, DARKEST_KEY / key(1.0)))
    raised = 1.0
    for _ in range(ROUNDS):  # from below, for what becomes white gains no more
        raised *= max(1.0, wanted / key(raised))
    return ROOM * min(raised, MOST_RAISED) / white


def _samples(light: Tensor, where: Tensor | None) -> Tensor:
    """``[N, 3]``, about SAMPLES pixels at most of ``[H, W, 3]``, from all over it, where ``[H, W]`` says so."""
    step = max(1, math.isqrt(light.shape[0] * light.shape[1] // SAMPLES))
    some = light[::step, ::step]
    return some.flatten(0, 1) if where is None else some[where[::step, ::step]]


def _quantiles(values: Tensor, *shares: float) -> list[float]:
    """Of ``[N]``, not empty, without interpolation."""
    ordered = values.sort().values
    return [float(ordered[int(share * (len(ordered) - 1))]) for share in shares]


def background_exposure(picture: Tensor, mask: Tensor) -> float:
    """The exposure of what is seen outside a mask, or of all where that is nothing; see :func:`find_exposure`.

    Args:
        picture: ``[H, W, 3 or 4]``, linear.
        mask: ``[H, W]``.
    """
    seen = mask == 0
    if picture.shape[-1] == 4:
        seen = seen & (picture[..., 3] > 0)
    return find_exposure(picture[..., :3], seen if seen.any() else None)


def harmonize_scene_linear(
    harmonizer: Harmonizer,
    image: Tensor,
    mask: Tensor,
    *,
    background: Tensor | None = None,
    exposure: float | None = None,
    consistency: str = "per_frame",
    foreground: str = "auto",
    grow: int = 0,
    feather: float = 0,
    objects: str = "images",
    defringe: bool = False,
    **options: Any,
) -> Tensor:
    """Harmonizes a batch of scene-linear images.

    Args:
        harmonizer: What harmonizes the renderings.
        image: ``[B, H, W, 3 or 4]``, linear light of any range, alpha not premultiplied.
        mask: ``[B, h, w]`` in 0..1, 1 = the foreground to change.
        background: ``[B, H, W, 3 or 4]``, linear; the image is pasted onto it in linear light.
        exposure: In stops, as on a viewer: ``2 ** exposure`` times the values is what is judged. None finds it from
            all that is not foreground; for a film, one for all frames.
        consistency: As of :class:`.Harmonizer`.
        foreground: As of :class:`.Harmonizer`.
        grow: As of :class:`.Harmonizer`.
        feather: As of :class:`.Harmonizer`.
        objects: As of :class:`.Harmonizer`.
        defringe: As of :class:`.Harmonizer`; done in linear light.
        **options: The other options of :class:`.Harmonizer`.

    Returns:
        float32 ``[B, H, W, 3 or 4]``, linear; where the mask is 0, bit for bit the image or the background.

    Raises:
        ValueError: Shapes, values or options do not fit; the message says which and how to mend it.
    """
    frames = check_frames(image, together(mask) if objects == "together" else mask, background, any_range=True)
    check_objects(objects, len(image))
    if defringe:
        frames = _defringed(frames, together(frames.mask) if objects == "each" else frames.mask)
    frames = shaped(frames, grow, feather)
    masks: Callable[[int], Tensor] = frames.mask_of
    count = len(frames)
    if objects == "each":  # all of them lie in one picture
        count, masks = 1, lambda _: torch.stack([frames.mask_of(each) for each in range(len(frames.mask))]).amax(0)
    out = torch.empty(count, *frames.size, frames.channels, device=image.device)
    for index, composite in enumerate(out):
        picture = frames.image[index % len(frames.image)]
        if frames.background is None:
            composite.copy_(picture)
        else:
            paste(composite, picture[..., :3].float(), frames.background[index % len(frames.background)], masks(index))
    light = out[..., :3]
    exposures = [2.0**exposure] * count if exposure is not None else _found(out, masks)
    if exposure is None and _is_film(out, masks, exposures, consistency):
        exposures = _mean(exposures)
    shown, behind = _rendered(light, exposures), None
    if frames.background is not None:
        apart, known = _rendered(frames.image, exposures), _rendered(frames.background, exposures)
        if _needs_background(apart, known, masks):
            shown, behind = apart, known
    unbounded = copy.copy(harmonizer)
    unbounded.ceiling = math.inf
    others = options | {"consistency": consistency, "foreground": foreground, "objects": objects, "encoding": "display"}
    tell = others.pop("decided", None)

    def judge(shown: Tensor, **more: Any) -> tuple[Tensor, dict[int, Decision]]:
        decisions: dict[int, Decision] = {}
        return unbounded(shown, frames.mask, decided=decisions.__setitem__, **more, **others), decisions

    gains = [1.0] * count
    if behind is None and objects != "each":
        gains = [_dimming(each, masks(index), exposures[index]) for index, each in enumerate(light)]
        if min(gains) < 1 and _is_film(out, masks, exposures, consistency):
            gains = _mean(gains)
    changed, decisions = judge(shown, background=behind)
    dim = [index for index, gain in enumerate(gains) if gain < 1 and decisions[index].kind == "pasted"]
    dimmed = light.clone() if dim else light
    for each, factor, display in zip(light, exposures, changed):
        each.copy_(Rendering.of(each, factor).undone(display))
    if dim:
        for index in dim:
            dimmed[index] *= _weights(masks(index), gains[index], **options)
        others["progress"] = None
        changed, again = judge(_rendered(dimmed, exposures))
        for index in dim:
            if again[index].kind == "pasted":
                decisions[index] = again[index]
                light[index] = Rendering.of(dimmed[index], exposures[index]).undone(changed[index])
    for index, decision in decisions.items():
        if tell is not None:
            tell(index, decision)
    return out


def _dimming(light: Tensor, mask: Tensor, exposure: float) -> float:
    """What brings a foreground into sight: 1, or less where half of it is more than two stops brighter than white.

    An object from elsewhere may come in any unit of light, and nothing can be judged of what is clipped. It is dimmed
    until no more than a tenth is brighter than white, with a soft beginning. Highlights stay, and so does what is
    bright before a dark background, whose exposure is found too high by a stop or two.

    Args:
        light: ``[H, W, 3]``.
        mask: ``[H, W]``.
        exposure: Factor.
    """
    inside = _samples(light, mask > 0.5)
    if not len(inside):
        return 1.0
    middle, bright = _quantiles(inside.amax(-1) * exposure, 0.5, MOST_IN_SIGHT)
    return 1 / max(1.0, min(bright, (middle / OUT_OF_SIGHT) ** 3))


def _weights(
    mask: Tensor,
    gain: float,
    strength: float = 1.0,
    lightness: float = 1.0,
    blend_grow: int = 0,
    blend_feather: float = 0,
    **_: Any,
) -> Tensor:
    """``[H, W, 1]``, the gain inside a mask, as far as options have lightness changed."""
    cover = shape_mask(mask[None], blend_grow, blend_feather)[0, ..., None]
    return 1 + cover * (gain ** (min(1.0, strength) * lightness) - 1)


def _defringed(frames: Frames, mask: Tensor) -> Frames:
    """The frames without what is left of old backgrounds on the rims of the masks."""
    images = [frames.image[n % len(frames.image)].float() for n in range(max(len(frames.image), len(mask)))]
    cleaned = torch.stack(images)
    for number, picture in enumerate(cleaned):
        cover = fit_mask(mask[number % len(mask)][None], frames.size)[0].to(picture.device)
        take_fringe(picture, cover, pasted=frames.background is None)
    return replace(frames, image=cleaned)


def _rendered(images: Tensor, exposures: list[float]) -> Tensor:
    """``[N, H, W, 3]``, an image for each exposure; a shorter batch is repeated."""
    numbered = enumerate(exposures)
    return torch.stack([Rendering.of(images[n % len(images)][..., :3].float(), e).display for n, e in numbered])


def _found(composites: Tensor, masks: Callable[[int], Tensor]) -> list[float]:
    return [background_exposure(picture, masks(index)) for index, picture in enumerate(composites)]


def _is_film(composites: Tensor, masks: Callable[[int], Tensor], exposures: list[float], consistency: str) -> bool:
    """Whether composites share an exposure, else their foreground would flicker."""
    if consistency != "auto" or len(composites) == 1:
        return consistency in ("uniform", "smooth")
    every = torch.stack([masks(index) for index in range(len(composites))])
    return looks_like_film(_rendered(composites, _mean(exposures)), every)


def _mean(factors: list[float]) -> list[float]:
    """The geometric mean, in place of each."""
    return [math.exp(sum(map(math.log, factors)) / len(factors))] * len(factors)


def _needs_background(images: Tensor, backgrounds: Tensor, masks: Callable[[int], Tensor]) -> bool:
    """Whether the harmonizer is to see the backgrounds apart: they tell a drift, or are all that there is to match."""
    return any(
        bool(masks(index).min() > 0) or find_drift(image, background, masks(index)) is not None
        for index, (image, background) in enumerate(zip(images, backgrounds))
    )

"""From images and masks to harmonized images, at any size."""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from .colour_transfer import ColourChange, ColourStatistics, apply_colour_change, colour_statistics, fit_colour_change
from .consistency import looks_like_film, smooth_statistics, summed_statistics
from .decision import Decision
from .edits import Edit, judge, judge_shot, trust_in
from .inputs import Frames, check_frames, shaped
from .masks import bounding_box, shape_mask
from .objects import check_objects, harmonize_each, together
from .oklab import check_parts, keep_parts
from .options import check_choice, check_resolution, check_strength
from .resize import shrink, shrink_separately, working_size
from .scene_linear import harmonize_scene_linear, is_scene_linear

logger = logging.getLogger(__name__)

CONSISTENCY = ("per_frame", "uniform", "smooth", "auto")
FOREGROUND = ("auto", "pasted", "edited")
NO_COLOUR = 1.5 / 255  # channels closer than this everywhere: a picture without colour
ONE_COLOUR = 1e-4
TRANSFER_RESOLUTION = 512  # a change is known at this many squared pixels at most; more add time and noise


@dataclass
class Work:
    """One composite at the size the network sees it.

    Attributes:
        source: ``[3, h, w]`` in 0..1, the composite.
        foreground: ``[h, w]`` bool.
        reference: ``[h, w]`` bool, what may serve as reference; None for all that is not foreground.
        aside: ``[3, h, w]``, a picture to show beside the composite because all of that is foreground.
        target: ``[3, h, w]`` in 0..1, the generator's picture; it means something in the foreground only.
    """

    source: Tensor
    foreground: Tensor
    reference: Tensor | None = None
    aside: Tensor | None = None
    target: Tensor | None = None


class Harmonizer:
    """Makes the foreground of images match their background.

    The network works at a moderate resolution; its change of colour is then fitted (:mod:`.colour_transfer`) and
    applied to the full-size image, so that edges and texture stay as they are.

    Args:
        network: An :class:`~.network.HDNet`, or any module of the same call. It stays on its device; images
            may be elsewhere.
        batch_pixels: Pixels that the network sees at a time, in a batch of small pictures; at least one picture.
    """

    ceiling = 1.0  # no value rises above it; infinity where images hold more than white

    def __init__(self, network: nn.Module, batch_pixels: int = 1 << 20) -> None:
        self.network = network
        self.batch_pixels = batch_pixels

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        background: Tensor | None = None,
        reference_mask: Tensor | None = None,
        resolution: int | str = 256,
        strength: float = 1.0,
        feather: float = 0,
        consistency: str = "per_frame",
        foreground: str = "auto",
        lightness: float = 1.0,
        colour: float = 1.0,
        grow: int = 0,
        blend_grow: int = 0,
        blend_feather: float = 0,
        objects: str = "images",
        encoding: str = "auto",
        exposure: float | None = None,
        defringe: bool = False,
        progress: Callable[[int, int], None] | None = None,
        decided: Callable[[int, Decision], None] | None = None,
    ) -> Tensor:
        """Harmonizes a batch of images.

        What is known is undone exactly, what is seen on the edge of the mask is fitted (:mod:`.seam`), and what is
        neither is judged by the network, as far as its weights' rule trusts it (:mod:`.acting`).

        Args:
            image: ``[B, H, W, 3]`` or ``[B, H, W, 4]``, 0..1, sRGB, or scene-linear. Alpha is carried through.
            mask: ``[B, H, W]`` in 0..1, 1 = the foreground to change. Another size is resized (bilinear), a
                shorter batch repeated; one image takes any number of masks.
            background: The picture the image is pasted onto by the mask, before and after; ``[B, H, W, 3 or 4]``.
                Of its own inpainted copy, the shift of tones seen outside the mask is taken back in full, whatever the
                strength (:mod:`.drift`), and with ``foreground="auto"`` nothing else is changed.
            reference_mask: ``[B, H, W]`` in 0..1, 1 = this part may serve as reference; default: all that is
                not foreground.
            resolution: The network works on about this squared number of pixels, 64 to 4096; ``"native"``
                runs it at the full size.
            strength: 0 returns the (pasted) image, 1 makes the change, 2 twice the change.
            feather: Softens the mask's edge by this many pixels to either side, 0 to 1024.
            consistency: ``"per_frame"`` treats every image by itself; ``"uniform"`` fits one change to all of
                them; ``"smooth"`` lets the change vary slowly over the batch, as frames of a film; ``"auto"`` is
                smooth where neighbouring images are alike.
            foreground: ``"edited"`` for a region inpainted or recoloured in its place, ``"pasted"`` for an object from
                elsewhere, which is always acted on; ``"auto"`` sees which it is, and leaves alone what seems to fit.
            lightness: How much of the change's lightness is made, 0..1; 0 keeps that of every pixel, as Oklab has it.
            colour: How much of its hue and chroma, 0..1; with 0 only the lightness changes. What then leaves sRGB
                loses chroma until it fits.
            grow: Grows the mask by this many pixels, before it is softened; shrinks it where negative, -256 to 256.
            blend_grow: The same for blending only, after the foreground was judged.
            blend_feather: Softens the mask for blending only.
            objects: Several masks for one image are ``"images"``: one result for each; ``"each"``: one result, every
                object matched by itself, the others part of its background; ``"together"``: matched as one.
            encoding: ``"display"`` for sRGB; ``"linear"`` for scene-linear images of any range, of which a display
                rendering is judged (:mod:`.scene_linear`); ``"auto"``: linear where the image or its background is
                brighter than 1.5, which sRGB is not, or an exposure is given.
            exposure: Of scene-linear images, in stops: ``2 ** exposure`` times the values is what is judged. None
                finds it from the background, for each image or for a film.
            defringe: Takes the old background's colour out of the rim of a cut-out first (:mod:`.defringe`).
            progress: Called with (images done, images in all) after each image; may raise to interrupt.
            decided: Called with an image's index and what was decided about it.

        Returns:
            float32 ``[B, H, W, 3 or 4]`` on the image's device. Where the mask is 0 it equals the image (or
            the background, if given) bit for bit. An image whose mask is empty, or that has no reference
            because the mask covers everything, comes back as it is, with a warning in the log.

        Raises:
            ValueError: Shapes, values or options do not fit; the message says which and how to mend it.
        """
        check_options(resolution, strength, consistency, foreground)
        check_parts(lightness, colour)
        others: dict[str, Any] = {
            "reference_mask": reference_mask,
            "resolution": resolution,
            "strength": strength,
            "foreground": foreground,
            "lightness": lightness,
            "colour": colour,
            "blend_grow": blend_grow,
            "blend_feather": blend_feather,
            "progress": progress,
            "decided": decided,
        }
        if is_scene_linear(encoding, exposure, image=image, background=background):
            shape: dict[str, Any] = {"grow": grow, "feather": feather, "objects": objects, "consistency": consistency}
            shape["defringe"] = defringe
            return harmonize_scene_linear(
                self, image, mask, background=background, exposure=exposure, **shape, **others
            )
        frames = check_frames(
            image,
            together(mask) if objects == "together" else mask,
            background,
            reference_mask,
            defringed=defringe,
            any_range=self.ceiling > 1,
        )
        check_objects(objects, len(image))
        if objects == "each":
            return harmonize_each(self, shaped(frames, grow, feather), **others)
        frames = shaped(frames, grow, feather)
        size, count = frames.size, len(frames)
        out = torch.empty(count, *size, frames.channels, device=image.device)
        working = working_size(size, resolution)

        if consistency == "auto":
            shot = frames.background if len(frames.image) == 1 and frames.background is not None else frames.image
            consistency = "smooth" if looks_like_film(shot, frames.mask) else "per_frame"
        edits: list[Edit] = []
        if consistency != "per_frame":  # a shot is judged as one, before anything is changed
            edits = judge_shot(frames, out, foreground, lambda: progress and progress(0, count))

        def ask(index: int) -> Work | str:
            if consistency == "per_frame":
                edits.append(judge(frames, index, out[index], foreground))
            return _ask(frames, index, out[index], edits[index], working)

        asked = map(ask, range(count))
        done = self._run(asked, working)
        proposals = _proposals(done, consistency)
        trust = trust_in(self.network, foreground)
        for index, proposal in enumerate(proposals):
            mask = shape_mask(frames.mask_of(index)[None], blend_grow, blend_feather)[0]
            parts = (lightness, colour)
            decision = _settle(edits[index], proposal, trust, out[index], mask, strength, parts, self.ceiling)
            if decided is not None:
                decided(index, decision)
            if progress is not None:
                progress(index + 1, count)
        return out

    def _run(self, works: Iterable[Work | str], working: tuple[int, int]) -> Iterator[Work | str]:
        """Runs the network on batches of neighbouring frames."""
        batch = max(1, self.batch_pixels // (working[0] * working[1]))
        works = iter(works)
        while some := list(islice(works, batch)):
            plain = [work for work in some if isinstance(work, Work) and work.aside is None]
            if plain:
                self.generate(plain)
            for work in some:
                if isinstance(work, Work) and work.aside is not None:
                    self.generate([work])
            yield from some

    def generate(self, works: list[Work]) -> None:
        """Fills in the targets of works of one shape."""
        pictures = torch.stack([work.source for work in works])
        foreground = torch.stack([work.foreground for work in works])[:, None]
        references = [work.reference for work in works if work.reference is not None]  # of all of them or of none
        reference = torch.stack(references)[:, None] if references else None
        if works[0].aside is not None and reference is not None:
            pictures = torch.cat((pictures, works[0].aside[None]), -1)
            reference = torch.cat((torch.zeros_like(foreground), reference), -1)
            foreground = torch.cat((foreground, torch.zeros_like(foreground)), -1)
        inputs = [pictures * 2 - 1, foreground] if reference is None else [pictures * 2 - 1, foreground, reference]
        generated = self.run_network(*inputs)
        # the difference to what was shown, in the network's own precision: no change is exactly none
        change = (generated.float() - inputs[0].to(generated).float()).to(pictures.device).div_(2)
        for work, each in zip(works, change):
            work.target = (work.source + each[..., : work.source.shape[-1]]).clamp_(0, 1)

    def run_network(self, *inputs: Tensor) -> Tensor:
        """Runs the network in its own precision, or in float32 where that does not hold the result.

        Args:
            *inputs: Composites, masks and, if there are any, references, as :meth:`.HDNet.forward` takes them.

        Returns:
            ``[B, 3, H, W]``, finite.
        """
        parameter = next(self.network.parameters(), inputs[0])
        generated = self.network(*(each.to(parameter.device, parameter.dtype) for each in inputs))
        if generated.isfinite().all():
            return generated
        if parameter.dtype != torch.float32:
            logger.warning("%s does not hold what the network computes here; it runs in float32.", parameter.dtype)
            self.network = copy.deepcopy(self.network).float()
            return self.run_network(*inputs)
        logger.warning("The network returned values that are no numbers; they are left out.")
        return torch.where(generated.isfinite(), generated, inputs[0][..., : generated.shape[-1]].to(generated))


def check_options(resolution: int | str, strength: float, consistency: str, foreground: str = "auto") -> None:
    """Raises ValueError, in one sentence, where an option of :class:`Harmonizer` is out of range."""
    check_resolution(resolution)
    check_strength(strength)
    check_choice("consistency", consistency, CONSISTENCY)
    check_choice("foreground", foreground, FOREGROUND)


@dataclass
class Proposal:
    """What the network says about a frame.

    Attributes:
        change: Its change of colours; None where there is nothing to do.
        mean_square: Of the change over the foreground, on the scale 0..255.
        reason: A kind of :class:`.Decision`, where there is nothing to do.
    """

    change: ColourChange | None = None
    mean_square: float | None = None
    reason: str = ""


def _ask(frames: Frames, index: int, picture: Tensor, edit: Edit, working: tuple[int, int]) -> Work | str:
    """What the network is to look at, or the kind of :class:`.Decision` where it need not."""
    mask = frames.mask_of(index)
    if edit.share == 1 and bounding_box(mask) is not None:
        return "known" if edit.known else "edited"
    return prepare_work(frames, index, picture, mask, working)


def prepare_work(frames: Frames, index: int, composite: Tensor, mask: Tensor, size: tuple[int, int]) -> Work | str:
    """One composite at the working size; why not, with a warning, where nothing can be done."""
    soft, inside, outside = shrink_separately(composite[..., :3], mask, size)
    # a mask that is faint everywhere still marks its foreground
    strongest = soft.amax()
    foreground = soft > 0.5 * strongest
    source = torch.where(foreground, inside, outside)
    allowed = frames.reference_of(index)
    if allowed is not None:
        allowed = shrink(allowed[..., None], size)[0] > 0.5
    reference = ~foreground if allowed is None else allowed & ~foreground
    known = strongest, source.amax() - source.amin(), reference.any()
    marked, colours, compared = torch.stack([each.float() for each in known]).tolist()  # a device is waited for once
    if not marked:
        logger.warning("The mask of image %d is empty; the image stays as it is.", index)
        return "empty"
    if colours < ONE_COLOUR:
        return "one colour"
    if compared:
        return Work(source, foreground, reference if allowed is not None else None)

    if allowed is None:
        allowed = torch.ones_like(foreground)
    if frames.reference is not None and not allowed.any():
        logger.warning("The reference mask of image %d is empty; the image stays as it is.", index)
        return "no reference"
    if (frames.background is None and frames.reference is None) or not allowed.any():
        logger.warning(
            "Image %d has no reference: its mask covers everything that may serve as one; it stays as it is.", index
        )
        return "everything"
    aside = source
    if frames.background is not None:
        background = frames.background[index % len(frames.background)][..., :3]
        aside = shrink(background.to(source.device, torch.float32), size).clamp(0, 1)
    return Work(source, foreground, allowed, aside)


def _proposals(works: Iterable[Work | str], consistency: str) -> Iterator[Proposal]:
    """The fitted change for every frame."""
    reasons: deque[str] = deque()

    def statistics() -> Iterator[ColourStatistics | None]:
        for work in works:
            reasons.append(work if isinstance(work, str) else "")
            yield None if isinstance(work, str) else work_statistics(work)

    found: Iterable[ColourStatistics | None] = statistics()
    shot = None
    if consistency != "per_frame":  # trusted as a whole, or its change would come and go
        found = list(found)
        sizes = [each.mean_square for each in found if each is not None]
        shot = sum(sizes) / max(1, len(sizes))
    if consistency == "uniform":
        found = summed_statistics(found)
    elif consistency == "smooth":
        found = smooth_statistics(found)
    for each in found:
        reason = reasons.popleft()
        if each is None:
            yield Proposal(reason=reason)
        else:
            size = each.mean_square if shot is None else shot
            yield Proposal(fit_colour_change(each, local=consistency != "uniform"), size)


def _settle(
    edit: Edit,
    proposal: Proposal,
    trust: Callable[[float], float],
    picture: Tensor,
    mask: Tensor,
    strength: float,
    parts: tuple[float, float],
    ceiling: float,
) -> Decision:
    """Decides, and changes ``[H, W, C]`` in place."""
    correlation = edit.fit.correlation if edit.fit is not None else None
    total = None
    if edit.fit is not None and edit.fitted:
        total = ColourChange.everywhere(edit.fit.matrix.to(picture.device)).scaled(edit.fitted)
    factor, change = 0.0, proposal.change
    if change is not None and proposal.mean_square is not None:
        factor = trust(proposal.mean_square)
        rest = factor * (1 - edit.share)
        if rest:
            total = change.scaled(rest) if total is None else total.plus(change.scaled(rest))
    if total is not None:
        weight = mask if strength == 1 else mask * strength
        _apply_change(total.without_colour() if _is_grey(picture) else total, picture, weight, parts, ceiling)
    return Decision(_kind(edit, proposal, factor), correlation, proposal.mean_square, factor)


def _kind(edit: Edit, proposal: Proposal, factor: float) -> str:
    if edit.known or (proposal.change is None and proposal.reason != "edited"):
        return "known" if edit.known else proposal.reason
    if edit.share > 0.5:
        return "edited" if edit.fit is not None and edit.fit.certainty(said=True) else "unclear"
    return "pasted" if factor else "left alone"


def _is_grey(picture: Tensor) -> bool:
    """Whether ``[H, W, 3 or more]`` has no colour anywhere."""

    def grey(some: Tensor) -> bool:
        return bool((some.amax(-1) - some.amin(-1)).max() < NO_COLOUR)

    return grey(picture[::16, ::16, :3]) and all(grey(rows) for rows in picture[..., :3].split(256))


def work_statistics(work: Work) -> ColourStatistics:
    """Statistics of a work's change of colour, at TRANSFER_RESOLUTION where the network saw more."""
    source, target, weight = work.source, work.target, work.foreground.float()
    assert target is not None, "the network has not seen this composite"
    size = working_size(weight.shape, TRANSFER_RESOLUTION)
    if size != weight.shape and max(weight.shape) > TRANSFER_RESOLUTION:
        share = shrink(weight[..., None], size)
        # the mean over the foreground alone: outside it the target means nothing
        source, target = (
            shrink((picture * weight).permute(1, 2, 0), size) / share.clamp(min=1e-6) for picture in (source, target)
        )
        weight = share[0]
    return colour_statistics(source, target, weight)


def _apply_change(
    change: ColourChange, picture: Tensor, weight: Tensor, parts: tuple[float, float], ceiling: float
) -> None:
    box = bounding_box(weight)
    if box is None or parts == (0, 0):
        return
    whole = picture[box[0] : box[1], box[2] : box[3]]
    before = whole[..., :3].clone() if parts != (1, 1) else None
    apply_colour_change(change, picture, weight, box, ceiling)
    if before is not None:
        keep_parts(whole, before, *parts, ceiling)

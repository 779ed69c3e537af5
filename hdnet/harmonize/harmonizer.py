"""From images and masks to harmonized images, at any size."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from .consistency import looks_like_film
from .decision import Decision
from .edits import Edit, judge, judge_shot, trust_in
from .inputs import check_frames, shaped
from .masks import shape_mask
from .objects import check_objects, harmonize_each, together
from .oklab import check_parts
from .options import check_choice, check_resolution, check_strength
from .proposals import proposals_of, settle
from .resize import working_size
from .scene_linear import harmonize_scene_linear, is_scene_linear
from .second_look import agreement, second_look
from .works import Work, ask_about

logger = logging.getLogger(__package__)

CONSISTENCY = ("per_frame", "uniform", "smooth", "auto")
FOREGROUND = ("auto", "pasted", "edited")


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
            resolution: The network works on about this squared number of pixels, 64 to 4096, of the image or of a small
                foreground's surroundings (:mod:`.closer`); ``"native"`` runs it at the full size.
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
        # a small foreground is looked at from nearer, unless what lies far from it counts or the view would jump
        closer = consistency == "per_frame" and frames.reference is None
        reach = max(0, blend_grow) + round(blend_feather) if closer else None
        edits: list[Edit] = []
        if consistency != "per_frame":  # a shot is judged as one, before anything is changed
            edits = judge_shot(frames, out, foreground, lambda: progress and progress(0, count))

        def ask(index: int) -> Work | str:
            if consistency == "per_frame":
                edits.append(judge(frames, index, out[index], foreground))
            return ask_about(frames, index, out[index], edits[index], working, reach)

        asked = map(ask, range(count))
        done = self._run(asked, working)
        proposals = proposals_of(done, consistency)
        trust = trust_in(self.network, foreground)
        for index, proposal in enumerate(proposals):
            mask = shape_mask(frames.mask_of(index)[None], blend_grow, blend_feather)[0]
            parts = (lightness, colour)
            decision = settle(edits[index], proposal, trust, out[index], mask, strength, parts, self.ceiling)
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

    def generate(self, works: list[Work], brief: bool = False, compare: bool = True) -> None:
        """Fills in what works of one shape are to look like.

        Args:
            works: Of one shape.
            brief: The second look alone is the answer, which errs nearly as little; for films, that average over time.
            compare: Also finds out how much both looks agree on.
        """
        pictures = torch.stack([work.source for work in works])
        foreground = torch.stack([work.foreground for work in works])[:, None]
        references = [work.reference for work in works if work.reference is not None]  # of all of them or of none
        reference = torch.stack(references)[:, None] if references else None
        if works[0].aside is not None and reference is not None:
            pictures = torch.cat((pictures, works[0].aside[None]), -1)
            reference = torch.cat((torch.zeros_like(foreground), reference), -1)
            foreground = torch.cat((foreground, torch.zeros_like(foreground)), -1)
        inputs = [pictures * 2 - 1, foreground] if reference is None else [pictures * 2 - 1, foreground, reference]
        looks = self.propose(*inputs, brief=brief and not compare)
        for number, work in enumerate(works):
            said = looks[:, number, ..., : work.source.shape[-1]]
            work.target = (work.source + (said[-1] if brief else said.mean(0))).clamp_(0, 1)
            work.agreed = agreement(said, work.foreground)

    def propose(self, *inputs: Tensor, brief: bool = False) -> Tensor:
        """How the network would change composites: at first, and at a second look where its weights ask for one.

        One that gets a second opinion also sees the mirror image itself.

        Args:
            *inputs: As of :meth:`run_network`.
            brief: The last look alone.

        Returns:
            ``[looks, B, 3, H, W]``, differences of colours in 0..1, on the composites' device.
        """
        if not self.second_look:
            return self._change(*inputs)[None]
        second = second_look(partial(self._change, second=True), inputs, self.second_look)
        if brief:
            return second[None]
        first = self._change(*inputs)
        if self.second_opinion is not None:
            first = (first + second_look(self._change, inputs, 1.0)) / 2
        return torch.stack((first, second))

    @property
    def second_look(self) -> float | None:
        """How much larger composites are at the second look that the weights ask for; None where they ask for none."""
        return getattr(self.network, "second_look", None)

    @property
    def second_opinion(self) -> nn.Module | None:
        """The network that takes the second look, where that is not the first one."""
        return getattr(self.network, "second_opinion", None)

    def _change(self, *inputs: Tensor, second: bool = False) -> Tensor:
        generated = self.run_network(*inputs, second=second)
        # the difference to what was shown, in the network's own precision: no change is exactly none
        return (generated.float() - inputs[0].to(generated).float()).to(inputs[0].device).div_(2)

    def run_network(self, *inputs: Tensor, second: bool = False) -> Tensor:
        """Runs the network in its own precision, or in float32 where that does not hold the result.

        Args:
            *inputs: Composites, masks and, if there are any, references, as :meth:`.HDNet.forward` takes them.
            second: Runs the one that gives a second opinion, where the network has one.

        Returns:
            ``[B, 3, H, W]``, finite.
        """
        network = self.second_opinion if second and self.second_opinion is not None else self.network
        parameter = next(network.parameters(), inputs[0])
        generated = network(*(each.to(parameter.device, parameter.dtype) for each in inputs))
        if generated.isfinite().all():
            return generated
        if parameter.dtype != torch.float32:
            logger.warning("%s does not hold what the network computes here; it runs in float32.", parameter.dtype)
            self.network = copy.deepcopy(self.network).float()
            return self.run_network(*inputs, second=second)
        logger.warning("The network returned values that are no numbers; they are left out.")
        return torch.where(generated.isfinite(), generated, inputs[0][..., : generated.shape[-1]].to(generated))


def check_options(resolution: int | str, strength: float, consistency: str, foreground: str = "auto") -> None:
    """Raises ValueError, in one sentence, where an option of :class:`Harmonizer` is out of range."""
    check_resolution(resolution)
    check_strength(strength)
    check_choice("consistency", consistency, CONSISTENCY)
    check_choice("foreground", foreground, FOREGROUND)

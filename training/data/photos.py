"""Photographs with object masks, turned into harmonization pairs as they are read.

A folder holds `images/NAME.jpg` and `masks/NAME.png` or `masks/NAME_K.png`, of any usual extension,
white where the object is. A `manifest.csv` with columns `id` and `split` may say what is for
training and what for validation; without one, a hash of the name decides.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ...files.names import key, owner, pictures_in
from ...files.text import read_table
from ...files.training_images import (
    EXTENSIONS,
    MASK_EXTENSIONS,
    Box,
    PictureError,
    read_mask,
    read_rgb,
    resize_mask,
    resize_picture,
)
from ..sample import Sample, Source, is_foreground, to_mask
from ..synthesis.augment import USUAL, Augmentation, soften_edge
from ..synthesis.camera import Camera, change_camera
from ..synthesis.compose_batch import pack
from ..synthesis.mixture import USUAL_MIXTURE, Mixture
from ..synthesis.paste import (
    INACCURATE,
    OTHER_LIGHT,
    Layers,
    compose,
    inaccurate,
    place_in,
    take_apart,
    with_halo,
)
from ..synthesis.recolour import recolour
from .splits import held_out

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}  # in manifests
HALVES = ("choose", "quote")  # of what is held out
FEWEST_TO_HALVE = 20  # photographs with masks
REFERENCE_COLOURS = 1024
BOLDNESS = (0.6, 1.0, 1.6, 2.2)  # of a pasted object's camera: from mild to plainly off
HALO, SHIFTED = 0.15, 0.4  # shares of pasted composites


class Photographs:
    """The photographs of one split.

    Args:
        root: Folder with `images/` and `masks/`.
        split: "train"; "val", what is held out; or one half of that: "choose", by which weights are chosen, or
            "quote", for figures to quote; or "all". Where a manifest has a split "test", "quote" is that, and
            "choose" is its "val".
        augmentation: What `sample` may change beside the colours.
        mixture: How often `sample` makes which kind of composite.

    Raises:
        ValueError: If the folder is not laid out like this, or the split has no masks.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        augmentation: Augmentation = USUAL,
        mixture: Mixture = USUAL_MIXTURE,
    ) -> None:
        if split not in ("train", "val", "all", *HALVES):
            raise ValueError(f"The split must be 'train', 'val', 'choose', 'quote' or 'all', not {split!r}.")
        self.root = Path(root)
        self.augmentation = augmentation
        self.mixture = mixture
        pictures = _find_pictures(self.root)
        masks = _find_masks(self.root, pictures)
        names = _names_of(self.root, split, pictures.keys(), masks)
        self.pictures = [pictures[name] for name in names]
        self.masks = [masks.get(name, []) for name in names]
        self.with_masks = [i for i, found in enumerate(self.masks) if found]
        if not self.with_masks:
            there = sum(1 for _ in (self.root / "masks").iterdir())
            raise ValueError(
                f"{self.root}: no photograph of the split '{split}' has a mask; masks/ holds {there} files, and those "
                "of NAME.jpg are named NAME.png or NAME_0.png, NAME_1.png and so on."
            )
        self._references: dict[int, np.ndarray | None] = {}

    def __len__(self) -> int:
        """Number of photographs that have a mask."""
        return len(self.with_masks)

    def sample(self, index: int, rng: np.random.Generator, size: int) -> Sample:
        """A sample from photograph `index`, `size` pixels square: random mask, crop, flip and colours.

        Raises:
            PictureError: If the photograph or its mask cannot be read.
        """
        photo = self.with_masks[index]
        picture, mask = self.read(photo, rng)
        box = self.augmentation.box(mask, rng)
        if rng.random() < self.mixture.pasted:
            sample = self._paste(picture, mask, photo, rng, size, box)
            return sample if rng.random() >= self.augmentation.flip else sample.flipped()
        untouched = _untouched(resize_picture(picture, size, box), resize_mask(mask, size, box))
        if rng.random() < self.mixture.untouched:
            return self.augmentation(untouched, rng)
        region = self.augmentation.region(untouched.mask, rng)
        return self.augmentation(self._recolour(untouched, photo, rng, region, self.augmentation.edge(rng)), rng)

    def whole(
        self,
        index: int,
        rng: np.random.Generator,
        size: int | None = None,
        which: int | None = None,
    ) -> Sample:
        """A sample from the whole of photograph `index`: not cropped, and always recoloured.

        Args:
            index: Of the photograph, among those with masks.
            rng: Decides everything.
            size: Of the square it is resized to; None keeps the photograph's own size.
            which: Number of the mask, from 0; None takes one at random.

        Raises:
            PictureError: If the photograph or its mask cannot be read.
        """
        photo = self.with_masks[index]
        picture, mask = self.read(photo, rng, which)
        if size is not None and rng.random() < self.mixture.pasted:
            return self._paste(picture, mask, photo, rng, size)
        if size is not None:
            picture, mask = resize_picture(picture, size), resize_mask(mask, size)
        return self._recolour(_untouched(picture, mask), photo, rng)

    def layers(self, index: int, rng: np.random.Generator, size: int) -> np.ndarray | None:
        """Photograph `index` taken apart, from which :mod:`..synthesis.compose_batch` makes composites.

        As in a `sample`, mask, crop, shift, halo and flip are random. Where a pasted object is not to differ by its
        camera, it comes in another object's colours too. One that is not pasted always does, keeps its rim and stays.

        Returns:
            Uint8 `[10, size, size]`, see `compose_batch.pack`; None where too little is left of the object.

        Raises:
            PictureError: If the photograph or its mask cannot be read.
        """
        photo = self.with_masks[index]
        picture, mask = self.read(photo, rng)
        box = self.augmentation.box(mask, rng)
        pasted = rng.random() < self.mixture.pasted
        shift = pasted and rng.random() < SHIFTED
        layers = take_apart(np.asarray(picture), np.asarray(mask), size, box, rng, shift, keep_rim=not pasted)
        if layers is None:
            return None
        if pasted:
            layers = self._perhaps_with_halo(layers, photo, rng)
        by_camera = pasted and rng.random() < self.mixture.camera
        packed = pack(layers, None if by_camera else self._recoloured(layers, photo, rng))
        return packed if rng.random() >= self.augmentation.flip else np.ascontiguousarray(packed[..., ::-1])

    def at_hand(self, path: Path) -> AbstractContextManager[Path]:
        """The file to read for one of `pictures` or `masks`, for as long as the context lasts."""
        return nullcontext(path)

    def read(self, photo: int, rng: np.random.Generator, which: int | None = None) -> tuple[Image.Image, Image.Image]:
        """Photograph number `photo` of `pictures`, and one of its masks; PictureError where it cannot be read."""
        with self.at_hand(self.pictures[photo]) as here:
            picture = read_rgb(here)
        if which is None:
            which = int(rng.integers(len(self.masks[photo])))
        path = self.masks[photo][which]
        with self.at_hand(path) as here:
            mask = read_mask(here)
        if mask.size != picture.size:
            raise PictureError(
                f"{path}: the mask is {mask.size[0]}x{mask.size[1]} but its photograph "
                f"{picture.size[0]}x{picture.size[1]}; they must be equal."
            )
        if not mask.getbbox():
            raise PictureError(f"{path}: the mask is empty.")
        return picture, mask

    def _recolour(
        self,
        untouched: Sample,
        photo: int,
        rng: np.random.Generator,
        region: np.ndarray | None = None,
        edge: float = 0.0,
    ) -> Sample:
        """The sample with other colours in `region`, by default in the mask, fading over `edge` pixels."""
        inside = untouched.foreground if region is None else is_foreground(region)
        if not inside.any():  # a thin object that vanished with the resizing
            return untouched
        image = untouched.real.astype(np.float32) / 255
        # About half of all attempts are rejected; after twelve, the composite is the photograph itself.
        for _ in range(12):
            reference = self.reference(photo, rng)
            if reference is None:
                continue
            changed = recolour(image, inside, reference, rng)
            if changed is not None:
                if edge:
                    changed = soften_edge(image, changed, inside, edge)
                return replace(untouched, composite=(changed * 255 + 0.5).astype(np.uint8))
        return untouched

    def _paste(
        self,
        picture: Image.Image,
        mask: Image.Image,
        photo: int,
        rng: np.random.Generator,
        size: int,
        box: Box | None = None,
    ) -> Sample:
        """A pasted composite: nothing beside the mask tells the object's true colours."""
        layers = take_apart(np.asarray(picture), np.asarray(mask), size, box, rng, rng.random() < SHIFTED)
        if layers is None:  # too thin to lose its edge
            return _untouched(resize_picture(picture, size, box), resize_mask(mask, size, box))
        if rng.random() < OTHER_LIGHT:
            layers = _in_other_light(layers, Camera.random(rng, 1.0))
        layers = self._perhaps_with_halo(layers, photo, rng)
        changed = None
        if rng.random() >= self.mixture.untouched:
            changed = self._other_colours(layers, photo, rng)
        composite, real = compose(layers, changed), compose(layers)
        shown = inaccurate(layers.mask, rng) if rng.random() < INACCURATE else layers.mask
        real = np.where(shown[..., None], real, composite)  # what the mask misses is not to be harmonized
        return Sample(composite, to_mask(shown), real)

    def _other_colours(self, layers: Layers, photo: int, rng: np.random.Generator) -> np.ndarray | None:
        """Colours `[N, 3]` for a pasted object, or None where nothing plausible was found."""
        if rng.random() < self.mixture.camera:
            return change_camera(layers.foreground[layers.mask], place_in(layers.mask), rng, rng.choice(BOLDNESS))
        recoloured = self._recoloured(layers, photo, rng)
        return None if recoloured is None else recoloured[layers.mask]

    def _recoloured(self, layers: Layers, photo: int, rng: np.random.Generator) -> np.ndarray | None:
        """The foreground, float32 `[S, S, 3]`, in another photograph's colours; None where none were plausible."""
        for _ in range(12):
            reference = self.reference(photo, rng)
            if reference is None:
                continue
            changed = recolour(layers.foreground, layers.mask, reference, rng)
            if changed is not None:
                return changed
        return None

    def _perhaps_with_halo(self, layers: Layers, photo: int, rng: np.random.Generator) -> Layers:
        if rng.random() < HALO and (colours := self.reference(photo, rng)) is not None:
            return with_halo(layers, colours[rng.integers(len(colours))], rng)
        return layers

    def reference(self, photo: int, rng: np.random.Generator) -> np.ndarray | None:
        """Colours of another photograph, float32 `[M, 3]`; None where it cannot be read.

        They are those of its object where it has one, else of all of it. Kept, so that no
        photograph is decoded as a reference twice.
        """
        count = len(self.pictures)
        other = (photo + int(rng.integers(1, max(2, count)))) % count
        if other not in self._references:
            self._references[other] = self._read_reference(other)
        colours = self._references[other]
        return None if colours is None else colours.astype(np.float32) / 255

    def _read_reference(self, photo: int) -> np.ndarray | None:
        rng = np.random.default_rng(photo)
        try:
            if self.masks[photo]:
                picture, mask = self.read(photo, rng)
            else:
                with self.at_hand(self.pictures[photo]) as here:
                    picture = read_rgb(here)
                mask = Image.new("L", picture.size, 255)
        except PictureError as error:
            log.warning("No reference: %s", error)
            return None
        colours = np.asarray(picture)[is_foreground(np.asarray(mask))]
        return colours[rng.integers(len(colours), size=REFERENCE_COLOURS)]


def _in_other_light(layers: Layers, camera: Camera) -> Layers:
    """Both layers as another camera sees them, without its gradient."""
    foreground, background = (
        camera(picture.reshape(-1, 3)).clip(0, 1).reshape(picture.shape)
        for picture in (layers.foreground, layers.background)
    )
    return replace(layers, foreground=foreground, background=background)


def _untouched(picture: Image.Image, mask: Image.Image) -> Sample:
    pixels = np.asarray(picture)
    return Sample(composite=pixels, mask=np.asarray(mask), real=pixels)


def validation_index(source: Source, position: int, seed: int = 0) -> int:
    """The index of the sample at a position of a fixed order: random, each once before any comes twice."""
    order = np.random.default_rng(seed).permutation(len(source))
    return int(order[position % len(order)])


def validation_sample(source: Source, position: int, size: int | None = 256, seed: int = 0) -> Sample:
    """The sample at that position: a whole picture, `size` pixels square, the same on every call."""
    return source.whole(validation_index(source, position, seed), np.random.default_rng([seed, position]), size)


def validation_set(source: Source, count: int = 160, seed: int = 0, size: int = 256) -> list[Sample]:
    """The first `count` of these fixed samples."""
    return [validation_sample(source, position, size, seed) for position in range(count)]


def _find_pictures(root: Path) -> dict[str, Path]:
    for folder in (root / "images", root / "masks"):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; photographs need images/ and masks/.")
    return {path.stem: path for path in pictures_in(root / "images", EXTENSIONS)}


def _find_masks(root: Path, pictures: dict[str, Path]) -> dict[str, list[Path]]:
    """Masks of each picture, see :func:`~...files.names.owner`; of any extension."""
    names = {key(name): name for name in pictures}
    masks: dict[str, list[Path]] = {}
    for path in pictures_in(root / "masks", MASK_EXTENSIONS):
        if (found := owner(path, names)) is not None:
            masks.setdefault(names[found], []).append(path)
    return masks


def _names_of(root: Path, split: str, names: Set[str], masks: dict[str, list[Path]]) -> list[str]:
    if split == "all":
        return sorted(names)
    manifest = root / "manifest.csv"
    if manifest.is_file():
        known = {key(name): name for name in names}
        rows = [row | {"id": _named(row["id"], known)} for row in read_table(manifest, {"id", "split"})]
        rows = [row | {"split": _SPLITS.get(row["split"].lower(), row["split"])} for row in rows]
        if any(row["split"] == "test" for row in rows):
            split = {"choose": "val", "quote": "test"}.get(split, split)
        wanted = {row["id"] for row in rows if row["split"] == ("val" if split in HALVES else split)}
        groups = {row["id"]: row.get("group") or row["id"] for row in rows}
        return sorted(_half(wanted & names, split, masks, groups))
    # Those with and those without masks are split apart, so that some of the held-out ones have masks.
    validation = held_out(masks, VALIDATION_SHARE) | held_out(names - masks.keys(), VALIDATION_SHARE)
    if split == "train":
        return sorted(names - validation)
    return sorted(_half(validation, split, masks, {}))


def _named(text: str, known: dict[str, str]) -> str:
    """The name of a photograph, as a manifest may give it with its extension or its folder."""
    last = PurePosixPath(text.replace("\\", "/"))
    return known.get(key(text)) or known.get(key(last.name)) or known.get(key(last.stem)) or text


def _half(names: Set[str], split: str, masks: dict[str, list[Path]], groups: dict[str, str]) -> Set[str]:
    """One half of the held-out names, the members of a group on one side; all of them where that would be too few."""
    if split not in HALVES or len(names & masks.keys()) < FEWEST_TO_HALVE:
        return names
    # Without groups, all these names have a hash below VALIDATION_SHARE; another one halves them.
    keys = {name: groups.get(name, f"quote {name}") for name in names}
    kept_back = held_out(keys.values(), 0.5)
    return {name for name in names if (keys[name] in kept_back) == (split == "quote")}

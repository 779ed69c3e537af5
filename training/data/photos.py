"""Photographs with object masks, turned into harmonization pairs as they are read.

A folder holds `images/NAME.jpg` and `masks/NAME.png` or `masks/NAME_K.png`, of any usual extension,
white where the object is. A `manifest.csv` with columns `id` and `split` may say what is for
training and what for validation; without one, a hash of the name decides.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ...files.names import key, owner, pictures_in
from ...files.text import read_table
from ...files.training_images import (
    EXTENSIONS,
    MASK_EXTENSIONS,
    PictureError,
    read_mask,
    read_rgb,
    resize_mask,
    resize_picture,
)
from ..synthesis.augment import USUAL, Augmentation, Box, soften_edge
from ..synthesis.camera import Camera, change_camera
from ..synthesis.paste import Layers, compose, inaccurate, place_in, take_apart, with_halo
from ..synthesis.recolour import recolour
from .splits import held_out

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}  # in manifests
HALVES = ("choose", "quote")  # of what is held out
FEWEST_TO_HALVE = 20  # photographs with masks
REFERENCE_COLOURS = 1024
BOLDNESS = (0.6, 1.0, 1.6, 2.2)  # of a pasted object's camera: from mild to plainly off
OTHER_LIGHT = 0.25  # share of pasted composites whose whole scene is seen by another camera, truth and all
HALO, INACCURATE, SHIFTED = 0.15, 0.2, 0.4  # shares of pasted composites


class Photographs:
    """The photographs of one split.

    Args:
        root: folder with `images/` and `masks/`.
        split: "train"; "val", what is held out; or one half of that: "choose", by which weights are chosen, or
            "quote", for figures to quote; or "all". Where a manifest has a split "test", "quote" is that, and
            "choose" is its "val".
        augmentation: what `sample` may change beside the colours.
        untouched: share of its pairs whose composite is the photograph itself, so that a
            network also learns to leave a harmonious picture alone.
        pasted: share of its pairs without traces of the object beside the mask, see `paste`.
        camera: share of those whose object differs by camera and light, not by another
            object's statistics.

    Raises:
        ValueError: when the folder is not laid out like this or the split has no masks.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        augmentation: Augmentation = USUAL,
        untouched: float = 0.05,
        pasted: float = 0.0,
        camera: float = 0.7,
    ):
        if split not in ("train", "val", "all", *HALVES):
            raise ValueError(f"The split must be 'train', 'val', 'choose', 'quote' or 'all', not {split!r}.")
        self.root = Path(root)
        self.augmentation = augmentation
        self.untouched = untouched
        self.pasted = pasted
        self.camera = camera
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
        self._references: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Number of photographs that have a mask."""
        return len(self.with_masks)

    def sample(self, index: int, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        """A pair from photograph `index`: random mask, crop, flip and colours.

        Returns:
            See `pairs`: uint8 `composite`, `real` `[size, size, 3]` and `mask` `[size, size]`.

        Raises:
            PictureError: when the photograph or its mask cannot be read.
        """
        photo = self.with_masks[index]
        picture, mask = self.read(photo, rng)
        box = self.augmentation.box(mask, rng)
        if rng.random() < self.pasted:
            pair = self._paste(picture, mask, photo, rng, size, box)
            return pair if rng.random() >= self.augmentation.flip else _flipped(pair)
        real, mask = resize_picture(picture, size, box), resize_mask(mask, size, box)
        if rng.random() < self.untouched:
            real, mask = np.asarray(real), np.asarray(mask)
            pair = {"composite": real, "mask": mask, "real": real}
        else:
            region = self.augmentation.region(np.asarray(mask), rng)
            pair = self._compose(real, mask, photo, rng, region, self.augmentation.edge(rng))
        return self.augmentation(pair, rng)

    def whole(
        self,
        index: int,
        rng: np.random.Generator,
        size: int | None = None,
        which: int | None = None,
    ) -> dict[str, np.ndarray]:
        """A pair from the whole of photograph `index`: not cropped, and always recoloured.

        Args:
            size: of the square it is resized to; None keeps the photograph's own size.
            which: number of the mask, from 0; None takes one at random.
        """
        photo = self.with_masks[index]
        picture, mask = self.read(photo, rng, which)
        if size is not None and rng.random() < self.pasted:
            return self._paste(picture, mask, photo, rng, size)
        if size is not None:
            picture, mask = resize_picture(picture, size), resize_mask(mask, size)
        return self._compose(picture, mask, photo, rng)

    def read(self, photo: int, rng: np.random.Generator, which: int | None = None) -> tuple[Image.Image, Image.Image]:
        """Photograph number `photo` of `pictures`, and one of its masks; PictureError where it cannot be read."""
        picture = read_rgb(self.pictures[photo])
        if which is None:
            which = rng.integers(len(self.masks[photo]))
        path = self.masks[photo][which]
        mask = read_mask(path)
        if mask.size != picture.size:
            raise PictureError(
                f"{path}: the mask is {mask.size[0]}x{mask.size[1]} but its photograph "
                f"{picture.size[0]}x{picture.size[1]}; they must be equal."
            )
        if not mask.getbbox():
            raise PictureError(f"{path}: the mask is empty.")
        return picture, mask

    def _compose(
        self,
        picture: Image.Image,
        mask: Image.Image,
        photo: int,
        rng: np.random.Generator,
        region: np.ndarray | None = None,
        edge: float = 0.0,
    ) -> dict[str, np.ndarray]:
        """The pair of a photograph; its colours change in `region`, by default in the mask, fading over `edge`."""
        composite, foreground = np.asarray(picture), np.asarray(mask)
        pair = {"composite": composite, "mask": foreground, "real": composite}
        inside = (foreground if region is None else region) > 0
        if not inside.any():  # a thin object that vanished with the resizing
            return pair
        image = composite.astype(np.float32) / 255
        # About half of all attempts are rejected; what resists twelve stays as it is.
        for _ in range(12):
            reference = self.reference(photo, rng)
            if reference is None:
                continue
            changed = recolour(image, inside, reference, rng)
            if changed is not None:
                if edge:
                    changed = soften_edge(image, changed, inside, edge)
                return pair | {"composite": (changed * 255 + 0.5).astype(np.uint8)}
        return pair

    def _paste(
        self,
        picture: Image.Image,
        mask: Image.Image,
        photo: int,
        rng: np.random.Generator,
        size: int,
        box: Box | None = None,
    ) -> dict[str, np.ndarray]:
        """A pasted composite: nothing beside the mask tells the object's true colours."""
        pixels = np.asarray(picture), np.asarray(mask)
        layers = take_apart(*pixels, size, box, rng, rng.random() < SHIFTED)
        if layers is None:  # too thin to lose its edge
            small = np.asarray(resize_picture(picture, size, box))
            return {"composite": small, "mask": np.asarray(resize_mask(mask, size, box)), "real": small}
        if rng.random() < OTHER_LIGHT:
            layers = _in_other_light(layers, Camera.random(rng, 1.0))
        if rng.random() < HALO and (colours := self.reference(photo, rng)) is not None:
            layers = with_halo(layers, colours[rng.integers(len(colours))], rng)
        changed = None
        if rng.random() >= self.untouched:
            changed = self._other_colours(layers, photo, rng)
        composite, real = compose(layers, changed), compose(layers)
        shown = inaccurate(layers.mask, rng) if rng.random() < INACCURATE else layers.mask
        real = np.where(shown[..., None], real, composite)  # what the mask misses is not to be harmonized
        return {"composite": composite, "mask": np.where(shown, np.uint8(255), np.uint8(0)), "real": real}

    def _other_colours(self, layers: Layers, photo: int, rng: np.random.Generator) -> np.ndarray | None:
        """Colours `[N, 3]` for a pasted object, or None where nothing plausible was found."""
        if rng.random() < self.camera:
            return change_camera(layers.foreground[layers.mask], place_in(layers.mask), rng, rng.choice(BOLDNESS))
        for _ in range(12):
            reference = self.reference(photo, rng)
            if reference is None:
                continue
            changed = recolour(layers.foreground, layers.mask, reference, rng)
            if changed is not None:
                return changed[layers.mask]
        return None

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
                picture = read_rgb(self.pictures[photo])
                mask = Image.new("L", picture.size, 255)
        except PictureError as error:
            log.warning("No reference: %s", error)
            return None
        colours = np.asarray(picture)[np.asarray(mask) > 0]
        return colours[rng.integers(len(colours), size=REFERENCE_COLOURS)]


def _in_other_light(layers: Layers, camera: Camera) -> Layers:
    """Both layers as another camera sees them, without its gradient."""
    foreground, background = (
        camera(picture.reshape(-1, 3)).clip(0, 1).reshape(picture.shape)
        for picture in (layers.foreground, layers.background)
    )
    return replace(layers, foreground=foreground, background=background)


def _flipped(pair: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array[:, ::-1]) for name, array in pair.items()}


def validation_set(
    source: Photographs, count: int = 160, seed: int = 0, size: int = 256
) -> list[dict[str, np.ndarray]]:
    """Fixed pairs: whole pictures, `size` pixels square, the same on every call.

    Pictures are taken in random order, each once before any comes twice. Works for every
    source with `whole`, so for `IHarmony4` too.
    """
    order = np.random.default_rng(seed).permutation(len(source))
    return [source.whole(int(order[i % len(order)]), np.random.default_rng([seed, i]), size) for i in range(count)]


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
    # Apart, so that what is held out has masks.
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

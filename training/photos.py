"""Photographs with object masks, turned into harmonization pairs as they are read.

A folder holds `images/NAME.jpg` (or .png, .webp) and `masks/NAME.png` or `masks/NAME_K.png`,
white where the object is. A `manifest.csv` with columns `id` and `split` may say what is for
training and what for validation; without one, a hash of the name decides.
"""

from __future__ import annotations

import csv
import hashlib
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .pairs import PictureError
from .recolour import recolour

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
VALIDATION_SHARE = 0.1
FOREGROUND_RANGE = (0.01, 0.8)  # share of the picture, after cropping
REFERENCE_COLOURS = 1024


class Photographs:
    """The photographs of one split.

    Args:
        root: folder with `images/` and `masks/`.
        split: "train" or "val".
        untouched: share of pairs whose composite is the photograph itself, so that a network
            also learns to leave a harmonious picture alone.

    Raises:
        ValueError: when the folder is not laid out like this or the split has no masks.
    """

    def __init__(self, root: str | Path, split: str = "train", untouched: float = 0.05):
        if split not in ("train", "val"):
            raise ValueError(f"The split must be 'train' or 'val', not {split!r}.")
        self.root = Path(root)
        self.untouched = untouched
        pictures = _find_pictures(self.root)
        names = _split_names(self.root, sorted(pictures), split)
        masks = _find_masks(self.root, pictures)
        self.pictures = [pictures[name] for name in names]
        self.masks = [masks.get(name, []) for name in names]
        self.with_masks = [i for i, found in enumerate(self.masks) if found]
        if not self.with_masks:
            raise ValueError(f"{self.root}: no photograph of the split '{split}' has a mask.")
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
        picture, mask = self._read(photo, rng)
        box = _random_crop(mask, rng)
        pair = _resize(picture, mask, box, size)
        if rng.random() < 0.5:
            pair = tuple(np.ascontiguousarray(part[:, ::-1]) for part in pair)
        return self._compose(*pair, photo, rng, untouched=rng.random() < self.untouched)

    def whole(self, index: int, rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        """Like `sample`, but the whole photograph, unflipped and always recoloured."""
        photo = self.with_masks[index]
        picture, mask = self._read(photo, rng)
        return self._compose(*_resize(picture, mask, None, size), photo, rng)

    def _read(self, photo: int, rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
        picture = read_rgb(self.pictures[photo])
        path = self.masks[photo][rng.integers(len(self.masks[photo]))]
        mask = read_mask(path)
        if mask.size != picture.size:
            raise PictureError(
                f"{path}: the mask is {mask.size[0]}x{mask.size[1]} but its photograph "
                f"{picture.size[0]}x{picture.size[1]}; they must be equal."
            )
        if not mask.getbbox():
            raise PictureError(f"{path}: the mask is empty.")
        return picture, mask

    def _compose(self, real, mask, photo, rng, untouched=False) -> dict[str, np.ndarray]:
        composite = real
        foreground = mask > 0
        if not untouched and foreground.any():
            image = real.astype(np.float32) / 255
            # Half of all attempts are rejected; a picture that resists twelve stays as it is.
            for _ in range(12):
                changed = recolour(image, foreground, self._reference(photo, rng), rng)
                if changed is not None:
                    composite = (changed * 255 + 0.5).astype(np.uint8)
                    break
        return {"composite": composite, "mask": mask, "real": real}

    def _reference(self, photo: int, rng: np.random.Generator) -> np.ndarray:
        """Colours of another photograph: of its object where it has one, else of all of it."""
        others = len(self.pictures)
        other = int(rng.integers(others - 1)) if others > 1 else photo
        other += other >= photo and others > 1
        if other not in self._references:
            self._references[other] = self._read_reference(other)
        return self._references[other].astype(np.float32) / 255

    def _read_reference(self, photo: int) -> np.ndarray:
        rng = np.random.default_rng(photo)
        try:
            if self.masks[photo]:
                picture, mask = self._read(photo, rng)
            else:
                picture = read_rgb(self.pictures[photo])
                mask = Image.new("L", picture.size, 255)
        except PictureError:  # reported where it is a picture; here any colours will do
            return rng.integers(256, size=(REFERENCE_COLOURS, 3), dtype=np.uint8)
        colours = np.asarray(picture)[np.asarray(mask) > 0]
        return colours[rng.integers(len(colours), size=REFERENCE_COLOURS)]


def validation_set(
    photographs: Photographs, count: int = 160, seed: int = 0, size: int = 256
) -> list[dict[str, np.ndarray]]:
    """Fixed composites: whole photographs, `size` pixels square, the same on every call.

    Photographs are taken in random order, each once before any comes twice.
    """
    order = np.random.default_rng(seed).permutation(len(photographs))
    return [
        photographs.whole(
            int(order[i % len(order)]), np.random.default_rng([seed, i]), size
        )
        for i in range(count)
    ]


def read_rgb(path: Path) -> Image.Image:
    """Read a picture as RGB, turned upright; PictureError when it cannot be read."""
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path}: cannot be read as a picture ({error}).") from error


def read_mask(path: Path) -> Image.Image:
    """Read a mask as 8-bit grey, 0 or 255; PictureError when it cannot be read."""
    try:
        with Image.open(path) as mask:
            return mask.convert("L").point(lambda value: 255 * (value > 127))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path}: cannot be read as a mask ({error}).") from error


def _find_pictures(root: Path) -> dict[str, Path]:
    for folder in (root / "images", root / "masks"):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; photographs need images/ and masks/.")
    return {
        path.stem: path
        for path in sorted((root / "images").iterdir())
        if path.suffix.lower() in EXTENSIONS
    }


def _find_masks(root: Path, pictures: dict[str, Path]) -> dict[str, list[Path]]:
    """Masks of each picture: NAME.png, or NAME_K.png where K is one word."""
    masks: dict[str, list[Path]] = {}
    for path in sorted((root / "masks").glob("*.png")):
        name = path.stem if path.stem in pictures else path.stem.rpartition("_")[0]
        if name in pictures:
            masks.setdefault(name, []).append(path)
    return masks


def _split_names(root: Path, names: list[str], split: str) -> list[str]:
    manifest = root / "manifest.csv"
    if manifest.is_file():
        with open(manifest, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if not rows or not {"id", "split"} <= rows[0].keys():
            raise ValueError(f"{manifest}: needs the columns 'id' and 'split'.")
        wanted = {row["id"] for row in rows if row["split"] == split}
        return [name for name in names if name in wanted]
    # A name's place never depends on the other names, save that validation is never empty.
    place = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name in names}
    validation = {name for name in names if place[name] < VALIDATION_SHARE * 2**32}
    if not validation and len(names) > 1:
        validation = {min(names, key=place.__getitem__)}
    return [name for name in names if (name in validation) == (split == "val")]


def _random_crop(mask: Image.Image, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """A box of 0.4-1 of the area that keeps a useful share of the foreground.

    Its shape lies between the picture's, which is then squashed to a square as in the
    paper's evaluation, and a square, whose proportions stay, as when a picture is harmonized.
    """
    width, height = mask.size
    foreground = np.asarray(mask) > 0
    for _ in range(10):
        area = rng.uniform(0.4, 1) * width * height
        aspect = (width / height) ** rng.random() * math.exp(rng.uniform(-0.3, 0.3))
        w = min(width, max(1, round(math.sqrt(area * aspect))))
        h = min(height, max(1, round(math.sqrt(area / aspect))))
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        share = np.count_nonzero(foreground[y : y + h, x : x + w]) / (w * h)
        if FOREGROUND_RANGE[0] <= share <= FOREGROUND_RANGE[1]:
            return x, y, x + w, y + h
    return None


def _resize(picture, mask, box, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Bicubic for the picture and nearest for the mask, as in the paper's evaluation."""
    picture = picture.resize((size, size), Image.Resampling.BICUBIC, box=box)
    mask = mask.resize((size, size), Image.Resampling.NEAREST, box=box)
    return np.asarray(picture), np.asarray(mask)

"""Small photographs, masks and pairs in the layouts that training reads."""

import os
from zlib import crc32

import numpy as np
from PIL import Image


def scene(seed, width=90, height=64):
    """A smooth picture in colours of its own."""
    rng = np.random.default_rng(seed)
    grid = (rng.uniform(0.2, 0.8, 3) + rng.uniform(-0.2, 0.2, (4, 5, 3))) * 255
    small = Image.fromarray(grid.clip(0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def disc(width=90, height=64, x=0.5, y=0.5, radius=0.25):
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(columns - x * width, rows - y * height) < radius * height
    return Image.fromarray(inside)  # 1 bit


def write_photographs(root):
    """Twelve photographs: one or two masks each, the last one without."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(12):
        scene(number).save(root / f"images/shot_{number:02}.jpg", quality=95)
        if number % 3 == 0:
            disc(x=0.4).save(root / f"masks/shot_{number:02}.png")
        elif number < 11:
            disc(x=0.3).save(root / f"masks/shot_{number:02}_0.png")
            disc(x=0.7, radius=0.3).save(root / f"masks/shot_{number:02}_1.png")
    return root


def tree(root):
    """Every file below `root` with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def assert_same(pair, other):
    for name in ("composite", "mask", "real"):
        np.testing.assert_array_equal(getattr(pair, name), getattr(other, name))


def write_pair(root, subset, name, k=1, j=1, extension="jpg"):
    folder = root / subset
    for kind in ("composite_images", "masks", "real_images"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    scene(crc32(f"{name} {k} {j}".encode())).save(folder / f"composite_images/{name}_{k}_{j}.{extension}")
    disc().save(folder / f"masks/{name}_{k}.png")
    scene(crc32(name.encode())).save(folder / f"real_images/{name}.{extension}")
    return f"{subset}/composite_images/{name}_{k}_{j}.jpg"


def broken(path):
    path.write_bytes(path.read_bytes()[:200])


def names(pairs):
    return [os.path.splitext(pair.name)[0] for pair in pairs]

"""Files that commands are given."""

import numpy as np
import pytest
from PIL import Image

from harmonize_composite.weights import catalogue

random = np.random.default_rng(0)


@pytest.fixture
def files(tmp_path):
    """A composite with its mask, and things that are neither."""
    colours = random.integers(0, 256, (48, 64, 3), np.uint8)
    mask = np.zeros((48, 64), np.uint8)
    mask[12:36, 20:50] = 255
    mask[12, 20:50] = 100  # a soft edge
    Image.fromarray(colours).save(tmp_path / "composite.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask[:, :24]).save(tmp_path / "tall_mask.png")
    Image.fromarray(colours[:, :24]).save(tmp_path / "tall.png")
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "composite.png").read_bytes()[:3000])
    for name, value in (("nan", np.nan), ("infinite", np.inf), ("huge", 900.0)):
        values = random.random((48, 64), np.float32)
        values[3, 3] = value
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
    (tmp_path / "bad.safetensors").write_bytes(catalogue.CATALOGUE["hdnet-lite"].path.read_bytes()[:9999])
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x02]q\x00.")
    return tmp_path

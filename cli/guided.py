"""What `--guide` and `--guides` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def light_transfer_of(args: argparse.Namespace) -> Callable[..., Tensor]:
    """The transfer of light with the options of the command line."""
    from ..hdnet import LightTransfer
    from ..hdnet.network.device import choose_device

    device = choose_device(args.device)

    def transfer(picture: Tensor, guide: Tensor, mask: Tensor | None, **others: Any) -> Tensor:
        if mask is not None:
            mask = (1 - mask if args.invert_mask else mask).to(device)
        if others.get("added") is not None:
            others["added"] = others["added"].to(device)
        result = LightTransfer()(
            picture.to(device), guide.to(device), mask, strength=args.strength, feather=args.feather, **others
        )
        return result.cpu()

    return transfer


def read_mask_of(path: Path | None, picture: Tensor, named: Path) -> Tensor | None:
    """A mask from a file, checked against its picture `[1, H, W, C]`; None where there is no file."""
    from ..files.pictures import check_same_shape, read_mask

    if path is None:
        return None
    mask = read_mask(path)
    check_same_shape(picture, named, mask, path)
    return mask

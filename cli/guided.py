"""What `--guide` and `--guides` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def light_transfer_of(args: argparse.Namespace) -> Callable[..., Tensor]:
    """The transfer of light with the options of the command line."""
    from ..hdnet import LightTransfer
    from ..hdnet.network.device import choose_device

    if (args.grow, args.blend_grow, args.blend_feather, args.defringe) != (0, 0, 0, False):
        raise ValueError("A guide goes with --feather, not with the other options of the mask; leave them out.")
    device = choose_device(args.device)

    def transfer(picture: Tensor, guide: Tensor, mask: Tensor | None, **others: Any) -> Tensor:
        if mask is not None:
            mask = (1 - mask if args.invert_mask else mask).to(device)
        if others.get("added") is not None:
            others["added"] = others["added"].to(device)
        result = LightTransfer()(
            picture.to(device),
            guide.to(device),
            mask,
            strength=args.strength,
            feather=args.feather,
            lightness=args.lightness,
            colour=args.colour,
            **others,
        )
        return result.cpu()

    return transfer

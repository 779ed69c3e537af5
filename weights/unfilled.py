"""Networks whose parameters have shapes but no values yet."""

import torch
from torch.overrides import TorchFunctionMode

from ..hdnet import HDNet, HDNetConfig


class _WithoutInitialValues(TorchFunctionMode):
    """Leaves out `torch.nn.init`, which takes seconds on the meta device: there it runs as Python code."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def unfilled_network(config: HDNetConfig) -> HDNet:
    """Returns the network on the meta device, to be filled by ``load_state_dict(..., assign=True)``."""
    with torch.device("meta"), _WithoutInitialValues():
        return HDNet(config)

"""Images and masks as ComfyUI hands them to the nodes, and a network that runs out of memory."""

import torch


def picture(height=48, width=64, batch=1, channels=3, seed=0):
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


def square(height=48, width=64, batch=1):
    mask = torch.zeros(batch, height, width)
    mask[:, height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


def failing_above(pack, monkeypatch, limit, error):
    """Lets the network fail for more images at a time than the limit; returns the batch sizes it was given."""
    from harmonize_composite.hdnet import HDNet

    forward, sizes = HDNet.forward, []

    def limited(self, composite, *others):
        sizes.append(len(composite))
        if len(composite) > limit:
            raise error
        return forward(self, composite, *others)

    monkeypatch.setattr(HDNet, "forward", limited)
    return sizes

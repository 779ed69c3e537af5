"""The loss and the moving average."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonize_composite.training.loop.ema import update_average
from harmonize_composite.training.loop.objective import blend, foreground_mse


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([(64, 64), (128, 256), (256, 256)]), radius=st.integers(0, 60))
def test_the_objective_is_equation_1(seed, size, radius):
    rng = np.random.default_rng(seed)
    output, composite, real = rng.uniform(-1, 1, (3, 2, 3, *size))
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = np.stack([np.hypot(rows - 30, columns - 30) < r for r in (radius, 25)])[:, None].astype(float)
    losses = []
    for o, c, y, m in zip(output, composite, real, mask):
        predicted = np.where(m == 1, o, c)
        smallest = 100 * (size[0] * size[1]) / (256 * 256)
        losses.append(((predicted - y) ** 2).sum() / (3 * max(smallest, m.sum())))
    o, c, y, m = (torch.from_numpy(array).float() for array in (output, composite, real, mask))
    torch.testing.assert_close(foreground_mse(blend(o, c, m), y, m).double().item(), np.mean(losses), rtol=1e-4, atol=0)


def test_only_the_foreground_of_the_output_has_a_gradient():
    output = torch.zeros(1, 3, 16, 16, requires_grad=True)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:9, 4:9] = 1
    foreground_mse(blend(output, torch.rand(1, 3, 16, 16), mask), torch.ones(1, 3, 16, 16), mask).backward()
    assert torch.equal(output.grad != 0, mask.expand_as(output) == 1)


@pytest.mark.parametrize(("step", "decay"), [(1, 2 / 11), (90, 0.91), (91, 0.91), (10**6, 0.91)])
def test_the_moving_average_forgets_its_start_soon(step, decay):
    average, network = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    wanted = decay * average.weight + (1 - decay) * network.weight
    update_average(average, network, 0.91, step)
    torch.testing.assert_close(average.weight, wanted)

"""The probe of the rim: finds an answer that stands beside the mask, and none where there is none."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from harmonize_composite.benchmarks.rim_probe import predict, probe
from harmonize_composite.training.evaluation.evaluate import Case
from harmonize_composite.training.sample import Sample


def case(number: int, trace: bool) -> Case:
    """An object whose colours have nothing to do with its background, changed by a random shift."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:150, :150]
    mask = np.hypot(y - 75, x - 75) < 25
    background, texture = (gaussian_filter(rng.standard_normal((150, 150, 3)), (3, 3, 0)) * 80 for _ in range(2))
    real = (rng.uniform(90, 160, 3) + background).clip(0, 255)
    own = (rng.uniform(90, 160, 3) + texture).clip(0, 255)
    seen = mask | (trace & (distance_transform_edt(~mask) <= 5))
    real[seen] = own[seen]
    composite = real.copy()
    composite[mask] += rng.normal(0, 20, 3)
    real, composite = (np.rint(each.clip(0, 255)).astype(np.uint8) for each in (real, composite))
    return Case(f"{number} p{number}", "s", lambda: Sample(composite, np.uint8(255) * mask, real))


@pytest.mark.parametrize("trace", [True, False])
def test_only_a_trace_is_found(trace):
    found, count = probe([case(number, trace) for number in range(160)])
    assert count == 160
    lead = found["outer rim"][0] - found["beyond"][0]
    assert lead > 0.3 if trace else abs(lead) < 3 * found["outer rim"][1] + 0.03


def test_what_is_linear_is_predicted_on_others_and_noise_is_not():
    rng = np.random.default_rng(0)
    features, folds = rng.standard_normal((300, 6)), np.arange(300) % 5
    target = features[:, :3] @ rng.standard_normal((3, 3))
    assert np.abs(predict(features, target, folds) - target).max() < 0.05
    noise = rng.standard_normal((300, 3))
    assert ((predict(features, noise, folds) - noise) ** 2).mean() > 0.95 * (noise**2).mean()

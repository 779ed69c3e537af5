"""Colour transfers do what their papers say, and implausible results are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from skimage.color import rgb2ycbcr
from skimage.exposure import match_histograms

from harmonize_composite.training.synthesis import recolour

FOREGROUND = np.random.default_rng(1).normal((0.4, 0.5, 0.3), (0.08, 0.1, 0.06), (4000, 3))
REFERENCE = np.random.default_rng(2).normal((0.6, 0.5, 0.45), (0.1, 0.07, 0.1), (3000, 3))
REFERENCE[:, 1] = 0.5 * REFERENCE[:, 0] + 0.5 * REFERENCE[:, 1]
FOREGROUND, REFERENCE = (np.clip(colours, 0.05, 0.95).astype(np.float32) for colours in (FOREGROUND, REFERENCE))


def lab_of_the_paper(rgb):
    """lαβ step by step as in Reinhard et al. 2001, Eq. 4 to 6, in float64."""
    r, g, b = rgb.astype(np.float64).T
    long = np.log(0.3811 * r + 0.5783 * g + 0.0402 * b)
    medium = np.log(0.1967 * r + 0.7244 * g + 0.0782 * b)
    short = np.log(0.0241 * r + 0.1288 * g + 0.8444 * b)
    return np.stack(
        [
            (long + medium + short) / np.sqrt(3),
            (long + medium - 2 * short) / np.sqrt(6),
            (long - medium) / np.sqrt(2),
        ],
        axis=1,
    )


def test_reinhard_gives_the_reference_mean_and_deviation_in_lab():
    result = lab_of_the_paper(recolour.match_statistics(FOREGROUND, REFERENCE))
    reference = lab_of_the_paper(REFERENCE)
    np.testing.assert_allclose(result.mean(0), reference.mean(0), atol=1e-4)
    np.testing.assert_allclose(result.std(0), reference.std(0), rtol=1e-3)


def test_covariance_transfer_gives_the_reference_mean_and_covariance():
    result = recolour.match_covariance(FOREGROUND, REFERENCE)
    np.testing.assert_allclose(result.mean(0), REFERENCE.mean(0), atol=1e-5)
    np.testing.assert_allclose(np.cov(result.T), np.cov(REFERENCE.T), rtol=0.01, atol=1e-5)


def test_covariance_transfer_inverts_no_axis():
    brighter = 0.5 * FOREGROUND + 0.3
    result = recolour.match_covariance(FOREGROUND, brighter)
    np.testing.assert_allclose(result, brighter, atol=1e-4)


def test_ycbcr_is_that_of_bt601():
    studio = rgb2ycbcr(FOREGROUND.astype(np.float64))
    full = (studio - [16, 128, 128]) / [219, 224, 224] + [0, 0.5, 0.5]
    np.testing.assert_allclose(recolour.rgb_to_ycbcr(FOREGROUND), full, atol=2e-4)


def test_histogram_mapping_equals_that_of_scikit_image():
    def levels(colours):
        return np.clip(recolour.rgb_to_ycbcr(colours) * 255, 0, 255).round()

    source = recolour.ycbcr_to_rgb(levels(FOREGROUND) / np.float32(255))
    mapped = recolour.rgb_to_ycbcr(recolour.match_histograms(source, REFERENCE)) * 255
    expected = match_histograms(levels(FOREGROUND), levels(REFERENCE), channel_axis=1)
    np.testing.assert_allclose(mapped, expected, atol=0.01)


def test_distribution_transfer_matches_the_joint_distribution():
    bent = REFERENCE.copy()
    bent[:, 2] = 0.2 + 2 * (bent[:, 0] - 0.6) ** 2 + 0.3 * bent[:, 2]
    result = recolour.match_distribution(FOREGROUND, bent, np.random.default_rng(0), iterations=20)
    directions = np.random.default_rng(3).standard_normal((20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for direction in directions:
        before = wasserstein_distance(FOREGROUND @ direction, bent @ direction)
        after = wasserstein_distance(result @ direction, bent @ direction)
        assert after < max(0.1 * before, 0.004)


def test_one_stop_doubles_linear_light():
    result = recolour.change_exposure(FOREGROUND, 1)
    np.testing.assert_allclose(result**2.2, 2 * FOREGROUND**2.2, rtol=1e-4)


def test_white_balance_keeps_the_luma_of_grey():
    grey = np.full((1, 3), 0.5, np.float32)
    warm = recolour.change_white_balance(grey, 0.2, 0)[0]
    assert warm @ [0.299, 0.587, 0.114] == pytest.approx(0.5, abs=1e-5)
    assert warm[0] > warm[1] > warm[2]


def test_gamma_is_a_power_law():
    np.testing.assert_allclose(recolour.change_gamma(FOREGROUND, 2), FOREGROUND**2, rtol=1e-5)


def test_contrast_scales_deviations_and_keeps_the_mean_luma():
    luma = np.float32([0.299, 0.587, 0.114])
    result = recolour.change_contrast(FOREGROUND, 1.5)
    np.testing.assert_allclose(result.std(0), 1.5 * FOREGROUND.std(0), rtol=1e-4)
    assert (result @ luma).mean() == pytest.approx((FOREGROUND @ luma).mean(), abs=1e-5)


def test_no_saturation_is_grey():
    result = recolour.change_saturation(FOREGROUND, 0)
    luma = FOREGROUND @ np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(result, np.repeat(luma[:, None], 3, axis=1), atol=1e-6)


def test_a_straight_tone_curve_changes_nothing():
    straight = np.tile(np.linspace(0, 1, 6), (3, 1))
    np.testing.assert_allclose(recolour.change_tone(FOREGROUND, straight), FOREGROUND, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    contrast=st.floats(0, 0.5),
    reference_contrast=st.floats(0, 0.5),
)
def test_a_composite_is_plausible_or_refused(seed, height, width, contrast, reference_contrast):
    rng = np.random.default_rng(seed)
    image = (0.5 + contrast * rng.uniform(-1, 1, (height, width, 3))).astype(np.float32)
    mask = rng.random((height, width)) < 0.4
    mask[rng.integers(height), rng.integers(width)] = True
    colours = rng.random(3) + reference_contrast * rng.uniform(-1, 1, (50, 3))
    colours = np.clip(colours, 0, 1).astype(np.float32)
    original = image.copy()

    composite = recolour.recolour(image, mask, colours, np.random.default_rng(seed))

    np.testing.assert_array_equal(image, original)
    if composite is not None:
        assert composite.dtype == np.float32 and composite.shape == image.shape
        assert composite.min() >= 0 and composite.max() <= 1
        np.testing.assert_array_equal(composite[~mask], image[~mask])
        change = np.sqrt(np.mean((composite[mask] - image[mask]) ** 2))
        assert 0.0149 < change < 0.2801
        again = recolour.recolour(image, mask, colours, np.random.default_rng(seed))
        np.testing.assert_array_equal(again, composite)


def test_every_method_yields_composites():
    """A picture and its darker, warmer copy as reference: nothing here is implausible."""
    image = FOREGROUND[:2500].reshape(50, 50, 3)
    mask = np.zeros((50, 50), bool)
    mask[10:40, 10:40] = True
    reference = recolour.change_white_balance(recolour.change_exposure(FOREGROUND, -0.6), 0.15, 0)
    made = [recolour.recolour(image, mask, reference, np.random.default_rng(seed)) for seed in range(60)]
    assert sum(composite is not None for composite in made) > 40


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_foreground_pushed_out_of_range_is_refused(level, monkeypatch):
    def clip_most(colours, rng):
        return np.where(np.arange(len(colours))[:, None] % 5 < 4, 3 * level - 1, colours)

    monkeypatch.setattr(recolour, "edit", clip_most)
    for name in ("match_statistics", "match_covariance", "match_histograms"):
        monkeypatch.setattr(recolour, name, lambda colours, reference: clip_most(colours, None))
    monkeypatch.setattr(recolour, "match_distribution", lambda c, reference, rng: clip_most(c, rng))
    monkeypatch.setattr(recolour, "MILD_BLEND", (1.0, 1.0))
    monkeypatch.setattr(recolour, "FULL_BLEND", (1.0, 1.0))
    monkeypatch.setattr(recolour, "CHANGE_RANGE", (0.0, np.inf))
    monkeypatch.setattr(recolour, "MAX_SPREAD", np.inf)
    image = FOREGROUND[:2500].reshape(50, 50, 3)
    mask = np.ones((50, 50), bool)
    for seed in range(20):
        assert recolour.recolour(image, mask, REFERENCE, np.random.default_rng(seed)) is None


def test_noise_of_a_flat_foreground_is_not_stretched_over_a_colourful_reference():
    rng = np.random.default_rng(0)
    image = (0.5 + rng.normal(0, 0.004, (40, 40, 3))).astype(np.float32)
    mask = np.ones((40, 40), bool)
    reference = rng.random((500, 3)).astype(np.float32)
    for seed in range(60):
        composite = recolour.recolour(image, mask, reference, np.random.default_rng(seed))
        if composite is not None:
            assert recolour.rgb_to_ycbcr(composite[mask]).std(0).max() < 0.03

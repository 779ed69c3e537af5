"""The metrics are those of scikit-image, and fMSE is the paper's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from harmonize_composite.training.evaluation.metrics import (
    IDENTICAL_PSNR,
    Metrics,
    average,
    fmse,
    measure,
    mse,
    psnr,
    ssim,
    to_8bit,
    worse_fraction,
)


@st.composite
def picture_pairs(draw):
    height, width = draw(st.integers(7, 40)), draw(st.integers(7, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    real = random.integers(0, 256, (height, width, 3))
    noise = random.integers(-draw(st.integers(1, 255)), draw(st.integers(1, 255)) + 1, real.shape)
    foreground = random.random((height, width)) < draw(st.floats(0.05, 1.0))
    foreground[height // 2, width // 2] = True
    return np.clip(real + noise, 0, 255).astype(np.uint8), real.astype(np.uint8), foreground


@settings(max_examples=40, deadline=None)
@given(picture_pairs())
def test_metrics_equal_those_of_scikit_image(pictures):
    prediction, real, foreground = pictures
    scores = measure(prediction, real, foreground)
    reference = mean_squared_error(real, prediction)
    assert scores.mse == mse(prediction, real) == pytest.approx(reference)
    if reference:
        assert scores.psnr == pytest.approx(peak_signal_noise_ratio(real, prediction, data_range=255))
    assert scores.ssim == ssim(prediction, real)
    assert scores.ssim == pytest.approx(structural_similarity(real, prediction, channel_axis=2, data_range=255))
    assert scores.fmse == fmse(prediction, real, foreground)
    assert scores.fmse == pytest.approx(mean_squared_error(real[foreground], prediction[foreground]))


@settings(max_examples=40, deadline=None)
@given(picture_pairs())
def test_fmse_is_mse_by_the_share_of_the_foreground_when_the_background_is_right(pictures):
    prediction, real, foreground = pictures
    blended = np.where(foreground[..., None], prediction, real)
    expected = mse(blended, real) * foreground.size / foreground.sum()
    assert fmse(blended, real, foreground) == pytest.approx(expected)


def test_fmse_ignores_the_background():
    real = np.full((8, 8, 3), 100, np.uint8)
    prediction = np.full_like(real, 200)
    foreground = np.zeros((8, 8), bool)
    foreground[2:4, 2:4] = True
    prediction[foreground] = 103
    assert fmse(prediction, real, foreground) == 9


def test_a_known_error_gives_the_closed_form():
    real = np.full((16, 16, 3), 50, np.uint8)
    foreground = np.zeros((16, 16), bool)
    foreground[:4] = True
    prediction = real + 10 * foreground[..., None].astype(np.uint8)
    scores = measure(prediction, real, foreground)
    assert (scores.mse, scores.fmse) == (25, 100)
    assert scores.psnr == pytest.approx(20 * math.log10(255 / 5))


def test_equal_pictures_have_a_finite_psnr():
    real = np.zeros((9, 9, 3), np.uint8)
    assert measure(real, real, np.ones((9, 9), bool)) == Metrics(0, IDENTICAL_PSNR, 0, 1)
    assert psnr(real, real) == IDENTICAL_PSNR


@given(st.floats(-0.5, 1.5, width=32))
def test_rounding_to_8_bit_takes_the_nearest_level(value):
    level = int(to_8bit(np.array([value], np.float32))[0])
    assert abs(level - 255 * min(max(value, 0), 1)) <= 0.5 + 1e-4


def test_metrics_refuse_what_they_cannot_compare():
    real = np.zeros((8, 8, 3), np.uint8)
    everywhere = np.ones((8, 8), bool)
    with pytest.raises(ValueError, match="8-bit"):
        mse(real.astype(np.float32), real)
    with pytest.raises(ValueError, match="shapes"):
        mse(real[:4], real)
    with pytest.raises(ValueError, match="mask is empty"):
        measure(real, real, ~everywhere)


def test_the_average_counts_every_picture_the_same():
    assert average([Metrics(1, 30, 10, 0.5), Metrics(3, 40, 50, 1.0)]) == Metrics(2, 35, 30, 0.75)
    assert all(math.isnan(value) for value in average([]))


def test_worse_fraction_counts_pictures_whose_fmse_rose():
    before = [Metrics(0, 0, fmse, 0) for fmse in (10, 10, 10, 0)]
    after = [Metrics(0, 0, fmse, 0) for fmse in (9, 10, 10.5, 0)]
    assert worse_fraction(before, after) == 0.25

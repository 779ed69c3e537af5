"""`harmonize evaluate --kind guided`: the cases, and what is measured of them."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.evaluation.guided import LIGHTS, guided_cases, guided_pair
from harmonize_composite.training.evaluation.guided_report import (
    OURS,
    SEPARATION,
    evaluate_guided,
    frequency_separation,
    guided_table,
    halo,
    speckle,
    summarise_guided,
)
from harmonize_composite.training.evaluation.metrics import to_8bit
from photographs import write_photographs

PORTRAIT = np.ascontiguousarray(astronaut()[:256, 96:352])


@pytest.mark.parametrize("light", LIGHTS)
def test_a_pair_is_the_same_every_time_and_in_another_light(light):
    one, again = (guided_pair(PORTRAIT, light, PORTRAIT[::-1], np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.guide, again.guide) and np.array_equal(one.real, again.real)
    change = np.sqrt(np.mean((one.real.astype(float) - one.image) ** 2)) / 255
    assert 0.03 <= change <= 0.25
    assert 0.02 < one.replaced.mean() < 0.2


def test_a_band_along_edges_is_a_halo_and_a_shift_of_tone_or_texture_is_none():
    truth = to_8bit(PORTRAIT / 255 * 0.6 + 0.2)
    shifted = truth + 10
    grainy = to_8bit(truth / 255 + np.random.default_rng(0).normal(0, 0.03, truth.shape))
    dimmed = PORTRAIT / 255 * 0.3
    banded = to_8bit(frequency_separation(PORTRAIT / 255, dimmed, 8))  # keeps too much contrast beside each edge
    assert halo(truth, truth) == 0 and halo(shifted, truth) < 0.1
    assert 4 * halo(grainy, truth) < halo(banded, to_8bit(dimmed))


def test_dots_are_speckle_and_what_the_truth_has_is_none():
    real = cv2.GaussianBlur(PORTRAIT, (0, 0), 2)
    dotted = real.copy()
    dotted[8::16, 8::16] = 255
    assert speckle(real, real, real) == 0 and speckle(real, dotted, dotted) == 0
    assert 2 < speckle(real, dotted, real) <= 1000 / 256 + 0.1


def test_the_report_says_what_was_measured(tmp_path):
    cases = guided_cases(Photographs(write_photographs(tmp_path), "train"), 5)
    report = summarise_guided(evaluate_guided(cases))
    assert report["n"] == 5 and set(report["psnr"][OURS]) == {"all", *LIGHTS}
    margins = [row["psnr"][OURS] - row["psnr"][SEPARATION] for row in report["pictures"]]
    assert report["margin"] == {"mean": pytest.approx(np.mean(margins)), "worst": min(margins)}
    text = guided_table(report)
    assert "halo" in text and "speckle" in text and OURS in text

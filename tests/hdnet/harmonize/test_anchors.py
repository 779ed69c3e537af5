"""Anchors: times as people write them, and the frames that they name."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmonize_composite.hdnet.harmonize.anchors import Anchor, anchored_frames


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_time_is_read_in_any_of_its_forms(hours, minutes, seconds, thousandths):
    total = 3600 * hours + 60 * minutes + seconds + thousandths / 1000
    for text in (f"{hours}:{minutes:02}:{seconds:02}.{thousandths:03}", f"{total:.3f}", f" {total:.3f} - {total:.3f} "):
        anchor = Anchor.read(text)
        assert anchor.first == anchor.last == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "3-", "-3", "3-2", "١", "1e3", "nan", "3,5"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="[Aa]nchor"):
        Anchor.read(text)


class Frame:
    def __init__(self, number, shade):
        self.number, self.seconds, self.shade = number, number / 25, shade

    def thumbnail(self):
        return torch.full((3, 8, 8), self.shade)


def film():
    """Two shots of 50 frames at 25 a second."""
    return [Frame(number, 0.2 if number < 50 else 0.8) for number in range(100)]


@pytest.mark.parametrize(
    ("text", "shot", "numbers"),
    [
        ("0", 0, [0]),
        ("1", 0, [25]),
        ("1.03", 0, [25]),
        ("1.04", 0, [26]),
        ("1-1.1", 0, [25, 26, 27]),
        ("2.5", 1, [62]),
        ("3.97", 1, [99]),
    ],
)
def test_an_anchor_names_the_frames_that_a_player_shows_then_and_their_shot(text, shot, numbers):
    found = list(anchored_frames(iter(film()), [Anchor.read(text)]))
    assert [frame.number for _, _, frame in found] == numbers
    assert {each for each, _, _ in found} == {shot}


def test_a_range_across_a_cut_belongs_to_both_shots():
    found = list(anchored_frames(iter(film()), [Anchor(1.9, 2.05)]))
    assert [(shot, frame.number) for shot, _, frame in found] == [(0, 47), (0, 48), (0, 49), (1, 50), (1, 51)]


def test_no_more_is_read_than_is_needed():
    frames = iter(film())
    list(anchored_frames(frames, [Anchor(0.4, 0.4)]))
    assert len(list(frames)) > 80

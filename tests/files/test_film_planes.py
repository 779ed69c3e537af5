"""A change of colours written into the samples of a film; the reference is what it is in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

av = pytest.importorskip("av")

from films import luma  # noqa: E402
from harmonize_composite.files.video_frames import MaskedFrame  # noqa: E402
from harmonize_composite.files.video_masks import LINEAR, FilmMask  # noqa: E402
from harmonize_composite.files.video_planes import Planes  # noqa: E402


def mean_of_four(values):
    """Of two by two, at odd ends of what there is."""
    padded = np.pad(values, [(0, each % 2) for each in values.shape], mode="edge")
    return (padded[0::2, 0::2] + padded[1::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 1::2]) / 4


def plane(frame, number):
    """`[H, W]` of a plane."""
    samples = frame.planes[number]
    kind = np.uint16 if "10" in frame.format.name else np.uint8
    rows = np.frombuffer(samples, kind).reshape(-1, samples.line_size // kind().itemsize)
    return rows[: samples.height, : samples.width].astype(float)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 40),
    st.integers(2, 40),
    st.sampled_from(("yuv420p", "yuv420p10le", "yuv422p", "yuv444p")),
    st.floats(0.5, 1.3),
    st.floats(-0.1, 0.1),
    st.integers(0, 999),
)
def test_a_gain_and_an_offset_of_all_channels_are_those_of_the_samples(height, width, form, gain, offset, seed):
    random = np.random.default_rng(seed)
    picture = random.integers(60, 160, (height, width, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=form)
    levels = random.integers(0, 256, (height, width)) * (random.random((height, width)) < 0.3)
    levels[:, : width // 3] = 0
    weight = levels / 255
    before = [plane(frame, number) for number in range(3)]
    masked = MaskedFrame(Planes(frame), FilmMask(levels.astype(np.uint8), LINEAR), 0.0)

    def apply(colours, background, mask, box):
        inside = np.s_[box[0] : box[1], box[2] : box[3]]
        colours[inside] += mask[inside][..., None] * ((gain - 1) * colours[inside] + offset)

    masked.change(apply, gain - 1)
    after = [plane(masked.result(), number) for number in range(3)]
    unit = 4 if "10" in form else 1
    expected = before[0] + weight * ((gain - 1) * (before[0] - 16 * unit) + 219 * unit * offset)
    assert np.abs(after[0] - expected).max() <= 0.51
    assert (after[0] == before[0])[levels == 0].all()
    if form == "yuv444p":
        share = weight
    elif form.startswith("yuv420p"):
        share = mean_of_four(weight)
    else:
        return  # chroma that two pixels share, each with a weight and a change of its own
    for number in (1, 2):
        expected = before[number] + share * (gain - 1) * (before[number] - 128 * unit)
        assert np.abs(after[number] - expected).max() <= 0.51 + 0.02 * unit


def test_odd_ends_and_ten_bits_are_read_as_pyav_reads_them():
    random = np.random.default_rng(0)
    frame = av.VideoFrame.from_ndarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8), "rgb24")
    planes = Planes(frame.reformat(format="yuv420p10le"))
    assert np.array_equal(planes.planes[0], luma(planes.frame)) and planes.planes[0].max() > 255
    assert planes.halved((0, 7, 0, 9)).shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(each, each) for each in ("yuv420p", "yuv422p", "yuv440p", "yuv411p", "yuv410p", "yuv422p10le", "yuva444p10le")]
    + [("nv12", "yuv420p"), ("yuyv422", "yuv422p"), ("p010le", "yuv420p10le"), ("bgra", "gbrap"), ("gray", "gray")],
)
def test_a_format_is_kept_or_becomes_the_one_in_planes_that_holds_the_same(given, kept):
    frame = av.VideoFrame(64, 32, given)
    assert Planes(frame).frame.format.name == kept

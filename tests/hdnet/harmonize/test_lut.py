"""A change as a table of colours, read by programs that are not ours."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonize_composite.files.cube import save_cube
from harmonize_composite.hdnet.harmonize.lut import LutFit, apply_lut, identity


def colours(height=40, width=50, seed=0):
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


def grade(picture):
    """A change that no affine map makes."""
    return 0.1 + 0.8 * picture ** torch.tensor([0.8, 1.0, 1.3])


@pytest.fixture
def cube(tmp_path):
    picture = colours()
    table = LutFit().add(picture, grade(picture), torch.ones(40, 50)).table()
    save_cube(table, tmp_path / "grade.cube", 'A "title" with é')
    return table, tmp_path / "grade.cube"


def test_opencolorio_reads_the_file_as_we_do(cube):
    ocio = pytest.importorskip("PyOpenColorIO")
    table, path = cube
    config = ocio.Config.CreateRaw()
    transform = ocio.FileTransform(str(path), interpolation=ocio.INTERP_LINEAR)
    values = colours(seed=1).numpy().copy()
    config.getProcessor(transform).getDefaultCPUProcessor().applyRGB(values)
    np.testing.assert_allclose(values, apply_lut(table, colours(seed=1)), atol=1e-5)


def test_ffmpeg_reads_the_file_as_we_do(cube):
    av = pytest.importorskip("av")
    table, path = cube
    graph, picture = av.filter.Graph(), (colours(seed=1) * 65535).round().numpy().astype(np.uint16)
    source = graph.add_buffer(width=50, height=40, format="rgb48le", time_base="1/25")
    lut, sink = graph.add("lut3d", f"file='{path}':interp=trilinear"), graph.add("buffersink")
    wanted = graph.add("format", "pix_fmts=rgb48le")
    for one, other in ((source, lut), (lut, wanted), (wanted, sink)):
        one.link_to(other)
    graph.configure()
    source.push(av.VideoFrame.from_ndarray(picture, format="rgb48le"))
    result = sink.pull().to_ndarray()
    expected = apply_lut(table, torch.from_numpy(picture.astype(np.float32) / 65535))
    np.testing.assert_allclose(result / 65535, expected, atol=1e-4)


def test_a_change_of_colours_alone_is_kept():
    picture, other = colours(300, 300), colours(seed=2)
    table = LutFit().add(picture, grade(picture), torch.ones(300, 300)).table()
    assert (apply_lut(table, other) - grade(other)).abs().mean() < 2 / 255


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 65), st.floats(0.6, 1.1), st.floats(-0.1, 0.1), st.integers(1, 40), st.integers(0, 99))
def test_an_affine_change_is_kept_at_any_size_where_there_are_colours(size, gain, offset, side, seed):
    picture = 0.3 + 0.4 * colours(side, 60, seed)
    after = picture * gain + offset
    table = LutFit(size).add(picture, after, torch.ones(side, 60)).table()
    assert table.shape == (size, size, size, 3) and 0 <= table.min() and table.max() <= 1
    if size >= 17:  # coarser, and a point that is clamped has its say further inside
        assert (apply_lut(table, picture) - after).abs().max() < 0.02


def test_a_shot_has_one_table_and_an_empty_mask_no_say():
    picture, nothing = colours(), torch.zeros(40, 50)
    torch.testing.assert_close(LutFit(9).add(picture, 0 * picture, nothing).table(), identity(9))
    picture, both, whole = 0.3 + 0.4 * picture, LutFit(9), torch.ones(40, 50)
    both.add(picture, picture + 0.1, whole).add(picture, picture - 0.1, whole)
    assert (apply_lut(both.table(), picture) - picture).abs().max() < 0.02


def test_wrong_sizes_get_one_sentence():
    with pytest.raises(ValueError, match="one size"):
        LutFit().add(colours(), colours(8, 8), torch.ones(40, 50))
    with pytest.raises(ValueError, match="2 to 65"):
        LutFit(66)

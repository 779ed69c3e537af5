"""The film benchmark: its film is what it says, and each of its jobs does its work."""

import pytest

av = pytest.importorskip("av")

from harmonize_composite.benchmarks import film  # noqa: E402


def test_the_film_moves_and_every_job_takes_time(tmp_path):
    covered = film.make_film(tmp_path, 8, 160, 96)
    with av.open(str(tmp_path / "film.mp4")) as made, av.open(str(tmp_path / "mask.mp4")) as masks:
        frames = [frame.to_ndarray(format="gray") for frame in made.decode(video=0)]
        shares = [(mask.to_ndarray(format="gray") > 20).mean() for mask in masks.decode(video=0)]
    assert len(frames) == len(shares) == 8 and (frames[0] != frames[7]).mean() > 0.5
    assert 0.05 < covered < 0.5 and sum(shares) / 8 == pytest.approx(covered, abs=0.05)
    for job in (film.read, film.encode, film.harmonize):
        wall, cpu = film.timed(job, tmp_path, "ultrafast", "30")
        assert wall > 0 and cpu > 0
    with av.open(str(tmp_path / "out.mp4")) as out:
        after = [frame.to_ndarray(format="gray") for frame in out.decode(video=0)]
    assert len(after) == 8

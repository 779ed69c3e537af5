"""Data sets that `harmonize synthesize` and `harmonize prepare` write."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from harmonize_composite.cli import prepare as prepare_command
from harmonize_composite.cli import synthesize as synthesize_command
from harmonize_composite.training.data.iharmony4 import IHarmony4, MissingFiles, find_pairs
from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.data.prepare import prepare
from harmonize_composite.training.data.synthesize import synthesize
from photographs import assert_same, broken, names, scene, tree


def test_the_same_seed_writes_the_same_bytes(photos, tmp_path):
    for out, seed, workers in (("a", 3, 1), ("b", 3, 4), ("c", 4, 2)):
        assert synthesize(photos, tmp_path / out, 20, seed, size=32, workers=workers) == []
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tree(tmp_path / "a") != tree(tmp_path / "c")


def test_a_synthesized_set_reads_as_iharmony4(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 30)
    train, test = (IHarmony4(tmp_path / "out", split) for split in ("train", "test"))
    val = IHarmony4(tmp_path / "out", "val")
    assert len(train) + len(val) + len(test) == 30
    assert len({pair.name for pair in train.pairs + val.pairs + test.pairs}) == 30
    held = {path.stem for path in Photographs(photos, "val").pictures}
    assert {pair.real.stem for pair in test.pairs} <= held
    assert not {pair.real.stem for pair in train.pairs + val.pairs} & held
    for pair in train.pairs:
        arrays = pair.load()
        assert arrays.real.shape == (64, 90, 3)
        outside = ndimage.binary_dilation(arrays.mask > 0, iterations=8) == 0
        change = np.abs(arrays.composite.astype(int) - arrays.real)
        assert change[outside].mean() < 2  # JPEG
        assert change[arrays.mask > 0].mean() > 2


def test_an_interrupted_synthesis_goes_on_where_it_was(photos, tmp_path, monkeypatch):
    synthesize(photos, tmp_path / "whole", 24, size=32, workers=1)
    made = 0
    write = Photographs.whole

    def interrupted(*args):
        nonlocal made
        made += 1
        if made > 9:
            raise KeyboardInterrupt
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Photographs, "whole", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthesize(photos, tmp_path / "parts", 24, size=32, workers=1)
    left = tree(tmp_path / "parts")
    assert 0 < len(left) < len(tree(tmp_path / "whole"))
    synthesize(photos, tmp_path / "parts", 24, size=32, workers=1)
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_more_pairs_are_added_to_those_made(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 10, size=32)
    before = tree(tmp_path / "out")
    synthesize(photos, tmp_path / "out", 25, size=32)
    after = tree(tmp_path / "out")
    assert sum("composite_images" in name for name in after) == 25
    assert all(after[name] == data for name, data in before.items() if not name.endswith(".txt"))


def test_other_settings_need_another_folder(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 5, seed=1, size=32)
    with pytest.raises(ValueError, match="made with other settings"):
        synthesize(photos, tmp_path / "out", 5, seed=2, size=32)
    (tmp_path / "out/synthesis.json").unlink()
    with pytest.raises(ValueError, match="already has a subset"):
        synthesize(photos, tmp_path / "out", 5, seed=1, size=32)


def test_a_broken_photograph_does_not_end_a_synthesis(photos, tmp_path, capsys):
    path = Photographs(photos).pictures[0]
    broken(path)
    code = run_command("synthesize", photos, tmp_path / "out", "--pairs", "20", "--size", "32")
    assert code == 1
    error = capsys.readouterr().err
    assert f"{path.name}: the picture is damaged" in error
    listed = (tmp_path / "out/IHD_train.txt").read_text()
    assert listed and path.stem not in listed
    find_pairs(tmp_path / "out", "train")


def run_command(name, *arguments):
    parser = argparse.ArgumentParser()
    module = {"prepare": prepare_command, "synthesize": synthesize_command}[name]
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(a) for a in arguments]))


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"pairs": -1}, {"size": 0}, {"seed": -1}])
def test_senseless_numbers_are_refused(photos, tmp_path, wrong):
    with pytest.raises(ValueError, match="must be (at least|8 to)"):
        synthesize(photos, tmp_path / "out", **({"pairs": 1} | wrong))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["synthesize", "prepare"])
def test_there_is_at_least_one_worker(name, photos, tmp_path, capsys):
    needed = {"synthesize": ["--pairs", "1"], "prepare": ["--size", "24"]}[name]
    with pytest.raises(SystemExit):
        run_command(name, photos, tmp_path / "out", *needed, "--workers", "0")
    assert "a whole number of" in capsys.readouterr().err


def test_two_pairs_suffice_to_train_and_to_test(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 2, size=32)
    assert len(find_pairs(tmp_path / "out", "test")) == 1


def test_a_prepared_copy_gives_the_pixels_of_the_original(iharmony4, tmp_path):
    assert run_command("prepare", iharmony4, tmp_path / "small", "--size", "24") == 0
    for split in ("train", "val", "test"):
        originals, copies = find_pairs(iharmony4, split), find_pairs(tmp_path / "small", split)
        assert names(originals) == names(copies)
        for original, copy in zip(originals, copies, strict=True):
            assert_same(original.load(24), copy.load())


def test_a_prepared_copy_can_be_jpeg(iharmony4, tmp_path):
    prepare(iharmony4, tmp_path / "small", 24, extension="jpg")
    assert not list((tmp_path / "small").glob("*/real_images/*.png"))
    original, copy = (find_pairs(root, "test")[0].load(24) for root in (iharmony4, tmp_path / "small"))
    assert np.abs(original.real.astype(int) - copy.real).mean() < 3


def test_of_two_pictures_with_one_name_the_copy_is_of_the_one_that_is_read(iharmony4, tmp_path):
    used = find_pairs(iharmony4, "test")[0]
    scene(99).save(used.real.with_suffix(".png"))
    prepare(iharmony4, tmp_path / "small", 24)
    assert_same(used.load(24), find_pairs(tmp_path / "small", "test")[0].load())


def test_a_copy_that_was_interrupted_is_completed(iharmony4, tmp_path):
    out = tmp_path / "small"
    prepare(iharmony4, out, 24)
    finished = tree(out)
    kept, lost = sorted((out / "HCOCO/composite_images").iterdir())[:2]
    lost.unlink()
    stamp = kept.stat().st_mtime_ns
    prepare(iharmony4, out, 24)
    assert tree(out) == finished
    assert kept.stat().st_mtime_ns == stamp
    prepare(iharmony4, out, 16)
    assert find_pairs(out, "test")[0].load().real.shape == (16, 16, 3)


def test_a_broken_picture_is_reported_after_all_others_were_copied(iharmony4, tmp_path, capsys):
    path = iharmony4 / "Hmine/real_images/x1.jpg"
    broken(path)
    assert run_command("prepare", iharmony4, tmp_path / "small", "--size", "24") == 1
    assert f"{path}: the picture is damaged" in capsys.readouterr().err
    with pytest.raises(MissingFiles, match="1 file is missing: Hmine/real_images/x1.jpg"):
        find_pairs(tmp_path / "small", "train")


def test_a_full_disk_ends_a_copy_and_leaves_no_parts(iharmony4, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(iharmony4, tmp_path / "small", 24)
    assert tree(tmp_path / "small") == {}


def test_a_copy_into_itself_is_refused(iharmony4):
    before = tree(iharmony4)
    with pytest.raises(ValueError, match="needs a folder of its own"):
        prepare(iharmony4, Path(iharmony4) / "HCOCO" / "..", 24)
    assert tree(iharmony4) == before

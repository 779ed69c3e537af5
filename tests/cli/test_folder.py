"""`harmonize folder`."""

import os
import sys

import numpy as np
import pytest
from PIL import Image

from command_line import listing, names, pixels, run
from harmonize_composite.cli import folder_jobs as folders


@pytest.fixture
def folder(files):
    for name in ("composites", "masks"):
        (files / name).mkdir()
    for name in ("a.png", "b.jpg", "c.webp"):
        Image.open(files / "composite.png").save(files / "composites" / name)
        Image.open(files / "mask.png").save((files / "masks" / name).with_suffix(".png"))
    return files


def run_folder(files, *options):
    return run("folder", files / "composites", files / "masks", "-o", files / "out", "--resolution", 64, *options)


def test_a_folder_is_harmonized_under_the_same_names(folder, capsys):
    (folder / "composites" / "notes.txt").write_text("not a picture")
    (folder / "composites" / ".hidden.png").write_bytes(b"")
    (folder / "composites" / "folder.png").mkdir()
    assert run_folder(folder) == 0
    assert names(folder / "out") == ["a.png", "b.jpg", "c.webp"]
    assert capsys.readouterr().out == f"3 of 3 pictures written to {folder / 'out'}\n"
    run("image", folder / "composite.png", folder / "mask.png", "-o", folder / "one.png", "--resolution", 64)
    assert np.array_equal(pixels(folder / "out" / "a.png"), pixels(folder / "one.png"))


def test_a_broken_file_does_not_stop_the_others(folder, capsys):
    (folder / "composites" / "aa.png").write_text("no picture")
    (folder / "masks" / "aa.png").write_bytes((folder / "mask.png").read_bytes())
    (folder / "composites" / "bb.png").write_bytes((folder / "composite.png").read_bytes())
    (folder / "masks" / "c.png").write_bytes((folder / "tall_mask.png").read_bytes())
    assert run_folder(folder) == 1
    assert names(folder / "out") == ["a.png", "b.jpg"]
    shown = capsys.readouterr()
    assert "2 of 5 pictures written" in shown.out
    report = shown.err[shown.err.index("harmonize: ") :].splitlines()
    assert report[0] == "harmonize: 3 of 5 pictures failed:"
    assert [line.split(":")[0].strip() for line in report[1:]] == ["aa.png", "bb.png", "c.webp"]
    assert "it has no mask" in report[2]


def test_masks_are_found_by_the_names_of_iharmony4(folder):
    for path in [*(folder / "composites").iterdir(), *(folder / "masks").iterdir()]:
        path.unlink()
    for name in ("a0001_1_1.png", "a0001_1_2.png", "a0001_2_1.png"):
        Image.open(folder / "composite.png").save(folder / "composites" / name)
    for name in ("a0001_1.png", "a0001_2.png"):
        Image.open(folder / "mask.png").save(folder / "masks" / name)
    jobs = folders.find_jobs(folder / "composites", folder / "masks", folder / "out")
    assert {job.composite.name: job.mask.name for job in jobs} == {
        "a0001_1_1.png": "a0001_1.png",
        "a0001_1_2.png": "a0001_1.png",
        "a0001_2_1.png": "a0001_2.png",
    }
    assert run_folder(folder) == 0
    assert names(folder / "out") == ["a0001_1_1.png", "a0001_1_2.png", "a0001_2_1.png"]


def test_folders_without_permission_are_refused_before_the_work(folder, monkeypatch, capsys):
    (folder / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    before = listing(folder)
    assert run_folder(folder) == 2
    assert capsys.readouterr().err == f"harmonize: {folder / 'out'}: no permission to write into this folder.\n"
    assert run("weights", "package", "hdnet-lite", folder / "new" / "repo") == 2
    error = capsys.readouterr().err
    assert error == f"harmonize: {folder / 'new' / 'repo'}: no permission to write into the folder {folder / 'new'}.\n"
    assert run("demo", "-o", folder / "out") == 2
    assert "no permission" in capsys.readouterr().err
    assert not [path for path in listing(folder) if path not in before and not path.endswith("new")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("missing masks -o out", "missing: there is no such folder"),
        ("composites missing -o out", "missing: there is no such folder"),
        ("composite.png masks -o out", "composite.png: there is no such folder"),
        ("composites masks -o composites", "overwrite"),
        ("composites masks -o masks/../composites", "overwrite"),
        ("composites masks -o masks", "overwrite"),
        ("composites masks -o composite.png", "this is a file"),
        ("composites masks -o composite.png/out", "composite.png"),
        ("nothing masks -o out", "no pictures"),
        ("composites nothing -o out", "no mask is named like"),
        ("composites masks -o out --weights bad.safetensors", "damaged or cut short"),
        ("composites masks -o out --strength 3", "--strength"),
    ],
)
def test_bad_folders_cost_one_sentence(folder, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(folder)
    (folder / "nothing").mkdir()
    before = listing(folder)
    assert run("folder", *arguments.split()) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and shown.out == ""
    assert listing(folder) == before


def test_memory_does_not_grow_with_the_folder(files):
    read = []

    def jobs():
        for number in range(30):
            read.append(number)
            yield folders.Job(files / "composite.png", files / "mask.png", files / f"{number}.png")

    finished = most = 0
    for _, error in folders.harmonize_folder(
        jobs(), lambda job, picture, mask: picture, folders.read_job, folders.write_job
    ):
        finished += 1
        most = max(most, len(read) - finished)
        assert error is None
    assert finished == 30 and most < 10


def test_without_ray_the_sentence_names_its_extra(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_folder(folder, "--ray", "auto") == 1
    shown = capsys.readouterr()
    assert "needs ray; install it with: pip install 'harmonize-composite[ray]'" in shown.err and not shown.out

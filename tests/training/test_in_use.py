"""Judging as in use: composites without traces, fixed by their seed; strata, agreement and the rule in closed form."""

import argparse
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import distance_transform_edt, gaussian_filter

from harmonize_composite.cli import evaluate as evaluate_command
from harmonize_composite.cli import main
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.acting import ActingRule
from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.evaluation.calibrate import Trial, _outcome, fit_rule
from harmonize_composite.training.evaluation.evaluate import Case, evaluate
from harmonize_composite.training.evaluation.in_use import KINDS, cases_in_use, random_region, without_traces
from harmonize_composite.training.evaluation.metrics import speckle
from harmonize_composite.training.evaluation.report import NETWORK, summarise
from harmonize_composite.training.sample import Sample
from harmonize_composite.weights import load_network, read_metadata, save_network

cv2 = pytest.importorskip("cv2")


def photograph(seed, height=160, width=200):
    """A smooth scene with a disc of its own colour, whose edge is mixed."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.random((height, width, 3)), (20, 20, 0))
    scene = (scene - scene.min()) / np.ptp(scene) * 140 + 40
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - height / 2, x - width / 2) < 40
    share = gaussian_filter(inside.astype(float), 0.8)[..., None]
    thing = rng.uniform(40, 200, 3) + 30 * gaussian_filter(rng.standard_normal((height, width, 3)), (2, 2, 0)) * 5
    return (share * thing + (1 - share) * scene).clip(0, 255).astype(np.uint8), inside


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for seed in range(40):
        picture, inside = photograph(seed)
        Image.fromarray(picture).save(root / "images" / f"{seed}.png")
        Image.fromarray(np.where(inside, np.uint8(255), np.uint8(0))).save(root / "masks" / f"{seed}.png")
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_composites_are_fixed_and_differ_inside_only(photographs, kind):
    source = Photographs(photographs, "train")
    first, again = cases_in_use(source, kind, 6), cases_in_use(source, kind, 6)
    differences = []
    for one, other in zip(first, again):
        pair, same = one.load(), other.load()
        assert all((getattr(pair, name) == getattr(same, name)).all() for name in vars(pair))
        assert all((getattr(pair, name) == getattr(one.load(), name)).all() for name in vars(pair))
        inside = pair.mask > 127
        assert (pair.composite == pair.real)[~inside].all()
        differences.append(np.square(pair.composite[inside].astype(float) - pair.real[inside]).mean())
    assert np.median(differences) > 5 and len(set(differences)) > 3


def test_nothing_of_the_object_shows_beside_its_mask():
    picture, inside = photograph(3)
    picture[gaussian_filter(inside.astype(float), 0.8) > 0.02] = (255, 0, 255)  # all that the object touches
    clean, kept = without_traces(picture, inside)
    assert (clean[kept] == (255, 0, 255)).all() and kept.sum() > 0.8 * inside.sum()
    outside = clean[~kept].astype(int)
    assert (outside[:, 1] > 25).all()  # the scene has green of at least 40, the object none


def test_jpeg_carries_no_colour_of_the_object_past_its_rim():
    picture, inside = photograph(5)
    redder = np.where(inside[..., None], picture + np.float64([70, -30, -30]), picture).clip(0, 255).astype(np.uint8)

    def stored(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=82, subsampling="4:2:0")
        return np.asarray(Image.open(file))

    ring = ~inside & (distance_transform_edt(~inside) <= 4)
    (one, kept), (other, _) = (without_traces(stored(each), inside) for each in (picture, redder))
    assert np.abs(stored(picture)[ring] - np.float64(stored(redder)[ring])).mean() > 5
    assert np.abs(one[~kept] - np.float64(other[~kept])).mean() < 0.3
    assert np.abs(one[ring] - np.float64(other[ring])).mean() < 1


def test_an_object_at_the_border_is_not_cut_there():
    picture, inside = photograph(2)
    inside = np.roll(inside, -90, axis=0)
    inside[90:] = False
    kept = without_traces(picture, inside)[1]
    assert kept[0].any() and (kept[0] == kept[3]).mean() > 0.9


def test_regions_are_of_use():
    sizes = [random_region((200, 300), np.random.default_rng(seed)).mean() for seed in range(30)]
    assert 0.02 <= min(sizes) and max(sizes) <= 0.25 and np.std(sizes) > 0.02


def test_validation_and_test_photographs_are_different_ones(photographs):
    splits = {name: {p.stem for p in Photographs(photographs, name).pictures} for name in ("train", "val")}
    assert not splits["train"] & splits["val"] and len(splits["train"] | splits["val"]) == 40


def test_groups_of_a_manifest_stay_on_one_side(photographs, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).symlink_to(photographs / folder)
    rows = [f"{n},{'val' if n < 32 else 'train'},shoot{n // 4}" for n in range(40)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,split,group", *rows]))
    val, test = ({int(p.stem) // 4 for p in Photographs(tmp_path, split).pictures} for split in ("choose", "quote"))
    assert val and test and not val & test and val | test == set(range(8))


def test_share_of_the_change_and_strata_are_exact():
    real, mask = np.full((20, 20, 3), 100, np.uint8), np.zeros((20, 20), np.uint8)
    mask[5:15] = 255

    def case(shift):
        composite = np.where(mask[..., None] > 0, 100 + shift, 100).astype(np.uint8).repeat(3, -1)
        return Case(str(shift), "s", lambda: Sample(composite, mask, real))

    def half_way(composite, foreground):
        return composite + (100 / 255 - composite) / 2

    scores, _ = evaluate([case(shift) for shift in (10, 20, 40)], {NETWORK: half_way}, "composite-background")
    report = summarise(scores, [], weights="w", protocol="p", size=20, resolution="native")
    strata = report["strata"][NETWORK]
    assert [strata[name]["n"] for name in ("below 200", "200 to 1000", "above 1000")] == [1, 1, 1]
    for group in strata.values():
        assert group["share_of_change"] == pytest.approx(0.5)
        assert group["after"] == pytest.approx(group["before"] / 4)
        assert group["worse_fraction"] == 0


def proposal(error, proposed, agreement, trusted=None):
    return Trial(error, agreement, proposed, proposed if trusted is None else trusted)


def test_the_outcome_of_a_rule_is_the_closed_form():
    trials = [proposal(900.0, 400.0, 500.0), proposal(100.0, 50.0, -10.0)]
    change, worse = _outcome(trials, ActingRule(100, 100, 1.25))
    assert change == pytest.approx((900 - 2 * 1.25 * 500 + 1.25**2 * 400 + 100) / 1000 - 1)
    assert worse == 0
    assert _outcome(trials, ActingRule(0, 0, 1))[1] == 0.5


def test_a_rule_goes_by_what_both_looks_agree_on():
    trials = [proposal(900.0, 400.0, 500.0, trusted=90.0), proposal(900.0, 400.0, 500.0, trusted=110.0)]
    assert _outcome(trials, ActingRule(100, 100, 1.0))[0] == pytest.approx(-0.5 * (2 * 500 - 400) / 900)


def test_the_fitted_rule_leaves_alone_what_is_made_worse_and_does_enough_of_the_rest():
    rng = np.random.default_rng(0)
    good = [proposal(1000.0, 150 + 100 * rng.random(), 300.0) for _ in range(80)]
    bad = [proposal(60.0, 20 + 20 * rng.random(), -5.0) for _ in range(40)]
    rule = fit_rule([good + bad])
    assert rule.factor(40) < 0.1 and rule.factor(200) > 1.2  # 300 / 200 would be the best


def test_the_fitted_rule_keeps_its_hands_off_harmonious_pictures():
    good = [proposal(1000.0, 300.0 + 40 * number, 500.0) for number in range(20)]
    # 500 / 680 makes the most of these pictures; half of it loses little here and spares much there
    assert fit_rule([good]).factor(700) == pytest.approx(0.7)
    assert fit_rule([good], idle=[proposal(0.0, 700.0, 0.0)] * 10).factor(700) == pytest.approx(0.5)


def test_speckle_counts_dots_and_no_constant_offset():
    rng = np.random.default_rng(0)
    before = gaussian_filter(rng.uniform(60, 180, (64, 64, 3)), (3, 3, 0)).astype(np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[12:52, 12:52] = 255
    assert speckle(before, before + np.uint8(40), mask) == 0
    dotted = before.copy()
    dotted[15, 20] += 60
    near = 38 * 38 - (38 - 16) ** 2  # inside with its whole neighbourhood, and within 9 pixels of the edge
    assert speckle(before, dotted, mask) == pytest.approx(1 / near)
    far = before.copy()
    far[32, 32] += 60
    assert speckle(before, far, mask) == 0


def tiny_photographs(root, count):
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(count):
        Image.new("RGB", (4, 4), (number % 256, 0, 0)).save(root / "images" / f"{number}.png")
        Image.new("L", (4, 4), 255).save(root / "masks" / f"{number}.png")


def names(root, split):
    return {path.stem for path in Photographs(root, split).pictures}


def test_what_is_held_out_without_a_manifest_has_two_halves(tmp_path):
    tiny_photographs(tmp_path, 400)
    held_out, choose, quote = (names(tmp_path, split) for split in ("val", "choose", "quote"))
    assert choose | quote == held_out and not choose & quote
    assert min(len(choose), len(quote)) > 0.25 * len(held_out)


def test_a_test_split_of_a_manifest_is_the_one_to_quote(tmp_path):
    tiny_photographs(tmp_path, 90)
    rows = [f"{n},{('train', 'val', 'test')[n % 3]}" for n in range(90)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,split", *rows]))
    assert names(tmp_path, "choose") == {str(n) for n in range(1, 90, 3)}
    assert names(tmp_path, "quote") == {str(n) for n in range(2, 90, 3)}


def test_the_command_says_what_it_judged_on(photographs, tmp_path, capsys):
    torch.manual_seed(0)
    save_network(HDNet(HDNetConfig(base_channels=2)), tmp_path / "w.safetensors", {})
    parser = argparse.ArgumentParser()
    evaluate_command.add_arguments(parser)
    options = ["--weights", tmp_path / "w.safetensors", "--report", tmp_path / "r.json", "--foreground", "pasted"]
    arguments = [photographs, "--kind", "camera", "--split", "quote", "--limit", 3, *options]
    assert evaluate_command.run(parser.parse_args([str(each) for each in arguments])) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["kind"], report["split"], report["n"], report["size"]) == ("camera", "quote", 3, "full")
    assert report["harmonious"]["n"] == 3 and report["harmonious"]["fmse"] > 0
    assert capsys.readouterr().out.startswith("camera (quote): ")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_calibrating_adds_the_rule_and_leaves_the_tensors(photographs, tmp_path, capsys, dtype):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_network(HDNet(HDNetConfig(base_channels=2)), path, {"title": "mine"}, dtype)
    before, said = load_file(path), read_metadata(path)
    assert main(["weights", "calibrate", str(path), str(photographs), "--count", "3"]) == 0
    after = load_file(path)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == getattr(torch, dtype) and torch.equal(after[name], tensor)
    assert read_metadata(path).items() >= said.items()
    low, high, strength = map(float, read_metadata(path)["acting"].split())
    assert f"low {low:g}, high {high:g}, strength {strength:g}" in capsys.readouterr().out


def test_a_second_look_is_written_with_the_rule_that_counts_on_it(photographs, tmp_path, capsys):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_network(HDNet(HDNetConfig(base_channels=2)), path, {"title": "mine"})
    calibrate = ["weights", "calibrate", str(path), str(photographs), "--count", "3"]
    assert main([*calibrate, "--second-look", "1.25"]) == 0
    assert load_network(path).second_look == 1.25
    looked_twice = capsys.readouterr().out
    assert main(calibrate) == 0
    assert capsys.readouterr().out == looked_twice and load_network(path).second_look == 1.25
    assert main([*calibrate, "--second-look", "0"]) == 0
    never = capsys.readouterr().out
    assert never != looked_twice
    assert main([*calibrate, "--second-look", "0.0"]) == 0
    assert capsys.readouterr().out == never
    assert load_network(path).second_look is None and read_metadata(path)["title"] == "mine"
    for scale in ("3", "much"):
        with pytest.raises(SystemExit):
            main([*calibrate, "--second-look", scale])
    said = capsys.readouterr().err
    assert "a scale in 1..2, not '3'" in said and "a scale in 1..2, not 'much'" in said

"""Evaluation: closed-form figures on pictures of one colour, the report's form, and what goes wrong in use."""

import argparse
import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from harmonize_composite.cli import evaluate as evaluate_command
from harmonize_composite.cli import main
from harmonize_composite.training.data.photos import Photographs, validation_set
from harmonize_composite.training.evaluation.baselines import BASELINES
from harmonize_composite.training.evaluation.cases import already_harmonious, find_cases, with_mask_error
from harmonize_composite.training.evaluation.contact_sheet import best_median_worst, write_contact_sheet
from harmonize_composite.training.evaluation.evaluate import Score, evaluate
from harmonize_composite.training.evaluation.metrics import Metrics
from harmonize_composite.training.evaluation.report import summarise, tables, write_csv, write_json

SIDE = 64
REAL = 100
BACKGROUND_SHIFT = 2  # of every composite's own background


def write_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def write_pair(root, subset, name, shift, rows):
    """A grey pair whose foreground, the top `rows` of 64, is off by `shift`."""
    mask = np.zeros((SIDE, SIDE))
    mask[:rows] = 255
    composite = np.where(mask[..., None] > 0, REAL + shift, REAL + BACKGROUND_SHIFT) * np.ones(3)
    write_png(root / subset / "real_images" / f"{name}.png", np.full((SIDE, SIDE, 3), REAL))
    write_png(root / subset / "masks" / f"{name}_1.png", mask)
    write_png(root / subset / "composite_images" / f"{name}_1_1.png", composite)
    return f"{subset}/composite_images/{name}_1_1.png"


@pytest.fixture
def iharmony4(tmp_path):
    """Four pairs in two subsets: foregrounds of 1/32, 1/8, 1/2, 1/2, off by 20, 20, 10, -10."""
    root = tmp_path / "iHarmony4"
    pairs = [("Day", "a", 20, 2), ("Day", "b", 20, 8), ("Night", "c", 10, 32), ("Night", "d", -10, 32)]
    lines = [write_pair(root, *pair) for pair in pairs]
    (root / "IHD_test.txt").write_text("\n".join(lines) + "\n")
    return root


def darken(composite, foreground):
    """Off by 10 levels less; so the last pair, which was too dark, gets worse."""
    return composite - np.float32(10 / 255)


def report_of(root, method, protocol="real-background", **methods):
    scores, failures = evaluate(find_cases(root, SIDE), {"network": method, **methods}, protocol)
    return summarise(scores, failures, weights="test", protocol=protocol, size=SIDE, resolution="native")


def psnr(mse):
    return 10 * math.log10(255**2 / mse)


def test_the_report_has_the_closed_form_figures(iharmony4):
    report = report_of(iharmony4, darken)
    assert list(report)[:3] == ["weights", "protocol", "size"]
    assert (report["n"], report["size"], report["protocol"]) == (4, SIDE, "real-background")
    day, night = report["subsets"]["Day"], report["subsets"]["Night"]
    assert day["n"] == night["n"] == 2
    assert day["fmse"] == 100  # 20 - 10 levels off
    assert day["mse"] == pytest.approx((100 / 32 + 100 / 8) / 2)
    assert day["psnr"] == pytest.approx((psnr(100 / 32) + psnr(100 / 8)) / 2)
    assert night["fmse"] == (0 + 20**2) / 2
    assert night["psnr"] == pytest.approx((100 + psnr(200)) / 2)  # one is perfect: 100 dB
    assert report["average"]["fmse"] == (100 + 100 + 0 + 400) / 4
    assert report["average"]["n"] == 4
    assert 0 < report["average"]["ssim"] <= 1
    assert report["composite"]["fmse"] == (400 + 400 + 100 + 100) / 4
    assert report["composite"]["subsets"]["Night"]["mse"] == 50
    assert report["worse_fraction"] == 0.25
    assert report["failed"] == []


def test_pictures_are_classed_by_the_share_of_their_foreground(iharmony4):
    ratios = report_of(iharmony4, darken)["foreground_ratio"]
    assert {name: values["n"] for name, values in ratios.items()} == {"0-5%": 1, "5-15%": 1, "15-100%": 2}
    assert ratios["0-5%"]["mse"] == 100 / 32
    assert ratios["15-100%"]["fmse"] == 200


def test_protocols_differ_by_the_background(iharmony4):
    real, own = (report_of(iharmony4, darken, p) for p in ("real-background", "composite-background"))
    assert real["average"]["fmse"] == own["average"]["fmse"]
    for name, share in (("0-5%", 1 / 32), ("5-15%", 1 / 8)):
        added = own["foreground_ratio"][name]["mse"] - real["foreground_ratio"][name]["mse"]
        assert added == pytest.approx(BACKGROUND_SHIFT**2 * (1 - share))


@pytest.mark.parametrize(("protocol", "background"), [("real-background", 100), ("composite-background", 102)])
def test_the_method_sees_the_background_of_the_protocol(iharmony4, protocol, background):
    seen = []

    def look(composite, foreground):
        assert composite.dtype == np.float32 and composite.shape == (SIDE, SIDE, 3) and foreground.dtype == bool
        seen.append(np.unique(np.rint(composite[~foreground] * 255)))
        return composite

    report_of(iharmony4, look, protocol)
    assert seen == [[background]] * 4


def test_doing_nothing_scores_like_the_composite_and_makes_nothing_worse(iharmony4):
    report = report_of(iharmony4, lambda composite, foreground: composite)
    assert report["average"].items() <= report["composite"].items()
    assert report["worse_fraction"] == 0


def test_a_change_to_what_is_harmonious_already_is_measured(iharmony4):
    cases = [already_harmonious(case) for case in find_cases(iharmony4, SIDE)]
    scores, _ = evaluate(cases, {"network": darken})
    assert [(score.metrics["composite"].fmse, score.metrics["network"].fmse) for score in scores] == [(0, 100)] * 4


def test_predictions_are_rounded_and_only_their_foreground_counts(iharmony4):
    def nearly_right(composite, foreground):
        return np.where(foreground[..., None], (REAL + 0.4) / 255, 7.0)

    assert report_of(iharmony4, nearly_right)["average"]["mse"] == 0


def test_pictures_are_resized_to_the_square(iharmony4):
    write_pair(iharmony4, "Night", "e", 10, 16)
    for case in find_cases(iharmony4, 32):
        pair = case.load()
        assert pair.mask.shape == (32, 32) and pair.composite.shape == pair.real.shape == (32, 32, 3)
        assert set(np.unique(pair.mask)) <= {0, 255}
    assert [case.load().real.shape[0] for case in find_cases(iharmony4, None)] == [SIDE] * 4


@pytest.mark.parametrize(("pixels", "rows"), [(3, 11), (0, 8), (-2, 6)])
def test_masks_can_be_grown_and_shrunk(iharmony4, pixels, rows):
    case = with_mask_error(find_cases(iharmony4, SIDE)[1], pixels)
    mask = case.load().mask
    assert (mask[:rows] == 255).all() and (mask[rows:] == 0).all()


def test_a_limit_takes_from_every_subset(iharmony4):
    assert [case.subset for case in find_cases(iharmony4, SIDE, limit=2)] == ["Day", "Night"]
    assert len(find_cases(iharmony4, SIDE, limit=99)) == 4


def test_a_broken_picture_is_named_and_the_others_still_count(iharmony4):
    broken = iharmony4 / "Day" / "composite_images" / "a_1_1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    write_png(iharmony4 / "Night" / "masks" / "c_1.png", np.zeros((SIDE, SIDE)))
    report = report_of(iharmony4, darken)
    assert report["n"] == 2
    reasons = {failure["name"].split("/")[-1]: failure["reason"] for failure in report["failed"]}
    assert reasons.keys() == {"a_1_1.png", "c_1_1.png"}
    assert "not a picture" in reasons["a_1_1.png"] and "mask is empty" in reasons["c_1_1.png"]


def test_missing_files_are_reported_all_at_once(iharmony4):
    (iharmony4 / "Day" / "real_images" / "a.png").unlink()
    (iharmony4 / "Night" / "masks" / "d_1.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)2 files are missing.*a.*d_1"):
        find_cases(iharmony4, SIDE)


def test_a_folder_of_another_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        find_cases(tmp_path / "absent", SIDE)
    with pytest.raises(ValueError):
        find_cases(tmp_path, SIDE)


@pytest.fixture
def photographs(tmp_path):
    random = np.random.default_rng(0)
    for i in range(6):
        coarse = Image.fromarray(random.integers(40, 216, (5, 6, 3), dtype=np.uint8))
        write_png(tmp_path / "images" / f"p{i}.png", coarse.resize((60, 50), Image.Resampling.BICUBIC))
        mask = np.zeros((50, 60))
        mask[10:40, 15 : 30 + i] = 255
        write_png(tmp_path / "masks" / f"p{i}_0.png", mask)
    rows = [f"p{i},{'val' if i < 3 else 'train'}" for i in range(6)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,split", *rows]) + "\n")
    return tmp_path


def test_photographs_are_judged_on_their_fixed_validation_set(photographs):
    cases = find_cases(photographs, 48, limit=5)
    fixed = validation_set(Photographs(photographs, "val"), 5, size=48)
    assert len({case.name for case in cases}) == 5
    for case, pair in zip(cases, fixed, strict=True):
        loaded = case.load()
        assert all(np.array_equal(getattr(loaded, key), getattr(pair, key)) for key in ("composite", "mask", "real"))
    assert find_cases(photographs, None, limit=1)[0].load().real.shape == (50, 60, 3)


def test_baselines_undo_a_change_of_colour_that_is_all_there_is():
    random = np.random.default_rng(1)
    half = random.random((24, 12, 3)).astype(np.float32) * 0.5 + 0.25
    real = np.concatenate([half, half], axis=1)  # both regions have the same statistics
    foreground = np.zeros((24, 24), bool)
    foreground[:, :12] = True
    composite = np.where(foreground[..., None], 0.6 * real + np.float32([0.1, 0.0, 0.2]), real)
    for name in ("mkl", "histogram"):
        assert np.abs(BASELINES[name](composite, foreground) - real).max() < 0.02, name
    dimmed = np.where(foreground[..., None], 0.6 * real, real)  # a shift in Reinhard's logarithmic space
    assert np.abs(BASELINES["reinhard"](dimmed, foreground) - real).max() < 0.02


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("kind", ["one colour", "black", "one pixel", "no background"])
def test_baselines_stand_degenerate_regions(baseline, kind):
    composite = np.random.default_rng(2).random((16, 16, 3)).astype(np.float32)
    foreground = np.zeros((16, 16), bool)
    foreground[:4] = True
    if kind == "no background":
        foreground[:] = True
    elif kind == "one pixel":
        foreground[:] = False
        foreground[3, 3] = True
    else:
        composite[foreground] = 0.3 if kind == "one colour" else 0
    result = BASELINES[baseline](composite, foreground)
    assert result.shape == composite.shape and np.isfinite(result).all()
    assert result.min() >= 0 and result.max() <= 1
    assert np.array_equal(result[~foreground], composite[~foreground])


def test_baselines_stand_beside_the_network_in_the_report(iharmony4):
    report = report_of(iharmony4, darken, **BASELINES)
    assert report["baselines"].keys() == {"reinhard", "mkl", "histogram", "seam fit"}
    # The background is grey of one level: the match is that level, which is right.
    assert report["baselines"]["histogram"]["fmse"] == 0
    assert report["baselines"]["histogram"]["worse_fraction"] == 0
    text = tables(report)
    for word in ("composite", "reinhard", "mkl", "histogram", "test", "Day (2)", "Night (2)", "15-100% (2)", "250.00"):
        assert word in text


def test_report_and_csv_hold_what_was_measured(iharmony4, tmp_path):
    scores, failures = evaluate(find_cases(iharmony4, SIDE), {"network": darken})
    report = summarise(scores, failures, weights="w", protocol="real-background", size="full", resolution=256)
    write_json(tmp_path / "new folder" / "report.json", report)
    write_csv(tmp_path / "scores.csv", scores)
    assert json.loads((tmp_path / "new folder" / "report.json").read_text()) == report
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["subset"] for row in rows] == ["Day", "Day", "Night", "Night"]
    assert [float(row["network_fmse"]) for row in rows] == [100, 100, 0, 400]
    assert [float(row["composite_fmse"]) for row in rows] == [400, 400, 100, 100]
    assert float(rows[0]["foreground_ratio"]) == 1 / 32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iHarmony4", "new folder", "scores.csv"]


def test_an_interrupted_report_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError):
        write_json(path, {"new": math.nan})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_report_over_nothing_is_still_json(tmp_path):
    report = summarise([], [], weights="w", protocol="real-background", size=256, resolution="native")
    write_json(tmp_path / "report.json", report)
    assert report["average"] == {"n": 0, "mse": None, "psnr": None, "fmse": None, "ssim": None}
    assert "0 pairs" in tables(report)


def score(name, before, after):
    metrics = {"composite": Metrics(0, 0, before, 0), "network": Metrics(0, 0, after, 0)}
    return Score(name, "set", 8, 8, 0.5, metrics)


def test_best_median_and_worst_are_ranked_by_the_fall_of_fmse():
    scores = [score(name, 100, after) for name, after in zip("edcba", (150, 90, 70, 40, 10), strict=True)]
    assert [(kind, s.name) for kind, s in best_median_worst(scores, 1)] == [
        ("best", "a"),
        ("median", "c"),
        ("worst", "e"),
    ]
    for count in range(1, 9):
        names = [s.name for _, s in best_median_worst([score(str(i), 9, i) for i in range(count)], 4)]
        assert len(names) == len(set(names)) > 0


def test_the_contact_sheet_shows_before_mask_after_and_real(iharmony4, tmp_path):
    cases = find_cases(iharmony4, None)
    scores, _ = evaluate(cases, {"network": darken})
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, cases, scores, darken, "real-background", rows_each=1)
    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (20 + 3 * (256 + 8 + 20), 8 + 6 * (256 + 8), 3)
    first = sheet[40 : 40 + SIDE, 8:]  # the best case: 20 levels too bright, now 10
    columns = [first[0, column * 264] for column in range(4)]
    assert [tuple(column) for column in columns] == [(120,) * 3, (255,) * 3, (110,) * 3, (100,) * 3]


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="real-background, composite-background, not 'paper'"):
        evaluate([], {}, "paper")


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    evaluate_command.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def test_the_command_has_the_defaults_of_the_paper():
    args = parsed("ROOT")
    assert (args.weights, args.size, args.protocol, args.baselines) == (
        "hdnet-lite-semantic",
        256,
        "real-background",
        False,
    )
    assert parsed("ROOT", "--size", "full").size == "full"
    assert parsed("ROOT", "--size", "2048").size == 2048


@pytest.mark.parametrize(
    "wrong",
    [
        ["--size", "huge"],
        ["--size", "0"],
        ["--protocol", "paper"],
        ["--limit", "0"],
        ["--resolution", "-1"],
        ["--sheet", "a.html"],
    ],
)
def test_the_command_refuses_bad_options(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        parsed("ROOT", *wrong)
    assert stopped.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.fixture
def weights(tmp_path):
    import torch

    from harmonize_composite.hdnet import HDNet, HDNetConfig
    from harmonize_composite.weights import save_network

    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_network(HDNet(HDNetConfig(base_channels=2)), path, {})
    return path


def test_the_command_prints_tables_and_writes_every_file(iharmony4, weights, tmp_path, capsys):
    outputs = [tmp_path / name for name in ("report.json", "scores.csv", "sheet.png")]
    options = ["--report", outputs[0], "--csv", outputs[1], "--sheet", outputs[2], "--baselines", "--harmonious"]
    assert evaluate_command.run(parsed(iharmony4, "--weights", weights, "--size", 64, *options)) == 0
    report = json.loads(outputs[0].read_text())
    assert (report["n"], report["size"], report["resolution"]) == (4, 64, "native")
    assert report["composite"]["fmse"] == 250
    assert report["harmonious"]["n"] == 4 and report["harmonious"]["fmse"] == 0  # of one colour: left alone
    assert all(output.stat().st_size for output in outputs)
    assert "real-background" in capsys.readouterr().out


def test_the_command_goes_on_after_a_broken_picture_and_exits_1(iharmony4, weights, capsys):
    broken = iharmony4 / "Day" / "composite_images" / "a_1_1.png"
    broken.write_bytes(b"no picture")
    assert evaluate_command.run(parsed(iharmony4, "--weights", weights, "--size", "full")) == 1
    captured = capsys.readouterr()
    assert "a_1_1.png" in captured.err and "3 pairs" in captured.out


def test_the_quality_benchmark_times_and_scores_every_method(iharmony4, tmp_path):
    pytest.importorskip("matplotlib")
    from harmonize_composite.benchmarks.quality import compare, draw

    rows = compare(find_cases(iharmony4, SIDE), {"darken": darken})
    assert rows.keys() == {"composite", "darken"}
    assert (rows["composite"]["quality"].fmse, rows["darken"]["quality"].fmse) == (250, 150)
    assert rows["darken"]["worse"] == 0.25 and rows["darken"]["seconds"] > 0
    draw(rows, tmp_path / "quality.png", "four pairs")
    assert min(Image.open(tmp_path / "quality.png").size) > 400


@pytest.mark.parametrize("option", [["--resolution", "32"], ["--strength", "3"]])
def test_what_the_harmonizer_refuses_is_refused_before_a_pair_is_read(iharmony4, option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(iharmony4), *option])
    assert stop.value.code == 2
    assert option[0] in capsys.readouterr().err

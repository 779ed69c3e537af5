"""What the nodes make of ComfyUI's tensors, without ComfyUI; with it, see test_comfyui.py."""

import json
import logging
import re
import sys
from pathlib import Path

import pytest
import torch

import comfyui_stand_in
from harmonize_composite.hdnet.harmonize.drift import find_drift
from node_inputs import picture, square

ROOT = Path(__file__).parents[2]

# What comes in and out


def test_image_and_the_three_plain_settings_suffice(harmonize):
    image, mask = picture(), square()
    result, used = harmonize(image, mask)
    assert result.shape == image.shape and result.dtype == torch.float32
    assert torch.equal(used, mask)
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert (result - image).abs().max() > 0.01


def test_an_inverted_mask_marks_the_background(harmonize):
    image, mask = picture(), square()
    straight, _ = harmonize(image, mask)
    inverted, used = harmonize(image, 1 - mask, invert_mask=True)
    assert torch.equal(straight, inverted) and torch.equal(used, mask)


def test_a_mask_without_a_batch_and_of_another_size_is_fitted(harmonize):
    result, used = harmonize(picture(60, 40), square(30, 20)[0])
    assert used.shape == (1, 60, 40) and result.shape == (1, 60, 40, 3)


def test_load_images_mask_of_an_opaque_picture_changes_nothing(harmonize, caplog):
    image = picture()
    for invert in (False, True):
        with caplog.at_level(logging.WARNING):
            result, _ = harmonize(image, torch.zeros(1, 64, 64), invert_mask=invert)
        assert torch.equal(result, image)
    assert "empty" in caplog.text and "covers everything" in caplog.text


def test_a_feathered_mask_is_given_out_and_heeded(harmonize):
    image, mask = picture(), square()
    result, used = harmonize(image, mask, feather=4)
    assert ((used > 0) & (used < 1)).any() and used.sum() > 0
    assert torch.equal(result[used == 0], image[used == 0])
    assert not torch.equal(result[(used > 0) & (mask == 0)], image[(used > 0) & (mask == 0)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_taken(harmonize, dtype):
    image, mask = picture().to(dtype), square().to(dtype)
    result, used = harmonize(image, mask, background=picture(seed=1).to(dtype), reference_mask=1 - mask)
    assert result.dtype == used.dtype == torch.float32
    assert torch.isfinite(result).all()


def test_results_come_in_the_type_that_the_core_keeps(harmonize, pack, monkeypatch):
    monkeypatch.setattr(pack["management"], "intermediate_dtype", lambda: torch.float16, raising=False)
    result, used = harmonize(picture(), square())
    assert result.dtype == used.dtype == torch.float16


def test_results_stay_in_range(harmonize):
    image = picture() * 1.4 - 0.2
    mask = square()
    result, _ = harmonize(image, mask)
    assert torch.equal(result[mask == 0], image[mask == 0])  # beyond white and black too
    assert image.min() <= result.min() and result.max() <= image.max()
    result, _ = harmonize(image.clamp(0, 1), mask, strength=2.0)
    assert 0 <= result.min() and result.max() <= 1


def test_alpha_stays(harmonize):
    image = picture(channels=4)
    result, _ = harmonize(image, square())
    assert torch.equal(result[..., 3], image[..., 3])


def test_one_mask_serves_a_batch_and_one_image_takes_many_masks(harmonize):
    image, mask = picture(batch=3), square()
    result, _ = harmonize(image, mask)
    each = torch.cat([harmonize(image[n : n + 1], mask)[0] for n in range(3)])
    torch.testing.assert_close(result, each, rtol=0, atol=1e-5)
    masks = torch.cat([square(), square().roll(9, 2)])
    assert harmonize(image[:1], masks)[0].shape[0] == 2


def test_a_background_is_the_result_outside_the_mask(harmonize):
    image, mask, background = picture(), square(), picture(seed=1)
    result, _ = harmonize(image, mask, background=background)
    assert torch.equal(result[mask == 0], background[mask == 0])


def test_values_above_1_are_light_and_stay(harmonize):
    image, mask = 12 * picture() ** 2.2, square()
    result, _ = harmonize(image, mask, foreground="pasted")
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert result[mask == 1].max() > 2 and not torch.equal(result[mask == 1], image[mask == 1])
    given, _ = harmonize(image / 64, mask, foreground="pasted", exposure=4.0)
    again, _ = harmonize(image, mask, foreground="pasted", encoding="linear", exposure=-2.0)
    torch.testing.assert_close(given * 64, again, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="encoding"):
        harmonize(image, mask, encoding="log")


# What a VAE does to the tones

GAIN, OFFSET = torch.tensor([1.06, 0.97, 1.03]), torch.tensor([0.02, 0.0, -0.03])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_shift_of_tones_that_shows_outside_the_mask_is_taken_back_inside(harmonize, dtype):
    original, mask = 0.1 + 0.8 * picture(batch=3), square()
    brighter = torch.tensor([1.0, 1.03, 0.98]).view(3, 1, 1, 1)
    inpainted = (original * GAIN * brighter + OFFSET).clamp(0, 1).to(dtype)
    result, _ = harmonize(inpainted, mask, background=original)
    assert torch.equal(result[:, mask[0] == 0], original[:, mask[0] == 0])
    one, _ = harmonize(inpainted[:1], mask, background=original[:1].to(dtype))
    for harmonized in (result, one):
        apart = (harmonized.float() - original[: len(harmonized)])[:, mask[0] == 1].abs()
        assert apart.mean() < 0.006  # 8-bit levels are 0.004 apart


def test_what_is_another_picture_or_was_meant_keeps_its_colours(pack):
    image, mask = picture(), square()
    flat = torch.full_like(image, 0.5)
    nothing = torch.ones_like(mask)
    shifted = (image * GAIN + OFFSET).clamp(0, 1)
    for before, original, covered in (
        (image, image, mask),
        (image, picture(seed=1), mask),
        (flat, image, mask),
        (0.5 * image, image, mask),
        (shifted, image, nothing),
    ):
        assert find_drift(before[0], original[0], covered[0]) is None
    matrix = find_drift(shifted[0], image[0], mask[0])
    torch.testing.assert_close(matrix[:, :3], torch.diag(1 / GAIN - 1), rtol=0, atol=0.05)
    torch.testing.assert_close(matrix[:, 3], -OFFSET / GAIN, rtol=0, atol=0.03)


def test_the_shift_is_taken_back_whatever_the_strength(harmonize):
    original, mask = 0.1 + 0.8 * picture(), square()
    inpainted = (original * GAIN + OFFSET).clamp(0, 1)
    for strength in (0.0, 1.0):
        result, _ = harmonize(inpainted, mask, background=original, strength=strength)
        assert (result - original).abs().mean() < 0.1 * (inpainted - original)[mask > 0].abs().mean()


def test_the_mask_that_comes_out_has_the_size_of_the_image_that_comes_out(harmonize):
    """A VAE takes multiples of 8: ComfyUI cuts half of the rest off above and at the left."""
    original = picture(83, 90)
    image, mask = original[:, 1:81, 1:89], torch.zeros(1, 83, 90)
    mask[:, 30:81, 40:89] = 1
    result, used = harmonize(image, mask, background=original)
    assert result.shape == original.shape and torch.equal(used, mask)
    _, used = harmonize(image, mask[:, 1:81, 1:89], background=original, feather=4)
    assert used.shape == mask.shape and used[:, 60, 70] == 1
    assert not used[:, 0].any() and not used[:, 81:].any() and not used[..., 0].any() and not used[..., 89].any()


def test_inputs_are_never_written(harmonize):
    image, mask, background = picture(channels=4), square(), picture(seed=1)
    copies = [each.clone() for each in (image, mask, background)]
    for options in ({}, {"invert_mask": True}, {"feather": 3}, {"background": background}, {"strength": 0.0}):
        for result in harmonize(image, mask, **options):
            assert not any(result.data_ptr() == each.data_ptr() for each in (image, background))
    assert all(torch.equal(now, then) for now, then in zip((image, mask, background), copies))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resolution": "300"}, "resolution"),
        ({"batch_mode": "none"}, "consistency|batch"),
        ({"strength": 2.5}, "strength"),
        ({"background": picture(20, 20)}, "background"),
    ],
)
def test_a_wrong_setting_gets_one_clear_sentence(harmonize, options, said):
    with pytest.raises(ValueError, match=said):
        harmonize(picture(), square(), **options)


# Comparing, examples


def test_side_by_side_holds_both_images(pack):
    before, after = picture(), picture(batch=2, seed=1)
    (both,) = pack["HDNetCompare"].execute(before, after, "side by side", 0.5)
    assert torch.equal(both[1, :, :64], before[0]) and torch.equal(both[:, :, 64:], after)


def test_a_wipe_shows_one_image_on_either_side_of_a_white_line(pack):
    before, after = picture(), picture(seed=1)
    (wipe,) = pack["HDNetCompare"].execute(before, after, "wipe", 0.25)
    assert torch.equal(wipe[:, :, :15], before[:, :, :15]) and torch.equal(wipe[:, :, 17:], after[:, :, 17:])
    assert (wipe[:, :, 15:17] == 1).all()


def test_images_of_different_sizes_are_compared_at_the_first_ones(pack):
    (both,) = pack["HDNetCompare"].execute(picture(), picture(20, 30, channels=4), "side by side", 0.5)
    assert both.shape == (1, 48, 128, 3)


@pytest.mark.parametrize("position", [0.0, 1.0])
def test_a_wipe_may_stand_at_either_end(pack, position):
    (wipe,) = pack["HDNetCompare"].execute(picture(), picture(seed=1), "wipe", position)
    assert wipe.shape == (1, 48, 64, 3)


@pytest.mark.parametrize("example", ["composite", "inpainted", "original of inpainted", "film", "guide"])
def test_every_example_is_there_with_a_mask_of_its_size(pack, example):
    image, mask = pack["HDNetExample"].execute(example)
    assert image.shape[:3] == mask.shape and 0 <= image.min() and image.max() <= 1
    assert (len(image) > 1) == (example == "film")
    assert bool(mask.any()) == (example not in ("original of inpainted", "guide"))


# Several objects


def test_several_objects_of_one_image_give_one_image_and_one_mask(harmonize):
    image, masks = picture(), torch.cat((square(), square().roll(24, 2)))
    for objects, count in (("images", 2), ("each", 1), ("together", 1)):
        result, used = harmonize(image, masks, objects=objects, grow=2, foreground="pasted")
        assert len(result) == len(used) == count
        assert torch.equal(result[used == 0], image.expand(count, -1, -1, -1)[used == 0])
        if count == 1:
            assert used[0].sum() > masks.sum()
            bar = comfyui_stand_in.ProgressBar.last
            assert bar.steps[-1] == bar.total
    with pytest.raises(ValueError, match="one image"):
        harmonize(picture(batch=2), masks, objects="each")


@pytest.mark.parametrize(
    ("objects", "said"),
    [("images", "One result for each of 2 masks."), ("each", "each matched by itself."), ("together", "as one.")],
)
def test_the_node_says_how_several_masks_were_taken(pack, harmonize, monkeypatch, objects, said):
    shown = []
    module = sys.modules[pack["HDNetHarmonizeComposite"].__module__]
    monkeypatch.setattr(module, "show_text", lambda node, text: shown.append(text))
    harmonize(picture(), torch.cat((square(), square().roll(24, 2))), objects=objects)
    harmonize(picture(), square(), objects=objects)
    assert shown[0].splitlines()[0].endswith(said) and said not in shown[1]


def test_the_mask_that_comes_out_is_that_of_blending(harmonize):
    image, mask = picture(), square()
    result, used = harmonize(image, mask, blend_grow=-3, blend_feather=2, foreground="pasted")
    assert used.sum() < mask.sum() and torch.equal(result[used == 0], image[used == 0])


def test_a_rim_is_defringed_by_the_mask_as_it_was_given(pack, harmonize):
    from harmonize_composite.hdnet.harmonize.defringe import defringe

    mask = torch.nn.functional.avg_pool2d(square(), 5, 1, 2)
    image = torch.lerp(torch.full((1, 48, 64, 3), 0.2), torch.tensor([0.8, 0.5, 0.4]), mask[..., None].square())
    options = {"grow": 2, "feather": 3, "foreground": "pasted"}
    result, used = harmonize(image, mask, defringe=True, **options)
    clean = image.clone()
    defringe(clean[0], mask[0], pasted=True)
    expected, same = harmonize(clean, mask, **options)
    assert torch.equal(result, expected) and torch.equal(used, same)
    assert not torch.equal(result, harmonize(image, mask, **options)[0])


# Results that can be edited


def test_the_layer_laid_over_the_composite_is_the_result(pack, harmonize):
    image, mask = 0.3 + 0.4 * picture(), square()
    result, used = harmonize(image, mask, feather=4)
    (layer,) = pack["HDNetForegroundLayer"].execute(result, image, used)
    assert layer.shape[-1] == 4 and torch.equal(layer[..., 3], used)
    torch.testing.assert_close(torch.lerp(image, layer[..., :3], layer[..., 3:]), result, rtol=0, atol=1e-5)


def test_a_lut_is_saved_under_a_new_name_every_time(pack, harmonize, tmp_path, monkeypatch):
    paths = pack["folder_paths"]
    monkeypatch.setattr(paths, "get_output_directory", lambda: str(tmp_path), raising=False)
    monkeypatch.setattr(
        paths, "get_save_image_path", lambda prefix, folder: (folder, prefix, 1, "", prefix), raising=False
    )
    image, mask = picture(batch=2), square()
    result, used = harmonize(image, mask)
    saved = [pack["HDNetSaveLut"].execute(image, result, used, "shot", size)[0] for size in ("33", "65")]
    assert [Path(path).name for path in saved] == ["shot_00001_.cube", "shot_00002_.cube"]
    assert [len(Path(path).read_text("ascii").splitlines()) for path in saved] == [4 + 33**3, 4 + 65**3]
    with pytest.raises(ValueError, match="one size"):
        pack["HDNetSaveLut"].execute(picture(20, 20), result, used, "shot", "33")


# What the user reads


def test_the_nodes_and_their_inputs_keep_their_ids(pack):
    """Saved workflows refer to these for ever: add, never rename."""
    ids = {
        name: [each.id for each in node.define_schema().inputs]
        for name, node in pack.items()
        if name.startswith("HDNet")
    }
    assert ids == {
        "HDNetLoadModel": ["model_name", "hub", "precision"],
        "HDNetHarmonizeComposite": [
            "image",
            "mask",
            "model",
            "background",
            "reference_mask",
            "strength",
            "resolution",
            "invert_mask",
            "feather",
            "batch_mode",
            "foreground",
            "lightness",
            "colour",
            "grow",
            "blend_grow",
            "blend_feather",
            "objects",
            "encoding",
            "exposure",
            "defringe",
        ],
        "HDNetCompare": ["before", "after", "layout", "position"],
        "HDNetExample": ["example"],
        "HDNetForegroundLayer": ["image", "beneath", "mask"],
        "HDNetSaveLut": ["before", "after", "mask", "filename_prefix", "size"],
        "HDNetTransferLight": [
            "image",
            "guide",
            "mask",
            "added_mask",
            "strength",
            "feather",
            "invert_mask",
            "resolution",
            "batch_mode",
            "align",
            "lightness",
            "colour",
        ],
        "HDNetHarmonizeVideo": [
            "video",
            "mask",
            "mask_video",
            "model",
            "background",
            "strength",
            "resolution",
            "invert_mask",
            "foreground",
            "anchor",
            "crf",
        ],
    }


def test_every_input_and_output_has_a_tooltip(pack):
    for name, node in pack.items():
        if name.startswith("HDNet"):
            schema = node.define_schema()
            assert schema.description and schema.category == "image/compositing"
            for each in [*schema.inputs, *schema.outputs]:
                assert each.options["tooltip"].endswith("."), (name, each.id)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_names_are_translated_completely(pack, language):
    definitions = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
    for name, node in pack.items():
        if not name.startswith("HDNet"):
            continue
        schema, texts = node.define_schema(), definitions[name]
        assert texts["display_name"] and texts["description"]
        assert list(texts["inputs"]) == [each.id for each in schema.inputs]
        assert list(texts["outputs"]) == [str(n) for n in range(len(schema.outputs))]
        for each in [*texts["inputs"].values(), *texts["outputs"].values()]:
            assert each["name"] and each["tooltip"]
        if language == "en":
            assert texts["display_name"] == schema.display_name and texts["description"] == schema.description
            shown = [*texts["inputs"].values(), *texts["outputs"].values()]
            for text, each in zip(shown, [*schema.inputs, *schema.outputs]):
                assert text["tooltip"] == each.options["tooltip"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_node_has_a_help_page_with_pictures_that_exist(pack, language):
    for name, node in pack.items():
        if name.startswith("HDNet"):
            docs = ROOT / "web" / "docs"
            page = docs / f"{name}.md" if language == "en" else docs / name / f"{language}.md"
            text = page.read_text("utf-8")
            pictures = [part.split(")")[0] for part in text.split("](")[1:] if not part.startswith("http")]
            assert pictures, page
            for picture_path in pictures:
                assert (docs / picture_path).is_file(), (page, picture_path)  # as ComfyUI looks for them
            for each in node.define_schema().inputs:
                assert f"`{each.id}`" in text, (page, each.id)


@pytest.mark.parametrize("page", sorted((ROOT / "web" / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_no_word_of_a_help_page_is_wider_than_the_page(page):
    """A help page is some 280 pixels wide; code is not broken between its letters."""
    code = re.findall("`([^`]*)`", page.read_text("utf-8"))
    assert max(len(word) for text in code for word in text.split()) <= 26


def test_the_blueprint_shows_every_setting_and_applies_the_alpha_once():
    """As inputs of its own, which every version shows; a background as well would apply it again."""
    (graph,) = json.loads((ROOT / "subgraphs" / "Paste and Harmonize.json").read_text("utf-8"))["definitions"][
        "subgraphs"
    ]
    names = [each["name"] for each in graph["inputs"]]
    assert names[:3] == ["foreground", "foreground_mask", "background"]
    assert names[3:] == ["x", "y", "scale", "strength", "feather", "resolution"]
    node = next(each for each in graph["nodes"] if each["type"] == "HDNetHarmonizeComposite")
    linked = {each["name"] for each in node["inputs"] if each["link"] is not None}
    assert linked == {"image", "mask", "strength", "feather", "resolution"}
    scaled = [each["target_id"] for each in graph["links"] if (each["origin_id"], each["origin_slot"]) == (-10, 5)]
    assert len(scaled) == 2  # picture and alpha alike


def test_nothing_is_promised_that_the_node_does_not_do(pack):
    options = (ROOT / "nodes" / "harmonize_composite.py").read_text("utf-8")
    assert "relight" not in options and "relight" not in (ROOT / "README.md").read_text("utf-8").lower()
    assert not pack["HDNetExample"].define_schema().display_name.lower().startswith("harmonize")

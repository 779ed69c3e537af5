"""What the nodes make of ComfyUI's tensors, without ComfyUI; with it, see test_comfyui.py."""

import asyncio
import gc
import json
import logging
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import comfyui_stand_in  # noqa: E402
from harmonize_composite.hdnet.harmonize.drift import find_drift

ROOT = Path(__file__).parents[2]
GIVEN = {"strength": 1.0, "resolution": "256", "invert_mask": False}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """The nodes by id, loaded as ComfyUI loads them."""
    before = set(sys.modules)
    management = comfyui_stand_in.install(tmp_path_factory.mktemp("models"))
    import harmonize_composite

    extension = asyncio.run(harmonize_composite.comfy_entrypoint())
    nodes = {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
    yield {"management": management, "folder_paths": sys.modules["folder_paths"], **nodes}
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("comfy", "comfy_api", "folder_paths") or ".nodes" in name:
            del sys.modules[name]


@pytest.fixture
def harmonize(pack):
    def call(image, mask, **options):
        return pack["HDNetHarmonizeComposite"].execute(image, mask, **{**GIVEN, **options})

    return call


def picture(height=48, width=64, batch=1, channels=3, seed=0):
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(seed))


def square(height=48, width=64, batch=1):
    mask = torch.zeros(batch, height, width)
    mask[:, height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


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


# Memory, interruption, progress


def failing_above(pack, monkeypatch, limit, error):
    """Lets the network fail for more images at a time than the limit; returns the batch sizes it was given."""
    from harmonize_composite.hdnet import HDNet

    forward, sizes = HDNet.forward, []

    def limited(self, composite, *others):
        sizes.append(len(composite))
        if len(composite) > limit:
            raise error
        return forward(self, composite, *others)

    monkeypatch.setattr(HDNet, "forward", limited)
    return sizes


@pytest.fixture
def on_a_gpu(pack):
    """The shipped model, whose patcher says that it is on no CPU, so that images go through in batches."""
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite", precision="float32")
    model.load_device = torch.device("meta")
    return model


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "mps"])
def test_out_of_memory_goes_on_with_smaller_batches_and_says_so(harmonize, on_a_gpu, pack, monkeypatch, caplog, error):
    image, mask = picture(batch=8), square()
    expected, _ = harmonize(image.clone(), mask, model=on_a_gpu)
    sizes = failing_above(pack, monkeypatch, 2, error)
    with caplog.at_level(logging.WARNING):
        result, _ = harmonize(image, mask, model=on_a_gpu)
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert "out of memory" in caplog.text and "2 image(s)" in caplog.text
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_out_of_memory_with_a_single_image_says_what_to_do(harmonize, pack, monkeypatch):
    failing_above(pack, monkeypatch, 0, OUT_OF_MEMORY[1])
    with pytest.raises(torch.OutOfMemoryError, match="lower resolution"):
        harmonize(picture(), square(), resolution="native")


def test_other_failures_are_not_taken_for_a_lack_of_memory(harmonize, on_a_gpu, pack, monkeypatch):
    sizes = failing_above(pack, monkeypatch, 0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        harmonize(picture(batch=2), square(), model=on_a_gpu)
    assert sizes == [2]


def test_memory_is_asked_for_before_the_network_runs(harmonize, on_a_gpu, pack, monkeypatch):
    asked = []
    monkeypatch.setattr(
        pack["management"], "load_models_gpu", lambda models, **needs: asked.append((models, needs["memory_required"]))
    )
    harmonize(picture(), square(), model=on_a_gpu)
    harmonize(picture(96, 128, batch=4), square(), model=on_a_gpu)
    assert all(models == [on_a_gpu] for models, _ in asked)
    assert asked[1][1] == 16 * asked[0][1] > 0


@pytest.mark.parametrize("mode", ["per_frame", "uniform", "smooth"])
def test_interruption_takes_effect_within_one_image(harmonize, pack, monkeypatch, mode):
    sizes = failing_above(pack, monkeypatch, 99, None)

    def interrupted():
        if len(sizes) == 3:
            raise comfyui_stand_in.Interrupted

    monkeypatch.setattr(pack["management"], "throw_exception_if_processing_interrupted", interrupted)
    with pytest.raises(comfyui_stand_in.Interrupted):
        harmonize(picture(batch=20), square(), batch_mode=mode)
    assert sizes == [1, 1, 1]
    monkeypatch.undo()
    harmonize(picture(), square())


@pytest.mark.parametrize("mode", ["per_frame", "uniform", "smooth"])
def test_progress_moves_with_every_image_and_ends_full(harmonize, mode):
    mask = square(batch=6)
    mask[2] = 0
    harmonize(picture(batch=6), mask, batch_mode=mode)
    bar = comfyui_stand_in.ProgressBar.last
    assert bar.steps == sorted(bar.steps)
    assert len(set(bar.steps)) >= 6
    assert bar.steps[-1] == bar.total


# A second run on the same image


def test_a_change_of_strength_does_not_run_the_network_again(harmonize, pack, monkeypatch):
    image, mask = picture(batch=3), square()
    harmonize(image, mask, strength=0.4, foreground="pasted")
    expected, _ = harmonize(image.clone(), mask, foreground="pasted")
    sizes = failing_above(pack, monkeypatch, 99, None)
    result, _ = harmonize(image, mask, foreground="pasted")
    assert not sizes and torch.equal(result, expected)


@pytest.mark.parametrize("change", ["mask", "resolution", "model", "values"])
def test_what_the_network_sees_anew_is_judged_anew(harmonize, pack, monkeypatch, change):
    image, mask, options = picture(96, 128), square(96, 128), {"resolution": "256", "foreground": "pasted"}
    harmonize(image, mask, **options)
    if change == "mask":
        mask = mask.roll(9, 2)
    elif change == "resolution":
        image, mask = picture(600, 600), square(600, 600)
        harmonize(image, mask, **options)
        options["resolution"] = "512"
    elif change == "model":
        (options["model"],) = pack["HDNetLoadModel"].execute("hdnet-lite", precision="float16")
    else:
        image *= 0.9
    sizes = failing_above(pack, monkeypatch, 99, None)
    harmonize(image, mask, **options)
    assert sizes == [1]


def test_what_the_network_said_goes_with_its_image_and_stays_within_bounds(harmonize, monkeypatch):
    from harmonize_composite.nodes import remembering

    image = picture(batch=4)
    harmonize(image, square(), foreground="pasted")
    (kept,) = remembering._outputs[image].values()
    size = next(iter(kept.values())).nbytes
    assert len(kept) == 4
    monkeypatch.setattr(remembering, "LIMIT", 2 * size)
    harmonize(image, square().roll(5, 1), foreground="pasted")
    assert [len(each) for each in remembering._outputs[image].values()] == [2]
    gc.collect()
    before = len(remembering._outputs)
    del image
    gc.collect()
    assert len(remembering._outputs) == before - 1


def test_nothing_is_left_on_the_network(harmonize, pack):
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite")
    harmonize(picture(), square(), model=model)
    assert not model.model._forward_pre_hooks


def test_model_and_reference_are_computed_only_where_they_show(pack):
    asks = pack["HDNetHarmonizeComposite"].check_lazy_status
    unknown = {"model": None, "reference_mask": None, "background": picture()}
    assert asks(strength=1.0, **unknown) == ["model", "reference_mask"]
    assert asks(strength=0.5, model=object(), image=picture()) == []
    assert asks(strength=0.0, **unknown) == []


# Models


def test_models_come_from_the_users_folders_and_from_the_pack(pack, tmp_path):
    loader, paths = pack["HDNetLoadModel"], pack["folder_paths"]
    folders = paths.folder_names_and_paths["hdnet"][0]
    folders.insert(0, str(tmp_path))
    try:
        shutil.copy(ROOT / "weights" / "hdnet_lite.safetensors", tmp_path / "mine.safetensors")
        (tmp_path / "README.md").write_text("no weights")
        options = next(each for each in loader.define_schema().inputs if each.id == "model_name").options
        assert options["options"] == ["mine.safetensors", "hdnet-lite"] and options["default"] == "hdnet-lite"
        (mine,), (shipped,) = loader.execute("mine.safetensors"), loader.execute("hdnet-lite")
        for ours, theirs in zip(mine.model.parameters(), shipped.model.parameters()):
            assert torch.equal(ours, theirs)
        first = loader.fingerprint_inputs("mine.safetensors")
        assert first == loader.fingerprint_inputs("mine.safetensors")
        shutil.copystat(__file__, tmp_path / "mine.safetensors")
        assert first != loader.fingerprint_inputs("mine.safetensors")
    finally:
        folders.remove(str(tmp_path))


@pytest.mark.parametrize("name", ["no such.safetensors", "../../secret.safetensors", "", "/etc/passwd"])
def test_a_model_that_is_not_listed_is_refused(pack, name):
    with pytest.raises(ValueError, match="models/hdnet.*hdnet-lite"):
        pack["HDNetLoadModel"].execute(name)


@pytest.mark.parametrize("hub", ["owner", "owner/repo/model.pth", "owner/repo@", "a b/c"])
def test_a_hub_address_that_is_none_is_refused(pack, hub):
    with pytest.raises(ValueError, match="Hub|hub"):
        pack["HDNetLoadModel"].execute("hdnet-lite", hub=hub)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)],
)
def test_the_precision_is_that_of_the_network(pack, harmonize, precision, dtype):
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite", precision=precision)
    assert {each.dtype for each in model.model.parameters()} == {dtype}
    image, mask = picture(), square()
    expected, _ = harmonize(image, mask)
    torch.testing.assert_close(harmonize(image, mask, model=model)[0], expected, rtol=0, atol=0.03)


def test_an_unknown_precision_is_refused(pack):
    with pytest.raises(ValueError, match="precision"):
        pack["HDNetLoadModel"].execute("hdnet-lite", precision="int8")


def test_a_user_who_names_the_folder_keeps_it(pack):
    from harmonize_composite.nodes.model_folder import register_model_folder

    paths = pack["folder_paths"]
    kept = paths.folder_names_and_paths["hdnet"]
    paths.folder_names_and_paths["hdnet"] = (["/data/hdnet"], {".ckpt"})
    try:
        register_model_folder()
        register_model_folder()
        folders, extensions = paths.folder_names_and_paths["hdnet"]
        assert folders[0] == "/data/hdnet" and len(folders) == 2
        assert extensions == {".safetensors"}
    finally:
        paths.folder_names_and_paths["hdnet"] = kept


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
        ],
        "HDNetCompare": ["before", "after", "layout", "position"],
        "HDNetExample": ["example"],
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

"""The pack inside a real ComfyUI: set COMFYUI_PATH (and COMFYUI_PYTHON), see CONTRIBUTING.md."""

import json
import os
import shutil
import time

import numpy as np
import pytest
import torch
from PIL import Image

from comfyui_server import ROOT, Refused, Server, api_form  # noqa: E402
from hub_server import hub  # noqa: E402

pytestmark = [
    pytest.mark.skipif("COMFYUI_PATH" not in os.environ, reason="COMFYUI_PATH names no checkout of ComfyUI"),
    pytest.mark.timeout(600),
]
WEIGHTS = ROOT / "weights" / "hdnet_lite.safetensors"
LIGHT = """
import folder_paths, numpy, os, torch

class Load:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING", {})}})
    RETURN_TYPES, FUNCTION = ("IMAGE",), "run"
    def run(self, name):
        return (torch.from_numpy(numpy.load(os.path.join(folder_paths.get_input_directory(), name))),)

class Save:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"images": ("IMAGE",), "name": ("STRING", {})}})
    RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "run", True
    def run(self, images, name):
        numpy.save(os.path.join(folder_paths.get_output_directory(), name), images.float().cpu().numpy())
        return {}

NODE_CLASS_MAPPINGS = {"TestLoadLight": Load, "TestSaveLight": Save}
"""  # stand in for the nodes of other packs that load and save EXR
WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))


@pytest.fixture(scope="module")
def the_hub():
    with hub("harmonize-composite/hdnet-lite-semantic", {"model.safetensors": WEIGHTS.read_bytes()}) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory, the_hub):
    base = tmp_path_factory.mktemp("comfyui")
    mine = base / "elsewhere"
    mine.mkdir()
    shutil.copy(WEIGHTS, mine / "mine.safetensors")
    config = base / "paths.yaml"
    config.write_text(f"mine:\n  base_path: {base}\n  hdnet: elsewhere\n")
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / "light.py").write_text(LIGHT)
    server = Server(base, "--extra-model-paths-config", config, HF_ENDPOINT=the_hub.address, HF_HUB_OFFLINE="0")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def definitions(server):
    return server.get("/object_info")


def prompt(example="composite", extra=None, **options):
    """A prompt in API form: an example, harmonized with these options, saved."""
    inputs = {"image": ["1", 0], "mask": ["1", 1], "strength": 1.0, "resolution": "256", "invert_mask": False}
    return {
        "1": {"class_type": "HDNetExample", "inputs": {"example": example}},
        "2": {"class_type": "HDNetHarmonizeComposite", "inputs": {**inputs, **options}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "test"}},
        **(extra or {}),
    }


def saved(server, result, node="3"):
    """The pictures that a node saved, ``[B, H, W, C]`` in 0..255."""
    files = [
        server.base / each["type"] / each["subfolder"] / each["filename"] for each in result["outputs"][node]["images"]
    ]
    return np.stack([np.asarray(Image.open(file)) for file in files]).astype(int)


def demo(name, mode="RGB"):
    return np.asarray(Image.open(ROOT / "example_workflows" / name).convert(mode)).astype(int)


# Found and shown


def test_the_nodes_are_there_under_their_names(definitions):
    names = {key: value["display_name"] for key, value in definitions.items() if key.startswith("HDNet")}
    assert names == {
        "HDNetLoadModel": "Load Harmonize Model",
        "HDNetHarmonizeComposite": "Harmonize Composite",
        "HDNetCompare": "Compare Before and After",
        "HDNetExample": "Example for Harmonize Composite",
        "HDNetForegroundLayer": "Foreground as Layer",
        "HDNetSaveLut": "Save Change as LUT",
        "HDNetTransferLight": "Transfer Light",
        "HDNetHarmonizeVideo": "Harmonize Video",
    }


def test_the_nodes_are_found_by_other_words(definitions):
    if "search_aliases" not in definitions["SaveImage"]:
        pytest.skip("this ComfyUI knows no search aliases yet")
    assert {"harmonize", "color match", "inpaint blend"} <= set(
        definitions["HDNetHarmonizeComposite"]["search_aliases"]
    )
    for name in ("HDNetLoadModel", "HDNetCompare", "HDNetExample"):
        assert definitions[name]["search_aliases"]


def test_rare_inputs_are_advanced(definitions):
    optional = definitions["HDNetHarmonizeComposite"]["input"]["optional"]
    assert {name for name, (_, options) in optional.items() if options.get("advanced")} == {
        "batch_mode",
        "lightness",
        "colour",
        "grow",
        "blend_grow",
        "blend_feather",
        "objects",
        "encoding",
        "exposure",
        "defringe",
    }


def test_help_pages_and_their_pictures_are_served(server, definitions):
    for name in definitions:
        if name.startswith("HDNet"):
            base = "/extensions/harmonize-composite/docs"
            for page in (f"{name}.md", f"{name}/zh.md"):
                text = server.get(f"{base}/{page}").decode()
                pictures = [part.split(")")[0] for part in text.split("](")[1:]]
                assert pictures
                for picture in pictures:
                    assert len(server.get(f"{base}/{picture}")) < 150_000


def test_names_are_translated(server):
    languages = server.get("/i18n")
    assert languages["zh"]["nodeDefs"]["HDNetHarmonizeComposite"]["display_name"] != "Harmonize Composite"
    assert languages["en"]["nodeDefs"]["HDNetHarmonizeComposite"]["display_name"] == "Harmonize Composite"


def test_example_workflows_are_offered_with_thumbnails(server):
    offered = server.get("/workflow_templates")["harmonize-composite"]
    assert sorted(offered) == [path.stem for path in WORKFLOWS] and len(offered) >= 5
    for path in WORKFLOWS:
        assert path.with_suffix(".jpg").stat().st_size < 150_000


def test_the_blueprint_is_offered(server):
    try:
        offered = server.get("/global_subgraphs")
    except OSError:
        pytest.skip("this ComfyUI knows no blueprints yet")
    ours = [key for key, each in offered.items() if each["info"]["node_pack"] == "custom_nodes.harmonize-composite"]
    assert ours
    for key in ours:
        assert json.loads(server.get(f"/global_subgraphs/{key}")["data"])["definitions"]["subgraphs"]


# Run


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_workflow_runs(server, definitions, path):
    workflow = json.loads(path.read_text("utf-8"))
    missing = {node["type"] for node in workflow["nodes"]} - set(definitions) - {"MarkdownNote"}
    if missing:
        pytest.skip(f"this ComfyUI has no {', '.join(missing)} yet")
    result = server.run(api_form(workflow, definitions))
    assert result["error"] is None
    assert all(each["images"] for each in result["outputs"].values()) and result["outputs"]


def test_the_saved_picture_is_that_of_the_library(server):
    from harmonize_composite.hdnet import Harmonizer
    from harmonize_composite.weights import load_network

    composite, mask = demo("harmonize_demo_composite.png"), demo("harmonize_demo_mask.png", "L")
    image = torch.from_numpy(composite)[None].float() / 255
    expected = Harmonizer(load_network())(image, torch.from_numpy(mask)[None].float() / 255)
    model = {
        "4": {"class_type": "HDNetLoadModel", "inputs": {"model_name": "hdnet-lite-semantic", "precision": "float32"}}
    }
    (picture,) = saved(server, server.run(prompt(extra=model, model=["4", 0])))
    assert np.abs(picture - expected[0].numpy() * 255).max() <= 1.5  # rounding, and another torch
    assert (picture[mask == 0] == composite[mask == 0]).all()


def test_after_inpainting_the_rest_is_the_original(server):
    extra = {"5": {"class_type": "HDNetExample", "inputs": {"example": "original of inpainted"}}}
    (picture,) = saved(server, server.run(prompt("inpainted", extra, background=["5", 0], invert_mask=False)))
    outside = demo("harmonize_demo_inpainted_mask.png", "L") == 0
    assert (picture[outside] == demo("harmonize_demo_original.jpg")[outside]).all()


@pytest.mark.parametrize("exposure", [None, -2.0])
def test_values_above_1_are_light_and_stay(server, exposure):
    from harmonize_composite.hdnet import Harmonizer
    from harmonize_composite.weights import load_network

    mask = demo("harmonize_demo_mask.png", "L")
    light = (4 * (demo("harmonize_demo_composite.png") / 255) ** 2.2).astype(np.float32)[None]
    np.save(server.base / "input" / "light.npy", light)
    extra = {
        "1": {"class_type": "TestLoadLight", "inputs": {"name": "light.npy"}},
        "3": {"class_type": "TestSaveLight", "inputs": {"images": ["2", 0], "name": f"light {exposure}"}},
        "4": {"class_type": "HDNetLoadModel", "inputs": {"model_name": "hdnet-lite", "precision": "float32"}},
        "5": {"class_type": "HDNetExample", "inputs": {"example": "composite"}},
    }
    options = {"mask": ["5", 1], "model": ["4", 0], "foreground": "pasted"}
    if exposure is not None:
        extra["6"] = {"class_type": "PrimitiveFloat", "inputs": {"value": exposure}}
        options["exposure"] = ["6", 0]
    assert server.run(prompt(extra=extra, **options))["error"] is None
    result = np.load(server.base / "output" / f"light {exposure}.npy")
    assert np.array_equal(result[:, mask == 0], light[:, mask == 0])
    assert result[:, mask > 0].max() > 2
    expected = Harmonizer(load_network("hdnet-lite", precision="float32"))(
        torch.from_numpy(light), torch.from_numpy(mask)[None].float() / 255, foreground="pasted", exposure=exposure
    )
    np.testing.assert_allclose(result, expected, rtol=0.02, atol=0.01)  # another torch


@pytest.mark.parametrize("mode", ["per_frame", "uniform", "smooth"])
def test_a_film_goes_through(server, mode):
    pictures = saved(server, server.run(prompt("film", batch_mode=mode)))
    assert len(pictures) == 24


def test_a_cut_out_with_its_mask_inverted(server):
    """Load Image gives one minus alpha."""
    composite, mask = demo("harmonize_demo_composite.png"), demo("harmonize_demo_mask.png", "L")
    Image.fromarray(np.dstack([composite, mask]).astype(np.uint8)).save(server.base / "input" / "cut.png")
    extra = {"1": {"class_type": "LoadImage", "inputs": {"image": "cut.png"}}}
    (cut,) = saved(server, server.run(prompt(extra=extra, invert_mask=True)))
    (plain,) = saved(server, server.run(prompt()))
    assert np.abs(cut[..., :3] - plain).max() <= 1


def test_a_mask_of_another_size_is_fitted(server):
    Image.fromarray(demo("harmonize_demo_mask.png", "L").astype(np.uint8)).resize((300, 400)).save(
        server.base / "input" / "small.png"
    )
    extra = {"5": {"class_type": "LoadImageMask", "inputs": {"image": "small.png", "channel": "red"}}}
    (picture,) = saved(server, server.run(prompt(extra=extra, mask=["5", 0])))
    assert picture.shape == (512, 768, 3)


def test_the_change_is_saved_as_a_table_and_the_foreground_as_a_layer(server):
    lut = {"before": ["1", 0], "after": ["2", 0], "mask": ["2", 1], "filename_prefix": "grade/shot", "size": "33"}
    layer = {"image": ["2", 0], "beneath": ["1", 0], "mask": ["2", 1]}
    extra = {
        "5": {"class_type": "HDNetSaveLut", "inputs": lut},
        "6": {"class_type": "HDNetForegroundLayer", "inputs": layer},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "layer"}},
    }
    result = server.run(prompt(extra=extra, foreground="pasted"))
    (table,) = (server.base / "output" / "grade").glob("shot*.cube")
    assert len([row for row in table.read_text("ascii").splitlines() if row[:1].isdigit()]) == 33**3
    (picture,) = saved(server, result)
    (cut,) = saved(server, result, "7")
    share = cut[..., 3:] / 255
    laid = cut[..., :3] * share + demo("harmonize_demo_composite.png") * (1 - share)
    assert np.abs(laid - picture).max() <= 2  # of rounding


# Only what has to run


def test_only_what_changed_runs_again(server):
    extra = {"4": {"class_type": "HDNetLoadModel", "inputs": {"model_name": "mine.safetensors"}}}
    first = prompt(extra=extra, model=["4", 0], strength=0.81)
    server.run(first)
    again = server.run(first)
    assert set(again["messages"]["execution_cached"]["nodes"]) == {"1", "2", "3", "4"}
    changed = server.run(prompt(extra=extra, model=["4", 0], strength=0.82))
    assert set(changed["messages"]["execution_cached"]["nodes"]) == {"1", "4"}
    os.utime(server.base / "elsewhere" / "mine.safetensors", (1, 1))  # replaced under its old name
    replaced = server.run(prompt(extra=extra, model=["4", 0], strength=0.82))
    assert set(replaced["messages"]["execution_cached"]["nodes"]) == {"1"}


def test_a_model_that_would_not_show_is_not_loaded(server):
    extra = {
        "4": {"class_type": "HDNetLoadModel", "inputs": {"model_name": "hdnet-lite-semantic", "hub": "nobody/nothing"}}
    }
    result = server.run(prompt(extra=extra, model=["4", 0], strength=0.0))
    assert result["error"] is None
    assert (saved(server, result)[0] == demo("harmonize_demo_composite.png")).all()
    assert "nobody" in server.run(prompt(extra=extra, model=["4", 0], strength=0.7))["error"]


# Models


def test_models_in_other_folders_are_listed(definitions):
    _, options = definitions["HDNetLoadModel"]["input"]["required"]["model_name"]
    assert options["options"] == ["mine.safetensors", "hdnet-lite-semantic", "hdnet-lite"]


def test_a_model_from_the_hub_is_downloaded_once(server, the_hub):
    def use(strength):
        source = {"model_name": "hdnet-lite-semantic", "hub": "harmonize-composite/hdnet-lite-semantic"}
        return server.run(
            prompt(extra={"4": {"class_type": "HDNetLoadModel", "inputs": source}}, model=["4", 0], strength=strength)
        )

    assert use(0.31)["error"] is None
    file = server.base / "elsewhere" / "harmonize-composite--hdnet-lite-semantic" / "model.safetensors"
    assert file.read_bytes() == WEIGHTS.read_bytes()
    assert [each.name for each in file.parent.iterdir()] == ["model.safetensors"]
    server.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1)
    asked = len(the_hub.asked)
    assert use(0.32)["error"] is None
    assert len(the_hub.asked) == asked


def test_a_repository_that_is_not_there_is_named(server):
    hub = {"model_name": "hdnet-lite-semantic", "hub": "nobody/nothing/some.safetensors@v1"}
    result = server.run(prompt(extra={"4": {"class_type": "HDNetLoadModel", "inputs": hub}}, model=["4", 0]))
    for word in ("nobody/nothing", "some.safetensors", "no such repository", "v1"):
        assert word in result["error"]


@pytest.mark.parametrize("precision", ["auto", "float16", "bfloat16"])
def test_every_precision_gives_nearly_the_same(server, precision):
    def use(kind):
        inputs = {"model_name": "hdnet-lite-semantic", "precision": kind}
        extra = {"4": {"class_type": "HDNetLoadModel", "inputs": inputs}}
        return saved(server, server.run(prompt(extra=extra, model=["4", 0])))

    assert np.abs(use(precision) - use("float32")).mean() < 0.5


# Manners


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resolution": "300"}, "resolution|not in list"),
        ({"batch_mode": "wild"}, "batch_mode|not in list"),
        ({"strength": 7}, "strength|bigger than max"),
        ({"background": ["5", 0]}, "same size"),
        ({"reference_mask": ["1", 0]}, "mismatch|MASK|type"),
    ],
)
def test_a_bad_input_gets_a_clear_node_error(server, options, words):
    extra = {"5": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}}
    try:
        said = server.run(prompt(extra=extra, **options))["error"]
    except Refused as refused:
        said = str(refused)
    assert any(word in said for word in words.split("|")), said
    assert server.run(prompt())["error"] is None


def test_an_unlisted_model_is_refused(server):
    extra = {"4": {"class_type": "HDNetLoadModel", "inputs": {"model_name": "../../etc/passwd.safetensors"}}}
    try:
        said = server.run(prompt(extra=extra, model=["4", 0]))["error"]
    except Refused as refused:
        said = str(refused)
    assert "hdnet-lite" in said


@pytest.mark.parametrize("mode", ["per_frame", "uniform"])
def test_an_interruption_ends_a_long_batch_at_once(server, mode):
    extra = {"5": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 400}}}
    prompt_id = server.queue(prompt(extra=extra, image=["5", 0], resolution="512", batch_mode=mode))
    time.sleep(6)
    started = time.monotonic()
    server.post("/interrupt")
    result = server.wait(prompt_id)
    assert "execution_interrupted" in result["messages"]
    assert time.monotonic() - started < 5
    assert server.run(prompt(strength=0.4))["error"] is None


def test_the_model_can_be_unloaded_and_comes_back(server):
    first = saved(server, server.run(prompt(strength=0.51)))
    server.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1)
    result = server.run(prompt(strength=0.51))
    assert "2" not in result["messages"]["execution_cached"]["nodes"]
    assert (saved(server, result) == first).all()


def test_nothing_was_left_behind_or_complained_about(server):
    log = server.log.read_text()
    assert "IMPORT FAILED" not in log and "Harmonize Composite could not be loaded" not in log


# Films


def test_a_video_file_is_harmonized_and_saved_with_its_sound(server, tmp_path):
    av = pytest.importorskip("av")
    from films import as_picture, read_rgb, rectangle, sound, textured, write

    mask, scene = rectangle(), textured()
    scene[mask] = (scene * np.array((1.3, 1.0, 0.7))).clip(0, 255).astype(np.uint8)[mask]
    write(server.base / "input" / "film.mkv", [scene] * 40, "yuv444p", "libx264", rate=20, sound=True)
    write(server.base / "input" / "masks.mkv", [as_picture(mask)] * 20, "gray", rate=10)
    inputs = {"video": ["1", 0], "mask_video": ["2", 0], "strength": 1.0, "resolution": "256", "invert_mask": False}
    result = server.run(
        {
            "1": {"class_type": "LoadVideo", "inputs": {"file": "film.mkv"}},
            "2": {"class_type": "LoadVideo", "inputs": {"file": "masks.mkv"}},
            "3": {
                "class_type": "HDNetHarmonizeVideo",
                "inputs": {**inputs, "foreground": "pasted", "anchor": "1", "model": ["5", 0]},
            },
            "5": {"class_type": "HDNetLoadModel", "inputs": {"model_name": "hdnet-lite"}},
            "4": {
                "class_type": "SaveVideo",
                "inputs": {"video": ["3", 0], "filename_prefix": "film", "format": "auto", "codec": "auto"},
            },
        }
    )
    assert result["error"] is None
    (each,) = result["outputs"]["4"]["images"]
    path = server.base / each["type"] / each["subfolder"] / each["filename"]
    before, after = (read_rgb(file) for file in (server.base / "input" / "film.mkv", path))
    assert len(after) == 40 and sound(path) == sound(server.base / "input" / "film.mkv") != b""
    change = after[20].astype(float) - before[20]
    assert np.abs(change)[~mask].mean() < 1.5  # encoded once more
    red, _, blue = change[mask].mean(0)
    assert red < -1 and blue - red > 4  # the cast is taken back
    with av.open(str(path)) as film:
        assert film.streams.video[0].codec_context.name == "h264"

"""The pack in a real ComfyUI for a long time: set COMFYUI_LOAD=1 beside COMFYUI_PATH. About half an hour."""

import os
import random
import time

import pytest

from comfyui_server import Refused, Server  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        not (os.environ.get("COMFYUI_PATH") and os.environ.get("COMFYUI_LOAD")),
        reason="long; COMFYUI_PATH and COMFYUI_LOAD=1 ask for it",
    ),
    pytest.mark.timeout(3600),
]
PROMPTS = int(os.environ.get("COMFYUI_PROMPTS", 1000))
IMAGES = int(os.environ.get("COMFYUI_IMAGES", 500))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("comfyui"), HF_HUB_OFFLINE="1")
    yield server
    server.stop()


def graph(**changes):
    """A prompt in API form: an example, harmonized, shown; ``node__input=value`` changes it.

    ``plain``, ``cut_out`` and ``stencil``, an image, one with alpha and a mask of any size and number, are there to
    be connected.
    """
    nodes = {
        "example": ("HDNetExample", {"example": "composite"}),
        "model": ("HDNetLoadModel", {"model_name": "hdnet-lite-semantic"}),
        "harmonize": (
            "HDNetHarmonizeComposite",
            {
                "image": ["example", 0],
                "mask": ["example", 1],
                "strength": 1.0,
                "resolution": "256",
                "invert_mask": False,
            },
        ),
        "compare": (
            "HDNetCompare",
            {"before": ["example", 0], "after": ["harmonize", 0], "layout": "wipe", "position": 0.5},
        ),
        "show": ("PreviewImage", {"images": ["compare", 0]}),
        "plain": ("EmptyImage", {"width": 96, "height": 64, "batch_size": 1, "color": 0x406080}),
        "shape": ("EmptyImage", {"width": 48, "height": 48, "batch_size": 1, "color": 0x808080}),
        "stencil": ("ImageToMask", {"image": ["shape", 0], "channel": "red"}),
        "cut_out": ("JoinImageWithAlpha", {"image": ["plain", 0], "alpha": ["stencil", 0]}),
    }
    prompt = {name: {"class_type": kind, "inputs": dict(inputs)} for name, (kind, inputs) in nodes.items()}
    for name, value in changes.items():
        node, _, socket = name.partition("__")
        prompt[node]["inputs"][socket] = value
    return prompt


def test_many_images_take_no_more_and_more_memory(server):
    memory = []
    for number in range(IMAGES):
        changes = {"harmonize__strength": 0.1 + 0.9 * number / IMAGES}
        if number % 2:  # weights given, and weights loaded for the node itself
            changes["harmonize__model"] = ["model", 0]
        assert server.run(graph(**changes))["error"] is None
        if number % 50 == 49:
            memory.append(server.memory())
    print("resident MB after every 50 images:", [round(each) for each in memory])
    early, late = memory[len(memory) // 2 - 1], memory[-1]
    assert late - early < 60


VALUES = {  # of each input those that are right, and those that are wrong or may be
    "example__example": (["composite", "inpainted"], ["original of inpainted", "nothing", 3, None, ["model", 0]]),
    "model__model_name": (
        ["hdnet-lite-semantic", "hdnet-lite"],
        ["missing.safetensors", "../x.safetensors", "", 7, None],
    ),
    "model__hub": ([""], ["nobody/nothing", "no address", "a/b/c.pth", "hub:x/y@z", 5, "\x00", "模型/文件"]),
    "model__precision": (["auto", "float32", "bfloat16", "float16"], ["int4", None]),
    "plain__width": ([2, 31, 300, 1500], [1, 0, 1e9]),
    "plain__height": ([7, 64, 700], [1, -4, "tall"]),
    "plain__batch_size": ([1, 2, 3, 9], [0]),
    "plain__color": ([0, 0xFFFFFF], [-1]),
    "shape__width": ([1, 33, 800], [0]),
    "shape__height": ([1, 200], [None]),
    "shape__batch_size": ([1, 2, 4, 7], [0]),
    "shape__color": ([0x010101, 0xFFFFFF], [0]),
    "harmonize__image": (
        [["plain", 0], ["cut_out", 0]],
        [["example", 1], ["model", 0], ["nowhere", 0], ["example", 9], "text", None],
    ),
    "harmonize__mask": ([["stencil", 0], ["example", 1]], [["example", 0], ["harmonize", 1], [], None]),
    "harmonize__model": ([["model", 0]], [["example", 0], None]),
    "harmonize__background": ([["plain", 0], ["cut_out", 0]], [["example", 0], ["example", 1], ["harmonize", 0]]),
    "harmonize__reference_mask": ([["stencil", 0], ["example", 1]], [["model", 0]]),
    "harmonize__strength": ([0.0, 0.3, 1.0], [-1, 2, float("1e30"), "much", None, [1, 2, 3]]),
    "harmonize__resolution": (["256", "512", "1024", "native"], ["300", 256, "", None]),
    "harmonize__invert_mask": ([True, False], ["perhaps", None]),
    "harmonize__feather": ([0, 12, 256], [-3, 10**9, 1.5, "x"]),
    "harmonize__batch_mode": (["per_frame", "smooth", "uniform"], ["none", 1]),
    "compare__before": ([["plain", 0], ["cut_out", 0]], [["stencil", 0], None]),
    "compare__after": ([["plain", 0], ["harmonize", 0]], ["text"]),
    "compare__layout": (["side by side", "wipe"], ["above", None]),
    "compare__position": ([0, 1, 0.37], [2]),
    "show__images": ([["compare", 0], ["harmonize", 0]], [["harmonize", 1], ["harmonize", 5], ["show", 0]]),
}


def random_prompt(generator):
    """Every second one is made of right values only; the others may lack an input, too."""
    right = generator.random() < 0.5
    chosen = generator.sample(sorted(VALUES), generator.choice([1, 4, 12] if right else [1, 1, 2, 3, 5]))
    prompt = graph(**{name: generator.choice(VALUES[name][0] + VALUES[name][1] * (not right)) for name in chosen})
    if not right and generator.random() < 0.25:
        node = generator.choice(["example", "model", "harmonize", "compare", "show"])
        prompt[node]["inputs"].pop(generator.choice(sorted(prompt[node]["inputs"])))
    return prompt


def test_prompts_of_all_kinds_get_a_result_or_a_clear_error(server):
    generator = random.Random(0)
    counts = {"result": 0, "refused": 0, "node error": 0}
    unclear = []
    started = time.monotonic()
    for number in range(PROMPTS):
        prompt = random_prompt(generator)
        prompt["show"]["inputs"]["salt"] = number  # ignored, but keeps the prompts apart
        try:
            result = server.wait(server.queue(prompt), 120)
        except Refused as refused:
            counts["refused"] += 1
            if not (refused.answer.get("node_errors") or refused.answer.get("error")):
                unclear.append((number, refused.answer))
            continue
        counts["node error" if result["error"] else "result"] += 1
        raised = result["messages"].get("execution_error")
        if raised and raised["node_type"].startswith("HDNet") and raised["exception_type"] not in CLEAR:
            unclear.append((number, result["error"], raised["exception_type"]))
    print(counts, f"{time.monotonic() - started:.0f} s")
    assert not unclear, unclear[:5]
    assert server.process.poll() is None
    assert min(counts.values()) > 0
    assert server.run(graph(harmonize__strength=0.123))["error"] is None


CLEAR = ("ValueError", "harmonize_composite.weights.errors.WeightsError")  # written for people

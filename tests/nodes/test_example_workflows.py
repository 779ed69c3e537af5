"""The example workflows as they lie on the canvas."""

import json
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))

# As Nodes 2.0 draws them, title included; the classic renderer keeps to the sizes of the files.
WIDTH = 430
HEIGHTS = {
    "HDNetExample": 185,
    "HDNetHarmonizeComposite": 725,
    "HDNetTransferLight": 431,
    "HDNetHarmonizeVideo": 431,
    "HDNetCompare": 223,
    "HDNetForegroundLayer": 167,
    "HDNetSaveLut": 213,
    "HDNetLoadModel": 223,
    "ImageCompositeMasked": 289,
    "ColorTransfer": 300,
    "CreateVideo": 185,
    "SaveVideo": 195,
    "SaveImage": 557,
    "PreviewImage": 511,
    "MarkdownNote": 245,
}
TITLE = 32


def rectangle(node):
    (left, top), (width, height) = node["pos"], node["size"]
    height = max(height + TITLE, HEIGHTS[node["type"]])
    return left, top - TITLE, left + max(width, WIDTH), top - TITLE + height


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nodes_do_not_overlap(path):
    for one, other in combinations(json.loads(path.read_text("utf-8"))["nodes"], 2):
        a, b = rectangle(one), rectangle(other)
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one["type"], other["type"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_links_agree_with_the_nodes(path):
    workflow = json.loads(path.read_text("utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, source, output, target, place, kind in workflow["links"]:
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
        assert nodes[source]["outputs"][output]["type"] == nodes[target]["inputs"][place]["type"] == kind

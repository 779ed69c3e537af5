"""Which models the nodes list and load."""

import shutil
from pathlib import Path

import pytest
import torch

from node_inputs import picture, square

ROOT = Path(__file__).parents[2]


def test_models_come_from_the_users_folders_and_from_the_pack(pack, tmp_path):
    loader, paths = pack["HDNetLoadModel"], pack["folder_paths"]
    folders = paths.folder_names_and_paths["hdnet"][0]
    folders.insert(0, str(tmp_path))
    try:
        shutil.copy(ROOT / "weights" / "hdnet_lite.safetensors", tmp_path / "mine.safetensors")
        (tmp_path / "README.md").write_text("no weights")
        options = next(each for each in loader.define_schema().inputs if each.id == "model_name").options
        assert options["options"] == ["mine.safetensors", "hdnet-lite-semantic", "hdnet-lite"]
        assert options["default"] == "hdnet-lite-semantic"
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
        pack["HDNetLoadModel"].execute("hdnet-lite-semantic", hub=hub)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)],
)
def test_the_precision_is_that_of_the_network(pack, harmonize, precision, dtype):
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite-semantic", precision=precision)
    assert {each.dtype for each in model.model.parameters()} == {dtype}
    image, mask = picture(), square()
    expected, _ = harmonize(image, mask)
    torch.testing.assert_close(harmonize(image, mask, model=model)[0], expected, rtol=0, atol=0.03)


def test_an_unknown_precision_is_refused(pack):
    with pytest.raises(ValueError, match="precision"):
        pack["HDNetLoadModel"].execute("hdnet-lite-semantic", precision="int8")


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

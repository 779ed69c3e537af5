"""Weights: named, read strictly, written whole, and exchanged with the published code."""

import errno
import json
import os
import pickle
import re
from dataclasses import replace

import pytest
import torch
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harmonize_composite.cli import main
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.weights import WeightsError, catalogue, load_network, read_metadata, save_network
from harmonize_composite.weights.authors import read_published, write_published

SHIPPED = catalogue.CATALOGUE["hdnet-lite"].path

# The layer table of the paper's code beside ours.
PUBLISHED = {
    "encoder.0.weight": "model_layer0.weight",
    "encoder.1.weight": "model_layer1.1.weight",
    "encoder.2.weight": "model_layer2.1.weight",
    "encoder.3.weight": "model_layer3.1.weight",
    "encoder.4.weight": "model_layer4.1.weight",
    "encoder.5.weight": "model_layer5.1.weight",
    "encoder.6.weight": "model_layer6.1.weight",
    "encoder.7.weight": "model_layer71.1.weight",
    "local_dynamics.linear.weight": "LD.linear.weight",
    "local_dynamics.linear.bias": "LD.linear.bias",
    "head.weight": "model_out.1.weight",
    "head.bias": "model_out.1.bias",
}
for ours, theirs in enumerate((72, 8, 9, 10, 11, 12, 13)):
    PUBLISHED[f"decoder.{ours}.conv.weight"] = f"model_layer{theirs}.1.weight"
    for kind in ("foreground_gamma", "foreground_beta", "background_gamma", "background_beta"):
        PUBLISHED[f"decoder.{ours}.norm.{kind}"] = f"model_layer{theirs}norm.{kind}"
for ours, theirs in enumerate((11, 12, 13)):
    for kind in ("weight", "bias"):
        PUBLISHED[f"global_dynamics.{ours}.squeeze.{kind}"] = f"model_layer{theirs}att.conv_kernel.1.{kind}"
        PUBLISHED[f"global_dynamics.{ours}.expand.{kind}"] = f"model_layer{theirs}att.conv_kernel.3.{kind}"


def small(**changes):
    torch.manual_seed(0)
    network = HDNet(replace(HDNetConfig(base_channels=2), **changes))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def refused(source, *words):
    """Loading fails with one sentence that names the source and holds these words."""
    with pytest.raises(WeightsError) as caught:
        load_network(source)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    for word in words:
        assert word in message
    return message


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_network(small(), path)
    return path


# --- reading and writing


def test_the_shipped_weights_load_for_inference_by_name():
    network = load_network("hdnet-lite")
    assert network.config == HDNetConfig.preset("hdnet-lite")
    assert not network.training and not any(p.requires_grad or p.is_meta for p in network.parameters())
    stored = load_file(SHIPPED)
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(value, stored[key].float()) for key, value in network.state_dict().items())


def test_the_shipped_weights_say_what_they_are():
    metadata = read_metadata(SHIPPED)
    assert set(metadata) >= {"title", "licence", "training_data", "training", "figures", "limits", "source"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"in_channels": 3},
        {"neighbours": 3},
        {"local_dynamics": None},
        {"local_dynamics": "published"},
        {"global_dynamics": None},
        {"global_dynamics": "learned"},
        {"local_dynamics": None, "global_dynamics": None},
    ],
    ids=str,
)
def test_every_variant_comes_back_as_it_was_saved(tmp_path, changes):
    network = small(**changes)
    save_network(network, tmp_path / "new" / "a.safetensors", {"title": "Großmutters Gewichte"})
    again = load_network(tmp_path / "new" / "a.safetensors")
    assert again.config == network.config
    assert same(again, network)
    assert read_metadata(tmp_path / "new" / "a.safetensors")["title"] == "Großmutters Gewichte"


def test_half_precision_files_load_as_the_nearest_float32(tmp_path):
    save_network(small(), tmp_path / "half.safetensors", dtype="float16")
    network = load_network(tmp_path / "half.safetensors")
    for key, value in small().state_dict().items():
        assert torch.equal(network.state_dict()[key], value.half().float())


def test_a_loaded_network_computes_what_the_saved_one_did(file):
    picture, mask = torch.rand(1, 3, 24, 32) * 2 - 1, (torch.rand(1, 1, 24, 32) > 0.5).float()
    with torch.no_grad():
        assert torch.equal(load_network(file)(picture, mask), small().eval()(picture, mask))


# --- what is refused


def test_an_unknown_name_lists_the_known_and_the_nearest():
    assert "did you mean 'hdnet-lite'?" in refused("hdnet-light", "'hdnet-light'")
    assert "did you mean" not in refused("qqq", "hdnet-lite", "hub:owner/repo")


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "no.safetensors", str(tmp_path / "no.safetensors"), "no such file")


def test_a_shipped_file_that_was_changed_is_not_used(tmp_path, monkeypatch):
    data = bytearray(SHIPPED.read_bytes())
    data[-1] ^= 1
    (tmp_path / SHIPPED.name).write_bytes(data)
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    refused("hdnet-lite", "not the 'hdnet-lite' that was shipped", "reinstall")
    (tmp_path / SHIPPED.name).unlink()
    refused("hdnet-lite", "missing", "reinstall")


@given(where=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30, deadline=None)
def test_a_file_cut_short_anywhere_is_refused(tmp_path_factory, where):
    path = tmp_path_factory.mktemp("cut") / "cut.safetensors"
    data = SHIPPED.read_bytes()
    path.write_bytes(data[: int(where * len(data))])
    refused(path, str(path))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_other_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "any.safetensors"
    path.write_bytes(data)
    refused(path, str(path))


def test_a_file_cut_short_is_told_from_a_foreign_one(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(SHIPPED.read_bytes()[:100_000])
    refused(path, "cut short", "download it again")
    path.write_text("<html>404</html>")
    refused(path, "not a safetensors file")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_under_another_name_is_not_opened(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    refused(path, "pickled checkpoint", "harmonize weights convert")
    torch.save({"a": Bomb(tmp_path / "exploded")}, path)
    refused(path, "pickled checkpoint", "harmonize weights convert")
    os.rename(path, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "harmonize weights convert")
    with pytest.raises(WeightsError, match="holds other objects"):
        read_published(tmp_path / "a.pth")
    assert not (tmp_path / "exploded").exists()


def altered(path, change):
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("head.bias"), ["missing: head.bias."]),
        (lambda t, m: t.update(extra=torch.ones(1)), ["left over: extra."]),
        (
            lambda t, m: [t.pop(key) for key in list(t) if key.startswith("decoder")],
            ["missing: decoder.0.conv.weight, ", " more."],
        ),
        (lambda t, m: t.update({"head.bias": torch.ones(4)}), ["head.bias", "[4]", "[3]"]),
        (lambda t, m: t.update({"head.bias": torch.tensor([0, torch.nan, 0])}), ["head.bias", "finite"]),
        (lambda t, m: t.update({"head.bias": torch.tensor([0, torch.inf, 0]).half()}), ["head.bias", "finite"]),
        (lambda t, m: t.update({"head.bias": torch.ones(3, dtype=torch.int32)}), ["head.bias", "floating-point"]),
        (lambda t, m: t.update({"encoder.0.weight": torch.ones(2, 5, 3, 3)}), ["in_channels must be 3 or 4, not 5"]),
        (lambda t, m: t.update({"encoder.0.weight": torch.ones(2)}), ["no HDNet in this file"]),
        (lambda t, m: t.clear(), ["no HDNet in this file"]),
        (lambda t, m: m.update(neighbours="10"), ["neighbours must be 1 to 9, not 10"]),
        (lambda t, m: m.update(neighbours="many"), ["'many'", "neighbours"]),
        (lambda t, m: m.update(second_look="2.5"), ["a scale in 1..2, not '2.5'"]),
        (lambda t, m: m.update(second_look="yes"), ["a scale in 1..2, not 'yes'"]),
        (lambda t, m: m.update(local_dynamics="none"), ["local_dynamics must be one of"]),
    ],
)
def test_a_file_that_is_not_exactly_an_hdnet_is_refused(file, change, words):
    altered(file, change)
    refused(file, str(file), *words)


# --- files are written whole or not at all


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_while_writing_leaves_what_was_there(tmp_path, monkeypatch, existing):
    path = tmp_path / "a.safetensors"
    if existing:
        path.write_bytes(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        save_network(small(), path)
    assert caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == (["a.safetensors"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_a_hub_folder_holds_weights_configuration_and_card(tmp_path):
    assert main(["weights", "package", "hdnet-lite", str(tmp_path / "repo")]) == 0
    assert sorted(path.name for path in (tmp_path / "repo").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert (tmp_path / "repo" / "model.safetensors").read_bytes() == SHIPPED.read_bytes()
    config = json.loads((tmp_path / "repo" / "config.json").read_text())
    assert HDNetConfig(**config) == HDNetConfig.preset("hdnet-lite")
    card = ModelCard.load(tmp_path / "repo" / "README.md")
    assert card.data.license == "mit" and card.data.pipeline_tag == "image-to-image"
    assert all(read_metadata(SHIPPED)[key] in card.text for key in ("title", "training_data", "figures", "limits"))


def test_a_hub_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", broken)
    assert main(["weights", "package", "hdnet-lite", str(tmp_path / "repo")]) == 1
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "note.txt").write_text("mine")
    assert main(["weights", "package", "hdnet-lite", str(tmp_path / "repo")]) == 2
    assert [path.name for path in (tmp_path / "repo").iterdir()] == ["note.txt"]
    assert "something here already" in capsys.readouterr().err


# --- the published code


def published_state(network, prefix=""):
    """The network's parameters as that code would save them."""
    state = {f"{prefix}{PUBLISHED[key]}": value for key, value in network.state_dict().items()}
    state[f"{prefix}LD.linear.weight"] = state[f"{prefix}LD.linear.weight"][..., None]
    return state


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "netG": state}], ids=["bare", "netG"])
def test_a_checkpoint_of_the_published_code_is_converted_and_exported_exactly(tmp_path, prefix, wrap, capsys):
    network = small(local_dynamics="published")
    torch.save(wrap(published_state(network, prefix)), tmp_path / "theirs.pth")
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    assert main(["weights", "convert", str(tmp_path / "theirs.pth"), str(ours), "--note", "from a friend"]) == 0
    assert load_network(ours).config == network.config
    assert same(load_network(ours), network)
    assert read_metadata(ours)["source"] == "from a friend"

    assert main(["weights", "export", str(ours), str(back)]) == 0
    exported, expected = torch.load(back, weights_only=True), published_state(network)
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[key], expected[key]) for key in expected)


def test_a_checkpoint_with_a_learned_guide_keeps_it(tmp_path):
    network = small(local_dynamics="published", global_dynamics="learned")
    write_published(network, tmp_path / "learned.pth")
    state = torch.load(tmp_path / "learned.pth", weights_only=True)
    assert {f"model_layer{n}att.conv_guide.{kind}" for n in (11, 12, 13) for kind in ("weight", "bias")} <= set(state)
    assert same(read_published(tmp_path / "learned.pth", learned_mask=True), network)
    # that code makes the guides in any case
    assert read_published(tmp_path / "learned.pth").config.global_dynamics == "mask"


def test_safetensors_with_published_names_load_directly(tmp_path):
    network = small(local_dynamics="published")
    save_file({key: value.contiguous() for key, value in published_state(network).items()}, tmp_path / "a.safetensors")
    assert load_network(tmp_path / "a.safetensors").config.local_dynamics == "published"
    assert same(load_network(tmp_path / "a.safetensors"), network)


def test_a_checkpoint_without_permission_is_not_called_damaged(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "a.pth")

    (tmp_path / "a.pth").write_bytes(b"")
    monkeypatch.setattr(torch, "load", refuse)
    assert main(["weights", "convert", str(tmp_path / "a.pth"), str(tmp_path / "a.safetensors")]) == 2
    assert capsys.readouterr().err == "harmonize: a.pth: Permission denied.\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"conv1.weight": torch.ones(1)}, "no network of the published HDNet code"),
        ({0: torch.ones(1)}, "no network of the published HDNet code"),
        ([torch.ones(1)], "no network of the published HDNet code"),
        ({"model_layer0.weight": torch.ones(2, 4, 3, 3)}, "missing: "),
        ({"model_layer0.weight": torch.ones(2, 4, 3, 3), "step": torch.ones(1)}, "left over: step."),
    ],
)
def test_other_checkpoints_are_not_converted(tmp_path, capsys, content, words):
    torch.save(content, tmp_path / "a.pth")
    assert main(["weights", "convert", str(tmp_path / "a.pth"), str(tmp_path / "a.safetensors")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@given(where=st.floats(0, 1, exclude_max=True), zipped=st.booleans(), junk=st.binary(max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_damaged_checkpoint_is_refused(tmp_path_factory, where, zipped, junk):
    path = tmp_path_factory.mktemp("damaged") / "a.pth"
    torch.save({"model_layer0.weight": torch.ones(2, 4, 3, 3)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(where * len(data))] + junk)
    with pytest.raises(WeightsError):
        read_published(path)


# --- the command


def test_the_list_names_what_is_shipped(capsys):
    assert main(["weights", "list"]) == 0
    assert re.search(r"^hdnet-lite  \([\d.]+ MB, MIT, ", capsys.readouterr().out)


def test_inspect_shows_network_figures_licence_and_digest(capsys):
    assert main(["weights", "inspect", "hdnet-lite"]) == 0
    shown = capsys.readouterr().out
    for part in ("652,735 parameters", "base channels   8", "MIT", read_metadata(SHIPPED)["figures"]):
        assert part in shown
    assert catalogue.CATALOGUE["hdnet-lite"].sha256 in shown
    assert catalogue.CATALOGUE["hdnet-lite"].size == SHIPPED.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "{0}/no.safetensors"], "no such file"),
        (["inspect", "hdnet"], "did you mean 'hdnet-lite'?"),
        (["convert", "{0}/no.pth", "{0}/a.safetensors"], "no such file"),
        (["convert", "{0}/text.pth", "{0}/a.safetensors"], "damaged"),
        (["convert", "{0}/text.pth", "{0}/a.pth"], ".safetensors"),
        (["export", "hdnet-lite", "{0}/text.pth/a.pth"], "text.pth"),
        (["export", "hdnet-lite", "{0}/a.safetensors"], ".pth"),
        (["package", "hdnet-lite", "{0}/text.pth/a"], "text.pth"),
        (["fetch", "owner/repo"], "no such file"),
        (["fetch", "hub:owner/repo", "--folder", "{0}/text.pth/a"], "text.pth"),
        (["fetch", "hub:owner"], "hub:owner/repo[/file][@revision]"),
    ],
)
def test_what_the_command_cannot_do_costs_one_sentence_and_leaves_nothing(tmp_path, capsys, arguments, words):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    assert main(["weights", *(each.format(tmp_path) for each in arguments)]) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and shown.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"]

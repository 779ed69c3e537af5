"""Small inputs after public reports of people who do this work, each made here anew."""

import csv
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from harmonize_composite.cli import main
from harmonize_composite.files.colour import convert
from harmonize_composite.files.pictures import (
    MAX_PIXELS,
    PictureError,
    read_mask,
    read_picture,
    save_picture,
)
from harmonize_composite.files.text import read_table, read_text
from harmonize_composite.training.data.iharmony4 import find_pairs
from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.weights import WeightsError, load_network, save_network
from harmonize_composite.weights.authors import read_published

SIZE = (48, 64)


def a_mask():
    mask = np.zeros(SIZE, np.uint8)
    mask[12:36, 16:48] = 255
    return mask


def a_picture(seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(SIZE[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_picture().save("composite.png")
    Image.fromarray(a_mask()).save("mask.png")
    return tmp_path


def run(*arguments):
    return main([str(each) for each in arguments])


def expected_mask():
    return torch.from_numpy(a_mask().astype(np.float32) / 255)[None]


# Masks as labelling tools write them


@pytest.mark.parametrize("highest", [1, 255, 65535])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_masks_of_16_bits(tmp_path, highest, kind):
    Image.fromarray((a_mask() > 0).astype(np.uint16) * highest).save(tmp_path / f"m.{kind}")
    assert torch.equal(read_mask(tmp_path / f"m.{kind}"), expected_mask())


def test_a_soft_mask_of_16_bits_stays_as_it_is(tmp_path):
    soft = np.linspace(0, 65535, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    Image.fromarray(soft).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png")[0].numpy() == pytest.approx(soft / 65535, abs=1e-6)


def test_masks_of_32_bit_integers_and_of_floating_point(tmp_path):
    for values in ((a_mask() > 0).astype(np.int32), (a_mask() / 255).astype(np.float32)):
        Image.fromarray(values).save(tmp_path / "m.tif")
        assert torch.equal(read_mask(tmp_path / "m.tif"), expected_mask())


def test_palette_masks_number_classes(tmp_path):
    classes = np.where(a_mask() > 0, np.uint8(15), np.uint8(0))
    classes[12] = 255  # VOC's border, which is undecided
    mask = Image.fromarray(classes, "P")
    mask.putpalette([0, 0, 0] + [128, 0, 0] * 254 + [224, 224, 192])
    mask.save(tmp_path / "m.png")
    expected = expected_mask()
    expected[:, 12] = 0
    assert torch.equal(read_mask(tmp_path / "m.png"), expected)


def test_grey_masks_of_a_few_small_numbers_are_classes(tmp_path, caplog):
    Image.fromarray(np.where(a_mask() > 0, np.uint8(3), np.uint8(0))).save(tmp_path / "m.png")
    assert torch.equal(read_mask(tmp_path / "m.png"), expected_mask())
    assert "classes" in caplog.text


def test_training_reads_masks_as_the_command_does(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    a_picture().save(tmp_path / "images" / "a.JPG")
    Image.fromarray((a_mask() > 0).astype(np.uint16)).save(tmp_path / "masks" / "a.PNG")
    source = Photographs(tmp_path, "train")
    assert (np.asarray(source.read(0, np.random.default_rng(0))[1]) == a_mask()).all()


# Pictures stay what they are


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bits_stay_16_bits_and_exact_outside(folder, channels, kind):
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(0).integers(0, 65536, (*SIZE, channels)).astype(np.uint16)
    values = values[..., 0] if channels == 1 else values
    cv2.imwrite(f"deep.{kind}", values)
    assert run("image", f"deep.{kind}", "mask.png", "-o", f"out.{kind}", "--foreground", "pasted") == 0
    result = cv2.imread(f"out.{kind}", cv2.IMREAD_UNCHANGED)
    assert result.dtype == np.uint16 and result.shape == values.shape
    assert (result == values)[a_mask() == 0].all() and (result != values).any()


def a_grey_profile():
    curve = struct.pack(">4sII", b"curv", 0, 1) + struct.pack(">H", 0x0233) + b"\0\0"
    white = struct.pack(">4sI", b"XYZ ", 0) + struct.pack(">iii", 63190, 65536, 54061)
    text = struct.pack(">4sII", b"text", 0, 0)[:8] + b"x\0\0\0"
    tags = [(b"wtpt", white), (b"kTRC", curve), (b"cprt", text), (b"desc", text)]
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    header = bytearray(128)
    header[8:12], header[12:16], header[16:20], header[20:24] = b"\x02\x10\0\0", b"mntr", b"GRAY", b"XYZ "
    header[36:40] = b"acsp"
    profile = bytes(header) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


@pytest.mark.parametrize("alpha", [False, True])
def test_grey_stays_grey_with_its_profile_and_its_alpha(folder, alpha):
    grey = a_picture().convert("L")
    if alpha:
        grey = Image.merge("LA", [grey, Image.fromarray(np.full(SIZE, 200, np.uint8))])
    grey.save("grey.png", icc_profile=a_grey_profile())
    assert run("image", "grey.png", "mask.png", "-o", "out.png", "--foreground", "pasted") == 0
    result = Image.open("out.png")
    assert result.mode == ("LA" if alpha else "L") and result.info["icc_profile"] == a_grey_profile()
    before, after = np.asarray(grey), np.asarray(result)
    assert (before == after)[a_mask() == 0].all()
    assert not alpha or (after[..., 1] == 200).all()


def test_chunks_that_say_what_the_values_mean_are_kept(folder):
    png = (folder / "composite.png").read_bytes()
    data = bytes([9, 16, 0, 1])  # BT.2020, PQ
    chunk = struct.pack(">I", 4) + b"cICP" + data + struct.pack(">I", zlib.crc32(b"cICP" + data))
    gamma = struct.pack(">I", 4) + b"gAMA" + struct.pack(">I", 45455)
    gamma += struct.pack(">I", zlib.crc32(gamma[4:]))
    (folder / "hdr.png").write_bytes(png[:33] + gamma + chunk + png[33:])
    assert run("image", "hdr.png", "mask.png", "-o", "out.png") == 0
    result = (folder / "out.png").read_bytes()
    assert chunk in result and gamma in result and result.count(b"cICP") == 1
    Image.open("out.png").load()


def test_an_animation_says_that_its_first_frame_is_taken(folder, capsys):
    a_picture(0).save("film.webp", save_all=True, append_images=[a_picture(1)], lossless=True)
    assert run("image", "film.webp", "mask.png", "-o", "out.png") == 0
    assert "2 frames" in capsys.readouterr().err


def test_a_file_given_is_not_overwritten(folder, capsys):
    before = (folder / "composite.png").read_bytes()
    for target in ("composite.png", "mask.png"):
        assert run("image", "composite.png", "mask.png", "-o", target) == 2
    assert (folder / "composite.png").read_bytes() == before
    assert "--overwrite" in capsys.readouterr().err
    assert run("image", "composite.png", "mask.png", "-o", "composite.png", "--overwrite") == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_who_may_read_the_old_file_may_read_the_new_one(folder):
    (folder / "out.png").write_bytes(b"old")
    os.chmod("out.png", 0o600)
    assert run("image", "composite.png", "mask.png", "-o", "out.png") == 0
    assert stat.S_IMODE(os.stat("out.png").st_mode) == 0o600


def test_long_names_are_names(folder):
    name = "n" * 250 + ".png"
    assert run("image", "composite.png", "mask.png", "-o", name) == 0
    assert (folder / name).is_file() and len(list(folder.iterdir())) == 3


def test_a_background_in_another_profile_keeps_its_colours(folder):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    original = a_picture(1)
    original.save("original.png", icc_profile=srgb)
    info = read_picture("original.png")[1]
    assert info.icc_profile
    assert run("image", "composite.png", "mask.png", "--background", "original.png", "-o", "out.png") == 0
    result = Image.open("out.png")
    assert result.info["icc_profile"] == srgb
    assert (np.asarray(result) == np.asarray(original))[a_mask() == 0].all()
    # sRGB to a written-out sRGB: the same colours but for rounding
    picture, own = read_picture("composite.png")
    assert (convert(picture, own.icc_profile, info.icc_profile) - picture).abs().max() < 3 / 255


def test_a_tiff_in_floating_point_is_told_as_such(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + b"\x08\0\0\0" + b"\0\0\0\0\0\0")
    with pytest.raises(PictureError, match="TIFF.*8 or 16 bits"):
        read_picture(path)


# Bombs


def test_declared_sizes_are_looked_at_first(tmp_path):
    side = int(MAX_PIXELS**0.5) + 100
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(PictureError, match="128 megapixels"):
        read_picture(tmp_path / "bomb.png")


def test_a_compressed_checkpoint_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            with archive.open(f"archive/data/{number}", "w") as file:
                for _ in range(8):
                    file.write(bytes(100_000_000))
    with pytest.raises(WeightsError, match="2.4 GB"):
        read_published(tmp_path / "bomb.pth")


def test_metadata_do_not_reach_the_terminal_or_the_card_as_commands(tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    evil = {"title": "\x1b[2Jgone", "licence": "mit\ntags: [evil]"}
    save_network(load_network(), path, evil)
    assert run("weights", "inspect", path) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert run("weights", "package", path, tmp_path / "card") == 0
    header = (tmp_path / "card" / "README.md").read_text().split("---")[1]
    assert "evil" not in header and "license: other" in header


def test_the_same_weights_make_the_same_file(tmp_path):
    about = {name: name for name in ("title", "licence", "figures", "limits", "training")}
    files = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for file in files:
        save_network(load_network(), file, about)
    assert len({file.read_bytes() for file in files}) == 1
    assert load_network(files[0]).config == load_network().config


# Lists, names and folders


def pairs_in_iharmony4s_layout(root):
    for number in range(3):
        for name in ("composite_images", "masks", "real_images"):
            (root / "Sub" / name).mkdir(parents=True, exist_ok=True)
        a_picture(number).save(root / "Sub" / "composite_images" / f"p{number}_1_1.jpg")
        Image.fromarray(a_mask()).save(root / "Sub" / "masks" / f"p{number}_1.png")
        a_picture(number + 9).save(root / "Sub" / "real_images" / f"p{number}.jpg")


def test_side_files_of_macos_are_passed_over(tmp_path):
    pairs_in_iharmony4s_layout(tmp_path)
    for path in list(tmp_path.rglob("*.*g")):
        path.with_name("._" + path.name).write_bytes(b"\0\5\x16\7")
    assert len(find_pairs(tmp_path, "test")) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lists_of_any_program(tmp_path, encoding, ending):
    pairs_in_iharmony4s_layout(tmp_path)
    lines = ["Sub\\composite_images\\p0_1_1.jpg", "", "Sub/composite_images/p2_1_1.jpg ", ""]
    (tmp_path / "IHD_test.txt").write_bytes(ending.join(lines).encode(encoding))
    assert [pair.composite.stem for pair in find_pairs(tmp_path, "test")] == ["p0_1_1", "p2_1_1"]


def test_a_list_in_another_encoding_is_named(tmp_path):
    (tmp_path / "IHD_test.txt").write_bytes("Straße.jpg".encode("latin-1"))
    with pytest.raises(ValueError, match="IHD_test.txt.*UTF-8"):
        read_text(tmp_path / "IHD_test.txt")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_of_any_program(tmp_path, separator, encoding):
    with open(tmp_path / "manifest.csv", "w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows([["ID", " split"], ["a", "train"], ["b", " val "]])
    rows = read_table(tmp_path / "manifest.csv", {"id", "split"})
    assert rows == [{"id": "a", "split": "train"}, {"id": "b", "split": "val"}]


@pytest.mark.parametrize("name", ["shot_mask.png", "shot-mask.PNG", "mask_shot.png", "shot_matte.tif"])
def test_picture_and_mask_in_one_folder(folder, name):
    (folder / "all").mkdir()
    shutil.copy("composite.png", folder / "all" / "shot.png")
    Image.fromarray(a_mask()).save(folder / "all" / name)
    assert run("folder", "all", "all", "-o", "out") == 0
    assert [path.name for path in (folder / "out").iterdir()] == ["shot.png"]
    assert run("image", "composite.png", "mask.png", "-o", "alone.png") == 0
    assert (np.asarray(Image.open("out/shot.png")) == np.asarray(Image.open("alone.png"))).all()


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii"])
def test_a_console_of_any_code_page(folder, encoding):
    (folder / "pictures").mkdir()
    (folder / "masks").mkdir()
    shutil.copy("composite.png", folder / "pictures" / "a.png")
    shutil.copy("mask.png", folder / "masks" / "a.png")
    command = [sys.executable, "-m", "harmonize_composite.cli", "folder", "pictures", "masks", "-o", "出力×"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and b"1 of 1" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(folder):
    command = f"'{sys.executable}' -m harmonize_composite.cli train --help | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True)
    assert done.returncode == 0 and not done.stderr


def test_a_round_trip_of_values_is_exact(tmp_path):
    cv2 = pytest.importorskip("cv2")
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    cv2.imwrite(str(tmp_path / "a.png"), np.stack([values, values.T, values[::-1]], -1))
    picture, info = read_picture(tmp_path / "a.png")
    save_picture(picture, tmp_path / "b.png", info)
    assert (cv2.imread(str(tmp_path / "a.png"), -1) == cv2.imread(str(tmp_path / "b.png"), -1)).all()

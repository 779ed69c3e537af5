"""The page of `harmonize app` in a real browser, without a window.

Run with HARMONIZE_BROWSER_TESTS=1, see CONTRIBUTING.md: they take minutes, and their time is that of a browser.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from command_line import pixels, run

pytest.importorskip("gradio", reason="the extra app is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.skipif(not os.environ.get("HARMONIZE_BROWSER_TESTS"), reason="set HARMONIZE_BROWSER_TESTS=1"),
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium"),
    pytest.mark.skipif(sys.platform != "linux", reason="the page is driven on Linux"),
    pytest.mark.timeout(600),
]
START = "from harmonize_composite.cli import main; raise SystemExit(main(['app', '--precision', 'float32']))"
AT_ONCE = f"from harmonize_composite.cli import app_jobs; app_jobs.SWEEP, app_jobs.KEPT = 1, 2; {START}"
SECONDS = 60


class Server:
    """`harmonize app` in a process of its own, with a folder of its own for what is temporary."""

    def __init__(self, folder, code=START):
        self.folder = folder
        environment = os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "NO_PROXY": "*"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        line = self.process.stdout.readline()
        assert line.endswith("is ready; Ctrl-C ends it\n"), line
        self.url = line.split()[0]

    @property
    def files(self):
        """Those with anything in them; empty ones are Gradio's."""
        return [path for path in self.folder.rglob("*") if path.is_file() and path.stat().st_size]

    @property
    def most_memory(self):
        """Bytes at the highest."""
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def end(self, number=signal.SIGTERM):
        """What it said after it was ready."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=SECONDS)
        return said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("temporary")) as server:
        yield server
        said = server.end()
        assert server.process.returncode == 0
        assert "Traceback" not in said, said
        assert list(server.folder.iterdir()) == [], "nothing is left at the end"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    yield from opened(browser, server)


def opened(browser, server, width=1400):
    """The page, which may ask nobody but its server and may not fail in its own code."""
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.set_default_timeout(SECONDS * 1000)
    strangers, failures = [], []

    def route(route):
        ours = route.request.url.startswith((server.url, "data:", "blob:"))
        strangers.extend([] if ours else [route.request.url])
        route.continue_() if ours else route.abort()

    page.route("**/*", route)
    page.on("pageerror", lambda error: failures.append(error))
    page.goto(server.url)
    page.wait_for_selector("#harmonize")
    yield page
    page.close()
    assert strangers == [] and failures == []


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A picture of 240x160 pixels with its mask, a cut-out, and a file that is broken."""
    folder = tmp_path_factory.mktemp("files")
    rows, columns = np.mgrid[:160, :240]
    noise = np.random.default_rng(0).integers(0, 12, (160, 240, 3))
    Image.fromarray((np.stack((rows, columns, 220 - rows), -1) + noise).astype(np.uint8)).save(folder / "photo.png")
    inside = np.hypot(rows - 80, columns - 120) < 40
    Image.fromarray((inside * 255).astype(np.uint8)).save(folder / "mask.png")
    alpha = (np.hypot(rows - 80, columns - 120) < 30)[50:110, 90:150] * 255
    disc = np.stack((np.full_like(alpha, 220), alpha // 4, alpha // 8, alpha), -1)
    Image.fromarray(disc.astype(np.uint8)).save(folder / "disc.png")
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:5000])
    return folder


def give(page, field, path):
    page.set_input_files(f"#{field} input[type=file]", path)


def choose(page, label):
    page.get_by_label(label, exact=True).click()


def paint(page):
    """Paints over the middle of what is shown."""
    page.wait_for_selector("#editor canvas")
    page.wait_for_timeout(1500)  # the editor draws the picture and fits it in
    box = page.locator("#editor canvas").first.bounding_box()
    centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*centre)
    page.mouse.down()
    for step in range(5):
        page.mouse.move(centre[0] + (-20, 20)[step % 2], centre[1] - 20 + 10 * step)
    page.mouse.up()
    page.wait_for_timeout(800)  # strokes are handed over when the hand rests


def harmonized(page):
    page.click("#harmonize")
    page.wait_for_function("document.querySelector('#said').innerText.includes(':')")
    page.wait_for_selector("#downloads button:nth-of-type(3):not([disabled]), #downloads a:nth-of-type(3)")
    return page.inner_text("#said")


def download(page, label, folder):
    with page.expect_download() as waiting:
        page.locator("#downloads").get_by_text(label).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_upload_paint_result_download(page, files, tmp_path):
    give(page, "picture", files / "photo.png")
    paint(page)
    choose(page, "pasted")
    assert harmonized(page) == "Pasted: the colours were judged by the network"
    sides = page.locator("#result img")
    assert sides.count() == 2 and all(side.evaluate("each => each.naturalWidth") == 240 for side in sides.all())
    path = download(page, "Picture", tmp_path)
    assert path.name == "photo_harmonized.png"
    changed = (pixels(path) != pixels(files / "photo.png")).any(-1)
    layer = pixels(download(page, "Object alone", tmp_path))
    assert 0.02 < changed.mean() < 0.5 and changed[80, 120]
    assert not changed[layer[..., 3] == 0].any()
    rows, columns = (layer[..., 3] == 255).nonzero()
    assert abs(rows.mean() - 80) < 8 and abs(columns.mean() - 120) < 8
    assert download(page, "LUT", tmp_path).read_text().startswith('TITLE "photo"\nLUT_3D_SIZE 33\n')


def test_a_mask_file_and_options_give_the_bytes_of_the_command_line(page, files, tmp_path):
    give(page, "picture", files / "photo.png")
    page.wait_for_selector("#editor canvas")
    page.get_by_text("Use a mask file instead").click()
    give(page, "mask", files / "mask.png")
    page.get_by_text("mask.png").wait_for()
    choose(page, "pasted")
    page.locator("#strength input[type=number]").fill("1.5")
    page.get_by_text("More options").click()
    page.locator("#colour input[type=number]").fill("0.5")
    page.locator("#grow input[type=number]").fill("-4")
    choose(page, "hdnet-lite")
    choose(page, "native")
    page.wait_for_timeout(800)  # what is typed is handed over when the hand rests
    harmonized(page)
    options = "--foreground pasted --strength 1.5 --colour 0.5 --grow -4 --weights hdnet-lite --resolution native"
    given = (files / "photo.png", files / "mask.png", "-o", tmp_path / "out.png", "--lut", tmp_path / "out.cube")
    assert run("image", *given, "--precision", "float32", *options.split()) == 0
    # compared as a whole: to show where a table differs takes pytest for ever
    for label, name in (("Picture", "out.png"), ("LUT", "out.cube")):
        same = download(page, label, tmp_path).read_bytes() == (tmp_path / name).read_bytes()
        assert same, label


def test_a_cutout_goes_where_one_clicks(page, files, tmp_path):
    page.get_by_role("tab", name="Paste a cut-out").click()
    give(page, "cutout", files / "disc.png")
    page.locator("#cutout").get_by_text("disc").wait_for()
    give(page, "background", files / "photo.png")
    picture = page.locator("#placement img")
    picture.wait_for()
    box = picture.bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    page.wait_for_function("document.querySelector('#across input').value == 75")
    choose(page, "pasted")
    harmonized(page)
    layer = pixels(download(page, "Object alone", tmp_path))
    rows, columns = (layer[..., 3] > 0).nonzero()
    assert layer.shape == (160, 240, 4)
    assert abs((rows.min() + rows.max()) / 2 - 40) <= 1.5 and abs((columns.min() + columns.max()) / 2 - 180) <= 1.5
    result, background = pixels(download(page, "Picture", tmp_path)), pixels(files / "photo.png")
    assert (result[..., 3] == 255).all()
    assert np.array_equal(result[layer[..., 3] == 0, :3], background[layer[..., 3] == 0])
    assert result[40, 180, 0] > background[40, 180, 0] + 50  # the red disc is there


def test_a_broken_file_costs_one_sentence_and_the_page_goes_on(page, files):
    give(page, "picture", files / "broken.png")
    said = page.locator(".toast-body").first.inner_text()
    assert "broken.png: the picture is damaged" in said and "/" not in said
    page.locator(".toast-close").click()
    page.click("#harmonize")
    page.get_by_text("broken.png: the picture is damaged").wait_for()
    page.locator("#picture button[aria-label=Clear]").click()
    give(page, "picture", files / "photo.png")
    paint(page)
    assert ":" in harmonized(page)


@pytest.mark.parametrize("width", [400, 1400])
def test_what_is_missing_is_said_and_nothing_is_wider_than_the_window(browser, server, files, width):
    for page in opened(browser, server, width):
        page.click("#harmonize")
        page.get_by_text("Drop a picture first.").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        give(page, "picture", files / "photo.png")
        page.wait_for_selector("#editor canvas")
        page.wait_for_timeout(500)
        page.click("#harmonize")
        page.get_by_text("Paint over the object first, or drop a mask.").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_example_runs(page):
    page.click("#example")
    page.wait_for_selector("#editor canvas")
    page.locator("#mask").get_by_text("harmonize_demo_mask").wait_for()
    assert harmonized(page).startswith("Pasted")


def test_a_picture_of_40_megapixels(page, server, files, tmp_path):
    large = Image.open(files / "photo.png").resize((7740, 5160), Image.Resampling.BILINEAR)
    large.save(tmp_path / "large.jpg", quality=90)
    give(page, "picture", tmp_path / "large.jpg")
    page.wait_for_selector("#editor canvas")
    page.get_by_text("Use a mask file instead").click()
    give(page, "mask", files / "mask.png")  # drawn for the small picture
    page.locator("#mask").get_by_text("mask").nth(1).wait_for()
    choose(page, "pasted")
    page.set_default_timeout(300_000)
    harmonized(page)
    result, layer = (Image.open(download(page, label, tmp_path)) for label in ("Picture", "Object alone"))
    assert result.size == layer.size == (7740, 5160)
    alpha = np.asarray(layer.getchannel("A"))
    changed = (np.asarray(result) != pixels(tmp_path / "large.jpg")).any(-1)
    assert not changed[alpha == 0].any() and changed[alpha == 255].mean() > 0.5
    assert 0.02 < (alpha > 0).mean() < 0.5
    assert server.most_memory < 5e9


def test_only_this_machine_is_listened_to(server):
    port = int(server.url.rstrip("/").rpartition(":")[2])
    assert server.url.startswith("http://127.0.0.1:")
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(OSError):  # another address of the same machine
        socket.create_connection(("127.0.0.2", port), 5)


def test_what_is_old_is_removed_while_it_runs_and_all_of_it_on_ctrl_c(browser, files, tmp_path):
    with Server(tmp_path, AT_ONCE) as server:
        for page in opened(browser, server):
            give(page, "picture", files / "photo.png")
            page.wait_for_selector("#editor canvas")
            end = time.monotonic() + SECONDS
            while server.files and time.monotonic() < end:
                time.sleep(0.2)
            assert server.files == []
            page.reload()
            give(page, "picture", files / "photo.png")
            page.wait_for_selector("#editor canvas")
        assert "Traceback" not in server.end(signal.SIGINT)
        assert server.process.returncode == 0 and list(tmp_path.iterdir()) == []

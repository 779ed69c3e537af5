"""What the page of `harmonize app` shows, and what happens when something on it is used."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ..weights.catalogue import CATALOGUE
from . import image
from .app_jobs import KEPT, SWEEP, Desk, Given

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "pictures", "concurrency_limit": 1, "api_visibility": "private"}
BRUSH, OPACITY = "rgb(255, 60, 90)", 0.6
EXAMPLES = Path(__file__).parents[1] / "example_workflows"

ABOVE = ("foreground", "strength")  # options that are always in view; the rows of the others are folded
FOLDED = (
    ("lightness", "colour"),
    ("feather", "grow"),
    ("blend_feather", "blend_grow"),
    ("weights", "resolution"),
    ("lut_size",),
    ("invert_mask",),
)
SLIDERS = {  # lowest, highest, step; of pixels not all that is allowed, for a slider would be too coarse
    "strength": (0, 2, 0.05),
    "lightness": (0, 1, 0.05),
    "colour": (0, 1, 0.05),
    "feather": (0, 128, 1),
    "grow": (-64, 64, 1),
    "blend_feather": (0, 128, 1),
    "blend_grow": (-64, 64, 1),
}
CHOICES = {"weights": tuple(CATALOGUE), "resolution": ("256", "512", "1024", "native")}
IN_PIXELS = ("feather", "grow", "blend_feather", "blend_grow")
MEANINGS = {"weights": "the network that judges pasted objects"}  # where a command line's words are not a page's

HEADING = """
# Harmonize Composite
Makes a pasted or inpainted object match its background. Outside the mask every pixel stays as it is.
"""
CSS = """
.gradio-container { max-width: 1280px !important; margin: auto; }
.gradio-container, .gradio-container > main { width: 100%; min-width: 0; box-sizing: border-box; }
#heading h1 { margin: 0 0 .25rem; }
#heading p { color: var(--body-text-color-subdued); }
#result { position: sticky; top: 1rem; align-self: flex-start; }
@media (max-width: 768px) { #result { position: static; align-self: stretch; } }
@media (max-width: 640px) { #downloads { flex-direction: column; align-items: stretch; } }
"""


def theme() -> gr.Theme:
    """Colours and fonts; the fonts are the reader's own."""
    return gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )


def build(folder: Path, given: argparse.Namespace) -> gr.Blocks:
    """Makes the page.

    Args:
        folder: Where Gradio keeps its files.
        given: The options that the page begins with; device and precision stay what they say.
    """
    desk = Desk(folder)
    with gr.Blocks(title="Harmonize Composite", analytics_enabled=False, delete_cache=(SWEEP, KEPT)) as page:
        page.temp_file_sets.append(desk.made)  # so that old files go which no component shows
        gr.Markdown(HEADING, elem_id="heading")
        pasting = gr.State(False)
        with gr.Row():
            with gr.Column():
                with gr.Tab("Picture and mask") as mask_tab:
                    masked = _masked(desk)
                with gr.Tab("Paste a cut-out") as cutout_tab:
                    pasted = _pasted(desk)
                options = _options(given)
                button = gr.Button("Harmonize", variant="primary", size="lg", elem_id="harmonize")
            with gr.Column(elem_id="result"):
                result = _result()
        mask_tab.select(lambda: False, outputs=pasting, api_visibility="private")
        cutout_tab.select(lambda: True, outputs=pasting, api_visibility="private")

        def harmonize(values: dict[Any, Any]) -> Iterator[list[Any]]:
            chosen = {name: values[component] for name, component in options.items()}
            chosen |= {"device": given.device, "precision": given.precision}
            with _told(desk):
                prepared = (pasted if values[pasting] else masked).prepare(desk, values)
                for outcome in desk.harmonize(options=chosen, **prepared):
                    files = [gr.update(value=each and str(each), interactive=bool(each)) for each in outcome.files]
                    yield [tuple(map(str, outcome.shown)), outcome.said, *files]

        inputs: set[Any] = {pasting, *options.values(), *masked.inputs, *pasted.inputs}
        button.click(harmonize, inputs, result, show_progress_on=result[0], scroll_to_output=True, **ONE_AT_A_TIME)
    return page


@dataclass(frozen=True)
class _Masked:
    """A picture, and a mask that is painted or dropped."""

    picture: gr.File
    editor: gr.ImageEditor
    mask: gr.File
    known: gr.State

    @property
    def inputs(self) -> tuple[gr.components.Component, ...]:
        return self.picture, self.editor, self.mask, self.known

    def prepare(self, desk: Desk, values: dict[Any, Any]) -> dict[str, Any]:
        """What to harmonize: the mask is the file if there is one, else what was painted, else the picture's alpha."""
        picture = _received(desk, values[self.picture], values[self.known])
        if picture is None:
            raise ValueError("Drop a picture first.")
        mask = Path(values[self.mask]) if values[self.mask] else None
        layers = (values[self.editor] or {}).get("layers", [])
        mask = mask or desk.painted(layers, OPACITY) or (picture.path if picture.has_alpha else None)
        if mask is None:
            raise ValueError("Paint over the object first, or drop a mask.")
        return {"composite": picture.path, "mask": mask, "before": picture.preview}


def _masked(desk: Desk) -> _Masked:
    picture = gr.File(label="Picture", height=120, elem_id="picture")
    example = gr.Button("Try it with an example", size="sm", elem_id="example")
    editor = gr.ImageEditor(
        label="Paint over the object",
        type="numpy",
        sources=(),
        transforms=(),
        layers=False,
        height=460,
        brush=gr.Brush(colors=[(BRUSH, OPACITY)], color_mode="fixed"),
        format="png",
        visible=False,
        elem_id="editor",
    )
    with gr.Accordion("Use a mask file instead", open=False) as fold:
        mask = gr.File(label="Mask (white = the object)", height=120, elem_id="mask")
    known = gr.State(None)

    def show(path: str | None) -> tuple[Given | None, Any, Any]:
        with _told(desk):
            given = _received(desk, path, None)
        layers: Any = {"background": str(given.preview), "layers": [], "composite": None} if given else None
        return given, gr.update(value=layers, visible=given is not None), gr.update(visible=given is None)

    def show_example() -> tuple[str, str, Any]:
        names = ("harmonize_demo_composite.png", "harmonize_demo_mask.png")
        composite, mask = (str(shutil.copy(EXAMPLES / name, desk.new(name))) for name in names)
        return composite, mask, gr.update(open=True)

    picture.change(show, picture, [known, editor, example], show_progress="minimal", **ONE_AT_A_TIME)
    example.click(show_example, outputs=[picture, mask, fold], api_visibility="private")
    return _Masked(picture, editor, mask, known)


@dataclass(frozen=True)
class _Pasted:
    """A cut-out with alpha, and the background to place it on."""

    cutout: gr.File
    background: gr.File
    place: tuple[gr.Slider, gr.Slider, gr.Slider]
    known: gr.State

    @property
    def inputs(self) -> tuple[gr.components.Component, ...]:
        return self.cutout, self.background, *self.place, self.known

    def prepare(self, desk: Desk, values: dict[Any, Any]) -> dict[str, Any]:
        """What to harmonize: the cut-out at the background's size is its own mask."""
        known = values[self.known]
        cutout = _received(desk, values[self.cutout], known[0])
        background = _received(desk, values[self.background], known[1])
        if cutout is None or background is None:
            raise ValueError("Drop a cut-out and a background first.")
        place = [values[slider] / 100 for slider in self.place]
        placed = desk.placed(cutout.path, background, *place)
        before = desk.pasted_preview(cutout, background, *place)
        return {"composite": placed, "mask": placed, "before": before, "background": background.path}


def _pasted(desk: Desk) -> _Pasted:
    with gr.Row():
        cutout = gr.File(label="Cut-out (with transparency)", height=120, min_width=230, elem_id="cutout")
        background = gr.File(label="Background", height=120, min_width=230, elem_id="background")
    preview = gr.Image(
        label="Click where the object shall stand",
        type="filepath",
        interactive=False,
        visible=False,
        buttons=[],
        elem_id="placement",
    )
    with gr.Row(visible=False) as placing:
        down = gr.Slider(0, 100, 50, step=0.5, label="Down (%)", min_width=160)
        across = gr.Slider(0, 100, 50, step=0.5, label="Across (%)", min_width=160, elem_id="across")
        scale = gr.Slider(1, 400, 100, step=0.5, label="Scale (%)", min_width=160)
    place = (down, across, scale)
    known = gr.State((None, None))

    def receive(first: str | None, second: str | None, known: tuple[Given | None, Given | None]) -> list[Any]:
        with _told(desk):
            front, back = _received(desk, first, known[0]), _received(desk, second, known[1])
            if front is None or back is None:
                return [(front, back), gr.update(visible=False), gr.update(visible=False), 50, 50, 100]
            fit = min(1.0, *(outer / inner for outer, inner in zip(back.size, front.size)))
            percent = max(1.0, 100 * fit // 0.5 * 0.5)
            pasted = desk.pasted_preview(front, back, 0.5, 0.5, percent / 100)
        return [(front, back), gr.update(value=str(pasted), visible=True), gr.update(visible=True), 50, 50, percent]

    def show(known: tuple[Given | None, Given | None], *percents: float) -> Any:
        front, back = known
        if front is None or back is None:
            return gr.skip()
        with _told(desk):
            return str(desk.pasted_preview(front, back, *(each / 100 for each in percents)))

    def move(known: tuple[Given | None, Given | None], scale: float, event: gr.SelectData) -> Any:
        back = known[1]
        if back is None:
            return gr.skip()
        across, down = (round(200 * at / side) / 2 for at, side in zip(event.index, reversed(back.preview_size)))
        return down, across, show(known, down, across, scale)

    outputs = [known, preview, placing, *place]
    for each in (cutout, background):
        each.change(receive, [cutout, background, known], outputs, show_progress="minimal", **ONE_AT_A_TIME)
    for slider in place:
        slider.input(
            show, [known, *place], preview, show_progress="hidden", trigger_mode="always_last", **ONE_AT_A_TIME
        )
    preview.select(move, [known, scale], [down, across, preview], show_progress="hidden", **ONE_AT_A_TIME)
    return _Pasted(cutout, background, place, known)


def _options(given: argparse.Namespace) -> dict[str, gr.components.Component]:
    """Controls for the options of `harmonize image`, by name: their words and defaults are those of its parser."""
    parser = argparse.ArgumentParser()
    image.add_arguments(parser)
    actions = {action.dest: action for action in parser._actions}

    def control(name: str) -> gr.components.Component:
        return _control(actions[name], getattr(given, name, actions[name].default))

    found = {name: control(name) for name in ABOVE}
    with gr.Accordion("More options", open=False):
        for row in FOLDED:
            with gr.Row():
                found |= {name: control(name) for name in row}
    return found


def _control(action: argparse.Action, value: Any) -> gr.components.Component:
    name = action.dest
    label = "LUT size" if name == "lut_size" else name.replace("_", " ").capitalize()
    meaning = MEANINGS.get(name) or re.sub(r"\s*\(default: .*\)$", "", action.help or "")
    about: dict[str, Any] = {
        "value": value,
        "label": f"{label} (pixels)" if name in IN_PIXELS else label,
        "info": f"{meaning[:1].upper()}{meaning[1:]}.",
        "elem_id": name.replace("_", "-"),
        "min_width": 230,
    }
    if name in SLIDERS:
        lowest, highest, step = SLIDERS[name]
        return gr.Slider(min(lowest, value), max(highest, value), step=step, **about)
    if action.nargs == 0:
        return gr.Checkbox(**about)
    about["value"] = str(value)
    choices = [str(each) for each in action.choices or CHOICES[name]]
    choices += [] if str(value) in choices else [str(value)]
    return gr.Radio([(Path(each).name, each) for each in choices], **about)


def _result() -> list[gr.components.Component]:
    """Where the outcome is shown: pictures, what was decided, and the files of :class:`.Outcome` in their order."""
    slider = gr.ImageSlider(label="Before and after", type="filepath", max_height=620, buttons=["fullscreen"])
    said = gr.Markdown("The harmonized picture will be shown here.", elem_id="said")
    gr.Markdown("Download, at full size:")
    with gr.Row(elem_id="downloads"):
        labels = ("Picture (PNG)", "Object alone (PNG)", "LUT (.cube)")
        buttons = [gr.DownloadButton(label, interactive=False, size="md", min_width=120) for label in labels]
    return [slider, said, *buttons]


def _received(desk: Desk, path: str | None, known: Given | None) -> Given | None:
    """A file that was handed over, looked at unless that was done before."""
    if path is None:
        return None
    return known if known and known.path == Path(path) else desk.receive(Path(path))


@contextmanager
def _told(desk: Desk) -> Iterator[None]:
    """Shows on the page what is wrong, in one sentence, and what the library warns of."""
    try:
        with desk.warnings() as warnings:
            yield
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        raise gr.Error(desk.said_of(error), duration=None, print_exception=False) from error
    for each in warnings:
        gr.Warning(each)

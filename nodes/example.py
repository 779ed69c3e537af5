"""HDNetExample: the pictures that come with the pack, so that the example workflows run as they are."""

from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image, ImageSequence

from ..hdnet.harmonize.options import check_choice
from .compat import as_output, supported

FOLDER = Path(__file__).parent.parent / "example_workflows"
EXAMPLES = {
    "composite": ("harmonize_demo_composite.png", "harmonize_demo_mask.png"),
    "inpainted": ("harmonize_demo_inpainted.jpg", "harmonize_demo_inpainted_mask.png"),
    "original of inpainted": ("harmonize_demo_original.jpg", None),
    "film": ("harmonize_demo_film.webp", "harmonize_demo_film_mask.webp"),
    "guide": ("harmonize_demo_guide.jpg", None),
    "two objects": ("harmonize_demo_objects.jpg", "harmonize_demo_objects_mask.webp"),
}


class HDNetExample(io.ComfyNode):
    """Gives the pictures that come with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows of the node."""
        return io.Schema(
            node_id="HDNetExample",
            display_name="Example for Harmonize Composite",
            category="image/compositing",
            description="Pictures to try Harmonize Composite with. Nothing of your own is needed.",
            inputs=[
                io.Combo.Input(
                    "example",
                    options=list(EXAMPLES),
                    default="composite",
                    tooltip="composite: an astronaut pasted in front of a launch pad, too dark and hazy. inpainted: "
                    "the same scene as it comes out of a VAE, and its original. film: 24 frames with noise and "
                    "unsteady light. guide: the scene in another light, soft and noisy. two objects: two astronauts, "
                    "each with its mask.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The picture, or the frames."),
                io.Mask.Output(display_name="mask", tooltip="White is the foreground; black where there is none."),
            ],
            **supported(search_aliases=["demo of harmonize", "test image", "sample composite"]),
        )

    @classmethod
    def execute(cls, example: str) -> io.NodeOutput:
        """Returns image and mask of an example."""
        check_choice("example", example, EXAMPLES)
        picture, mask = EXAMPLES[example]
        image = read_frames(FOLDER / picture, "RGB")
        return io.NodeOutput(
            as_output(image), as_output(read_frames(FOLDER / mask, "L") if mask else 0 * image[..., 0])
        )


def read_frames(path: Path, mode: str) -> torch.Tensor:
    """All frames of a picture file, ``[B, H, W, 3]`` or ``[B, H, W]`` in 0..1."""
    with Image.open(path) as file:
        frames = [np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(file)]
    return torch.from_numpy(np.stack(frames)).float() / 255

"""HDNetSaveLut: a change of colours as a .cube file, for other programs."""

from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io

from ..files.cube import save_cube
from ..hdnet.harmonize.inputs import check_mask
from ..hdnet.harmonize.lut import SIZES, LutFit
from ..hdnet.harmonize.masks import fit_mask
from ..hdnet.harmonize.options import check_choice
from .compat import check_connected, show_text, supported


class HDNetSaveLut(io.ComfyNode):
    """Saves the change from one image to another as a table."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Returns the node's inputs and outputs."""
        return io.Schema(
            node_id="HDNetSaveLut",
            display_name="Save Change as LUT",
            category="image/compositing",
            description="Saves the change of colours inside the mask as a .cube file, for the foreground's layer in "
            "Resolve, Photoshop, Nuke and the like. A batch gives one for all, as for a shot.",
            inputs=[
                io.Image.Input("before", tooltip="The image that went into Harmonize Composite."),
                io.Image.Input("after", tooltip="The image that came out of it, of the same size."),
                io.Mask.Input("mask", tooltip="The mask that came out of it: only its foreground counts."),
                io.String.Input(
                    "filename_prefix",
                    default="harmonized",
                    tooltip="The name of the file, in ComfyUI's output folder; may hold a folder.",
                ),
                io.Combo.Input(
                    "size",
                    options=[str(each) for each in SIZES],
                    default=str(SIZES[0]),
                    tooltip="Points along a side of the table. 33 is read everywhere and is enough.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where the file was saved.")],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            **supported(search_aliases=["lut", "cube", "color grading", "3d lut"]),
        )

    @classmethod
    def execute(
        cls, before: torch.Tensor, after: torch.Tensor, mask: torch.Tensor, filename_prefix: str, size: str
    ) -> io.NodeOutput:
        """Saves the file and returns its path."""
        check_connected(before=before, after=after, mask=mask)
        check_choice("size", size, [str(each) for each in SIZES])
        mask, fit = fit_mask(check_mask(mask), after.shape[1:3]), LutFit(int(size))
        for number, result in enumerate(after):
            fit.add(before[number % len(before)], result, mask[number % len(mask)].to(result.device))
        folder, name, counter, _, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        path = Path(folder) / f"{name}_{counter:05}_.cube"
        while path.exists():  # ComfyUI's counter may know pictures only
            counter += 1
            path = Path(folder) / f"{name}_{counter:05}_.cube"
        save_cube(fit.table(), path, name)
        show_text(cls, path.name)
        return io.NodeOutput(str(path))

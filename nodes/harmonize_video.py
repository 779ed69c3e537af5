"""HDNetHarmonizeVideo: a film and its masks in, a harmonized film out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy_api.latest import InputImpl, io

from ..files.ahead import ahead, cores_left
from ..files.video import Clip, Film
from ..files.video_clip import clip_frames
from ..files.video_frames import masked_frames
from ..files.video_output import write_film
from ..hdnet import Harmonizer
from ..hdnet.harmonize.anchors import Anchor
from ..hdnet.harmonize.film import FilmHarmonizer
from ..hdnet.harmonize.inputs import check_mask
from ..hdnet.harmonize.options import check_choice
from ..weights.catalogue import DEFAULT
from .compat import advanced, as_output, show_text, supported
from .inputs import RESOLUTIONS, foreground_input, invert_mask_input, model_input, resolution_input, strength_input
from .load_model import judged_pixels, load_onto_device, load_patcher
from .videos import alpha_of, open_video, temporary_path, video_like

READ_AHEAD = 4  # frames
CODECS = ("h264", "hevc")  # kept; what else a file holds becomes h264, which every core and browser plays

Frame = TypeVar("Frame")


class HDNetHarmonizeVideo(io.ComfyNode):
    """Harmonizes the foreground of a film."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows of the node."""
        return io.Schema(
            node_id="HDNetHarmonizeVideo",
            display_name="Harmonize Video",
            category="image/compositing",
            description="Changes the colours of a pasted or inpainted object in a video so that it matches its "
            "background, without flicker. Works frame by frame: a long video takes no more memory than a short one.",
            inputs=[
                io.Video.Input("video", tooltip="The composite. Sound is kept."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White (1) is the foreground, the part to change: one mask, or one for each frame.",
                ),
                io.Video.Input(
                    "mask_video",
                    optional=True,
                    tooltip="A video of masks instead, white or opaque where the foreground is. It is matched by time, "
                    "so its frame rate may differ. Neither connected: the alpha channel of the video.",
                ),
                model_input(),
                io.Video.Input(
                    "background",
                    optional=True,
                    tooltip="A video of the same size to paste the foreground onto; of a single frame, that one holds. "
                    "After inpainting, the original: the shift of tones seen outside the mask is taken back inside.",
                ),
                strength_input(),
                resolution_input(),
                invert_mask_input(),
                foreground_input(),
                advanced(
                    io.String.Input(
                        "anchor",
                        default="",
                        optional=True,
                        tooltip="Times such as 12.5, 1:05 or 3-4.5 (seconds, minutes), more than one with commas. The "
                        "change made there holds for the whole of its shot. Empty: the change follows the video.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "crf",
                        default=16,
                        min=0,
                        max=51,
                        optional=True,
                        tooltip="Quality of the encoded video: lower is better and larger, 0 is lossless. Not for a "
                        "video from Create Video, which stays in memory.",
                    )
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The harmonized video, with its sound.")],
            hidden=[io.Hidden.unique_id],
            **supported(
                search_aliases=[
                    "video harmonization",
                    "harmonize film",
                    "video color match",
                    "flicker",
                    "deflicker",
                    "video composite",
                    "视频调色",
                    "视频融合",
                ]
            ),
        )

    @classmethod
    def execute(
        cls,
        video: Any,
        strength: float,
        resolution: str,
        invert_mask: bool,
        foreground: str,
        mask: torch.Tensor | None = None,
        mask_video: Any = None,
        model: comfy.model_patcher.ModelPatcher | None = None,
        background: Any = None,
        anchor: str = "",
        crf: int = 16,
    ) -> io.NodeOutput:
        """Returns the harmonized video."""
        check_choice("resolution", resolution, RESOLUTIONS)
        anchors = [Anchor.read(each) for each in anchor.replace("，", ",").split(",") if each.strip()]
        if mask is not None and mask_video is not None:
            raise ValueError("Connect mask or mask_video, not both.")
        if mask is not None:
            mask = check_mask(mask)
        film = open_video(video, "video")
        if isinstance(film, Clip) and mask is None and mask_video is None:
            mask = alpha_of(video)
            if mask is None:
                raise ValueError("Connect a mask: a video from Create Video has no alpha channel.")
        patcher = model if model is not None else load_patcher(DEFAULT)
        load_onto_device(patcher, judged_pixels(*film.size, resolution))
        harmonizer = FilmHarmonizer(Harmonizer(patcher.model), resolution, strength, foreground)

        def frames_of(film: Film | Clip, aside: Any = None) -> Iterator[Any]:
            masks = mask if mask_video is None else open_video(mask_video, "mask_video")
            behind = None if background is None else open_video(background, "background")
            if isinstance(film, Clip):
                assert masks is not None
                return clip_frames(film, masks, invert_mask, behind)
            return ahead(masked_frames(film, masks, invert_mask, behind, aside), READ_AHEAD)

        if anchors:
            harmonizer.anchor(_interruptible(frames_of(open_video(video, "video"))), anchors)
        bar, about, done = comfy.utils.ProgressBar(film.length), film.length, 0

        def harmonized(aside: Any = None) -> Iterator[Any]:
            nonlocal done
            for frame in harmonizer(_interruptible(frames_of(film, aside))):
                yield frame
                done += 1
                bar.update_absolute(min(done, about))
            bar.update_absolute(about)

        if isinstance(film, Clip):
            result = video_like(video, as_output(torch.stack([frame.result() for frame in harmonized()])))
        else:
            path = temporary_path()
            codec = film.stream.codec_context.name
            with cores_left():
                write_film(path, film, harmonized, codec if codec in CODECS else "h264", crf)
            film.close()
            result = InputImpl.VideoFromFile(str(path))
        show_text(cls, f"{done} frames, {harmonizer.shots} shot{'s' * (harmonizer.shots != 1)}.")
        return io.NodeOutput(result)


def _interruptible(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        comfy.model_management.throw_exception_if_processing_interrupted()
        yield frame

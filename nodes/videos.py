"""ComfyUI's VIDEO, opened without loading its frames where it is a file, and made."""

from __future__ import annotations

import dataclasses
import uuid
from fractions import Fraction
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import InputImpl

from ..files.video import Clip, Film


def open_video(video: Any, name: str) -> Film | Clip:
    """A VIDEO as a film to be read frame by frame, or as a clip where its frames are in memory anyway.

    Args:
        video: What ComfyUI hands over.
        name: Of the input.

    Raises:
        ValueError: It is no VIDEO, or cannot be read.
    """
    if not hasattr(video, "save_to"):
        raise ValueError(f"Connect a video to {name}; it holds {video!r}.")
    if isinstance(video, InputImpl.VideoFromComponents):
        components = video.get_components()
        return Clip(components.images, Fraction(components.frame_rate), f"The {name}")
    if isinstance(video, InputImpl.VideoFromFile) and hasattr(video, "get_stream_source"):
        source = video.get_stream_source()
        # several readers of one video in memory, each at a place of its own; CPython shares the bytes
        film = Film(Path(source) if isinstance(source, str) else BytesIO(source.getvalue()))
        if _shows_all(video, film):
            return film
        film.close()
    path = temporary_path()
    video.save_to(str(path))
    return Film(path)


def alpha_of(video: Any) -> torch.Tensor | None:
    """The alpha of a VIDEO whose frames are in memory, ``[N, H, W]``, in cores that have it."""
    return getattr(video.get_components(), "alpha", None)


def video_like(video: Any, images: torch.Tensor) -> Any:
    """The same VIDEO, whose frames are in memory, with other frames."""
    # newer cores remember with how many bits, and perhaps in which colour space, it is to be saved
    known = signature(InputImpl.VideoFromComponents).parameters
    kept = {name: getattr(video, f"get_{name}")() for name in ("bit_depth", "color_space") if name in known}
    return InputImpl.VideoFromComponents(dataclasses.replace(video.get_components(), images=images), **kept)


def temporary_path() -> Path:
    """A new name for a film in ComfyUI's temporary folder."""
    return Path(folder_paths.get_temp_directory()) / f"harmonized_{uuid.uuid4().hex}.mp4"


def _shows_all(video: Any, film: Film) -> bool:
    """Whether a VIDEO shows its whole file; newer cores cut it in time and place without writing another."""
    window = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0, 0)
    return not any(window) and tuple(video.get_dimensions()) == (film.stream.width, film.stream.height)

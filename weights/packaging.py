"""What a Hugging Face repository of weights holds: the weights, their configuration, a card."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path
from tempfile import mkdtemp

from .errors import WeightsError
from .files import read_metadata, read_network

HEADINGS = {
    "training_data": "Training data",
    "training": "Training",
    "figures": "Figures",
    "limits": "Limits",
    "source": "Source",
}


def package(file: str | Path, folder: str | Path) -> list[Path]:
    """Writes `model.safetensors`, `config.json` and `README.md` into a new folder, whole or not at all.

    Args:
        file: Weights as `save_network` writes them.
        folder: Must not exist yet, or be empty.

    Returns:
        The paths written.

    Raises:
        WeightsError: The file holds no network, or the folder has something in it.
        OSError: It cannot be written; the error names the folder.
    """
    file, folder = Path(file), Path(folder)
    network, metadata = read_network(file), read_metadata(file)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WeightsError(f"{folder}: there is something here already; name a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise WeightsError(f"{folder}: no permission to write into the folder {folder.parent}.")
    staging = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        shutil.copyfile(file, staging / "model.safetensors")
        config = json.dumps(dataclasses.asdict(network.config), indent=2)
        (staging / "config.json").write_text(config + "\n", encoding="utf-8")
        (staging / "README.md").write_text(card(metadata), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        os.chmod(staging, 0o755)
        os.replace(staging, folder)
    except OSError as error:  # nobody knows the temporary folder's name
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sorted(folder.iterdir())


def card(metadata: dict[str, str]) -> str:
    """A model card, in the Hub's format, from a file's metadata; what is not known is left out."""
    from huggingface_hub import ModelCardData

    header = ModelCardData(
        license=_spdx_name(metadata.get("licence", "other")),
        pipeline_tag="image-to-image",
        library_name="harmonize-composite",
        tags=["image-harmonization", "comfyui"],
    )
    lines = [
        "---",
        header.to_yaml(),
        "---",
        "",
        f"# {' '.join(metadata.get('title', 'HDNet weights').split())}",
        "",
        "Weights for Harmonize Composite, which makes a pasted or inpainted object match its background.",
    ]
    for key, heading in HEADINGS.items():
        if metadata.get(key):
            lines += ["", f"## {heading}", "", metadata[key]]
    return "\n".join(lines) + "\n"


def _spdx_name(text: str) -> str:
    """The text where it may be an SPDX name, in small letters; else "other", as the Hub wants it."""
    return text.lower() if re.fullmatch(r"[A-Za-z0-9.+-]{1,64}", text) else "other"

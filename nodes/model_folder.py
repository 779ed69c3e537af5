"""Where ComfyUI users keep their HDNet weights: `models/hdnet`, and what extra_model_paths.yaml adds."""

import os

import folder_paths

from ..weights.catalogue import CATALOGUE, DEFAULT

KEY = "hdnet"
EXTENSIONS = {".safetensors"}
SHIPPED = [DEFAULT, *(name for name in CATALOGUE if name != DEFAULT)]


def register_model_folder() -> None:
    """Makes `models/hdnet` known, keeping folders that a user's extra_model_paths.yaml has named before."""
    default = os.path.join(folder_paths.models_dir, KEY)
    folders, _ = folder_paths.folder_names_and_paths.get(KEY, ([], set()))
    folders = [*folders, *([] if default in folders else [default])]
    folder_paths.folder_names_and_paths[KEY] = (folders, set(EXTENSIONS))


def choices() -> list[str]:
    """The user's files, then the weights that come with the pack."""
    return [*folder_paths.get_filename_list(KEY), *SHIPPED]


def find_file(name: str) -> str | None:
    """The path of the user's file of that name, None if there is none."""
    return folder_paths.get_full_path(KEY, name)


def resolve(name: str) -> str:
    """What `load_network` takes for a choice.

    Raises:
        ValueError: It is no choice; older cores do not check, and a prompt must not name just any file.
    """
    if name not in choices():
        raise ValueError(f"There are no weights {name!r} in models/{KEY}; there are: {', '.join(choices())}.")
    return find_file(name) or name


def download_folder() -> str:
    """Where weights from the Hub go: the first registered folder."""
    return folder_paths.get_folder_paths(KEY)[0]

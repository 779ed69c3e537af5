"""Options of a training run: a dataclass, read from TOML, overridden on the command line."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ...files.text import read_text

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

LARGEST = 2**53  # whole numbers, beyond which libraries answer in words of their own
OTHER_NAMES = {"batch_size": "stages", "bs": "stages", "num_workers": "workers", "max_steps": "steps", "decay": "ema"}
CONFIGS = Path(__file__).parent.parent / "configs"


Record = TypeVar("Record", "Stage", "Options")


def option(default: Any, text: str, low: float = -math.inf, high: float = math.inf, choices: tuple = ()) -> Any:
    """A field with what it means and what it may be."""
    return field(default=default, metadata={"text": text, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class Stage:
    """A part of the training at one size, or at several in turn.

    Raises:
        ValueError: A value has the wrong type or is out of range, here and in `Options`.
    """

    share: float = option(1.0, "length, relative to the other stages'", 1e-9)
    size: tuple[int, ...] = option((256,), "side of the pictures in pixels; of several, each step takes the next", 16)
    batch: int = option(12, "pictures a step, over all processes and accumulated parts", 1)
    rate: float = option(1.0, "factor to the learning rate", 0)

    def __post_init__(self) -> None:
        _check(self)
        if not self.size:
            raise ValueError("size must not be empty.")


@dataclass(frozen=True)
class Options:
    """All that decides the outcome of a training run; `describe()` says what each option means."""

    data: str = option("", "photographs (images/, masks/) or pairs in iHarmony4's layout")
    init: str = option("normal", "normal (as in the paper), near-identity, or weights: a name, file or hub:owner/repo")
    network: str = option("hdnet-lite", "preset to train; where init names weights, theirs is taken instead")
    base_channels: int = option(0, "width of the network; 0 = the preset's", 0)
    in_channels: int = option(0, "4 shows the mask to the network, 3 does not; 0 = the preset's", 0, 4)
    scene_context: int = option(0, "width of the perceptron that judges the scene as a whole; 0 = the preset's", 0)
    neighbours: int = option(0, "K of the local dynamics; 0 = the preset's", 0, 9)
    seed: int = option(0, "decides the initial weights and the data", 0)

    steps: int = option(0, "length of the training; or give epochs", 0)
    epochs: float = option(0.0, "length in passes over the data; or give steps", 0)
    stages: tuple[Stage, ...] = option((), "parts of the training: share, size, batch, rate")
    learning_rate: float = option(1e-3, "of Adam, at its highest", 0)
    beta1: float = option(0.9, "of Adam", 0, 1)
    beta2: float = option(0.999, "of Adam", 0, 1)
    warmup_steps: int = option(0, "the learning rate rises over so many steps", 0)
    drops: tuple[float, ...] = option((), "shares of the training after which the learning rate falls to a tenth", 0, 1)
    cosine_from: float = option(1.0, "share of the training after which it falls to zero along a cosine", 0, 1)
    clip: float = option(0.0, "largest norm of the gradient; 0 = no limit", 0)
    ema: float = option(0.0, "decay of the moving average of the weights; 0 = none", 0, 1)

    crop: float = option(0.0, "chance of a random part instead of the whole picture", 0, 1)
    flip: float = option(0.0, "chance of exchanging left and right", 0, 1)
    mask_jitter: float = option(0.0, "chance of a mask that is grown, shrunk or softened", 0, 1)
    loose_region: float = option(0.0, "chance of recolouring more or less than the mask (photographs)", 0, 1)
    soft_edge: float = option(0.0, "chance of colours that change gradually across the rim (photographs)", 0, 1)
    clean_rim: float = option(0.0, "chance of a background without traces of the object beside it (photographs)", 0, 1)
    jpeg: float = option(0.0, "chance of re-encoding the composite", 0, 1)
    untouched: float = option(0.0, "share of pairs that need no harmonizing (photographs)", 0, 1)
    pasted: float = option(0.0, "share of pairs without traces of the object beside the mask (photographs)", 0, 1)
    camera: float = option(0.7, "share of those that differ by camera and light, not by another object's colours", 0, 1)
    affine_loss: float = option(0.0, "share of the loss that sees only the best affine map to the output", 0, 1)
    emphasis: float = option(0.0, "weight of a pair: its composite's own loss to this power; 0 = all alike", -1, 1)

    device: str = option("auto", "auto or cpu", choices=("auto", "cpu"))
    precision: str = option("no", "no (float32), bf16 or fp16", choices=("no", "bf16", "fp16"))
    accumulate: int = option(1, "parts that a batch is worked on in, to save memory", 1)
    channels_last: bool = option(True, "memory format; usually the faster one")
    compile: bool = option(False, "torch.compile; the first steps of each size take minutes")
    workers: int = option(1, "processes that read and augment pictures, for each training process", 0)

    validation_pairs: int = option(160, "fixed pairs to validate on; 0 = no validation", 0)
    validation_size: int = option(256, "side of these pictures in pixels", 16)
    validate_every: int = option(1000, "steps between validations", 1)
    checkpoint_every: int = option(500, "steps between checkpoints", 1)
    log_every: int = option(50, "steps between scalars for TensorBoard", 1)

    def __post_init__(self) -> None:
        _check(self)
        if bool(self.steps) == bool(self.epochs):
            raise ValueError("Give the length of the training, either as steps or as epochs (one of them, not 0).")
        if not self.stages:
            raise ValueError("stages: give at least one, such as stages=[{size=256, batch=12}].")


def load_options(config: str, overrides: Iterable[str] = (), **known: str) -> Options:
    """Reads a configuration.

    Args:
        config: The name of a shipped configuration, or a TOML file.
        overrides: `KEY=VALUE`, the value as in TOML; text needs no quotes.
        known: More overrides, as they are.

    Raises:
        ValueError: An unknown configuration or key (the nearest known one is named), or a bad value.
    """
    path = Path(config)
    if path.suffix.lower() != ".toml":
        path = CONFIGS / f"{config}.toml"
        if not path.is_file():
            names = sorted(each.stem for each in CONFIGS.glob("*.toml"))
            raise ValueError(f"Unknown configuration {config!r}; known: {', '.join(names)}, or give a .toml file.")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file.")
    try:
        values = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: this is not valid TOML: {error}.") from error
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"Options are set by KEY=VALUE, not {override!r}.")
        values[key.strip()] = _value(text.strip())
    # both would clash: whoever sets one on the command line means that one
    given = {override.partition("=")[0].strip() for override in overrides}
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in given and other not in given:
            values.pop(other, None)
    values |= known
    return _build(Options, values)


def to_toml(options: Options) -> str:
    """The options as a TOML file that `load_options` reads."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    return "".join(f"{name} = {_literal(value)}\n" for name, value in values.items())


def describe(config: str = "ours") -> str:
    """All options with their meaning and their value in a shipped configuration, a line each."""
    values = tomllib.loads(read_text(CONFIGS / f"{config}.toml"))

    def line(each: Field) -> str:
        value = values.get(each.name, each.default)
        said = "" if value in ("", ()) or each.name == "stages" else f" [{_literal(value)}]"
        return f"  {each.name:18}{each.metadata['text']}{said}"

    return "\n".join(map(line, fields(Options)))


def _build(kind: type[Record], values: dict[str, Any]) -> Record:
    known = [each.name for each in fields(kind)]
    for key in values:
        if key not in known:
            raise ValueError(f"Unknown option {key!r}; did you mean {_nearest(key, known)!r}?")
    return kind(**values)


def _nearest(key: str, known: list[str]) -> str:
    """The option that a wrong name was meant for: one with these initials (lr), else the one spelled most alike."""
    key = key.lower().replace("-", "_")
    if key in OTHER_NAMES:
        return OTHER_NAMES[key]
    with_initials = [name for name in known if "_" in name and "".join(word[0] for word in name.split("_")) == key]
    return (with_initials or difflib.get_close_matches(key, known, 1, cutoff=0))[0]


def _check(record: Stage | Options) -> None:
    """Brings the values of a frozen dataclass to their fields' types, and checks their range."""
    for each in fields(record):
        value = _convert(getattr(record, each.name), str(each.type), each.name)
        object.__setattr__(record, each.name, value)
        low, high, choices = (each.metadata[key] for key in ("low", "high", "choices"))
        if choices and value not in choices:
            raise ValueError(f"{each.name} must be one of {', '.join(choices)}, not {value!r}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and abs(number) > LARGEST:
                raise ValueError(f"{each.name} must not be as large as that.")
            if isinstance(number, (int, float)) and not (low <= number <= high and math.isfinite(number)):
                limits = f"at least {low:g}" if high == math.inf else f"in {low:g}..{high:g}"
                raise ValueError(f"{each.name} must be {limits}, not {number:g}.")


def _convert(value: Any, kind: str, name: str) -> Any:
    if kind.startswith("tuple"):
        element = kind[len("tuple[") : -len(", ...]")]
        return tuple(_convert(each, element, name) for each in (value if isinstance(value, (list, tuple)) else [value]))
    if kind == "Stage":
        if isinstance(value, dict):
            return _build(Stage, value)
        right = isinstance(value, Stage)
    elif kind == "float":
        if isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 10**300 else math.inf
        right = isinstance(value, float)
    else:
        right = type(value).__name__ == kind
    if not right:
        wanted = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
        raise ValueError(f"{name} must be {wanted.get(kind, 'a table such as {size=256, batch=12}')}, not {value!r}.")
    return value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _literal(value: Any) -> str:
    if isinstance(value, Stage):
        pairs = (f"{each.name} = {_literal(getattr(value, each.name))}" for each in fields(value))
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # all in which TOML differs
    return repr(value)

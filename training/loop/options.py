"""Options of a training run: read from TOML, overridden on the command line, validated by pydantic."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ...files.text import read_text

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

OTHER_NAMES = {"batch_size": "stages", "bs": "stages", "num_workers": "workers", "max_steps": "steps", "decay": "ema"}
TYPES = {"int_type": "a whole number", "float_type": "a number", "bool_type": "true or false", "string_type": "text"}
OUT_OF_RANGE = "greater_than_equal", "less_than_equal", "finite_number"
CONFIGS = Path(__file__).parent.parent / "configs"
LARGEST = 2**53  # whole numbers, beyond which libraries answer in words of their own

Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, le=LARGEST)]
Positive = Annotated[int, Strict(), Field(ge=1, le=LARGEST)]
Side = Annotated[int, Strict(), Field(ge=16, le=LARGEST)]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, (list, tuple)) else (value,))  # 64 is [64]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Stage:
    """A part of the training at one size, or at several in turn."""

    share: Annotated[float, Strict(), Field(ge=1e-9, allow_inf_nan=False)] = Field(
        default=1.0, description="length, relative to the other stages'"
    )
    size: Annotated[tuple[Side, ...], Listed, Field(min_length=1)] = Field(
        default=(256,), description="side of the pictures in pixels; of several, each step takes the next"
    )
    batch: Positive = Field(default=12, description="pictures a step, over all processes and micro-batches")
    rate: Number = Field(default=1.0, description="factor to the learning rate")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Options:
    """All that decides the outcome of a training run; `describe()` says what each option means.

    Raises:
        ValueError: If a value has the wrong type or is out of range.
    """

    data: str = Field(default="", description="photographs (images/, masks/) or pairs in iHarmony4's layout")
    init: str = Field(
        default="normal",
        description="normal (as in the paper), near-identity, or weights: a name, file or hub:owner/repo",
    )
    network: str = Field(
        default="hdnet-lite", description="preset to train; where init names weights, theirs is taken instead"
    )
    base_channels: Count = Field(default=0, description="width of the network; 0 = the preset's")
    in_channels: Annotated[int, Strict(), Field(ge=0, le=4)] = Field(
        default=0, description="4 shows the mask to the network, 3 does not; 0 = the preset's"
    )
    scene_context: Count = Field(
        default=0, description="width of the perceptron that judges the scene as a whole; 0 = the preset's"
    )
    semantic_context: Count = Field(
        default=0, description="the same for the one that judges what a pretrained encoder sees; 0 = the preset's"
    )
    semantic_encoder: str = Field(
        default="",
        description="efficientnet-lite0 or efficientnet-lite2, for a new semantic context; empty = the first",
    )
    semantic_heads: Annotated[int, Strict(), Field(ge=0, le=64)] = Field(
        default=0, description="heads of a new semantic context's attention; 0 = none"
    )
    encoder: str = Field(default="", description="file of the pretrained encoder's weights, for a new semantic context")
    neighbours: Annotated[int, Strict(), Field(ge=0, le=9)] = Field(
        default=0, description="K of the local dynamics; 0 = the preset's"
    )
    seed: Count = Field(default=0, description="decides the initial weights and the data")

    steps: Count = Field(default=0, description="length of the training; or give epochs")
    epochs: Number = Field(default=0.0, description="length in passes over the data; or give steps")
    stages: Annotated[tuple[Stage, ...], Listed] = Field(
        default=(), description="parts of the training: share, size, batch, rate"
    )
    learning_rate: Number = Field(default=1e-3, description="of Adam, at its highest")
    encoder_rate: Number = Field(default=0.375, description="factor to it for the pretrained encoder's weights")
    beta1: Share = Field(default=0.9, description="of Adam")
    beta2: Share = Field(default=0.999, description="of Adam")
    warmup_steps: Count = Field(default=0, description="the learning rate rises over so many steps")
    drops: Annotated[tuple[Share, ...], Listed] = Field(
        default=(), description="shares of the training after which the learning rate falls to a tenth"
    )
    cosine_from: Share = Field(
        default=1.0, description="share of the training after which it falls to zero along a cosine"
    )
    clip: Number = Field(default=0.0, description="largest norm of the gradient; 0 = no limit")
    ema: Share = Field(default=0.0, description="decay of the moving average of the weights; 0 = none")

    crop: Share = Field(default=0.0, description="chance of a random part instead of the whole picture")
    flip: Share = Field(default=0.0, description="chance of exchanging left and right")
    mask_jitter: Share = Field(default=0.0, description="chance of a mask that is grown, shrunk or softened")
    loose_region: Share = Field(
        default=0.0, description="chance of recolouring more or less than the mask (photographs)"
    )
    soft_edge: Share = Field(
        default=0.0, description="chance of colours that change gradually across the rim (photographs)"
    )
    clean_rim: Share = Field(
        default=0.0, description="chance of a background without traces of the object beside it (photographs)"
    )
    jpeg: Share = Field(default=0.0, description="chance of re-encoding the composite")
    untouched: Share = Field(default=0.0, description="share of pairs that need no harmonizing (photographs)")
    pasted: Share = Field(
        default=0.0, description="share of pairs without traces of the object beside the mask (photographs)"
    )
    camera: Share = Field(
        default=0.7, description="share of those that differ by camera and light, not by another object's colours"
    )
    affine_loss: Share = Field(
        default=0.0, description="share of the loss that sees only the best affine map to the output"
    )
    emphasis: Annotated[float, Strict(), Field(ge=-1, le=1, allow_inf_nan=False)] = Field(
        default=0.0, description="weight of a pair: its composite's own loss to this power; 0 = all alike"
    )

    device: Literal["auto", "cpu"] = Field(default="auto", description="auto or cpu")
    precision: Literal["no", "bf16", "fp16"] = Field(default="no", description="no (float32), bf16 or fp16")
    accumulate: Positive = Field(default=1, description="micro-batches that a batch is divided into, to save memory")
    channels_last: Flag = Field(default=True, description="memory format; usually the faster one")
    compile: Flag = Field(default=False, description="torch.compile; the first steps of each size take minutes")
    workers: Count = Field(default=1, description="processes that read and augment pictures, for each training process")
    pool: Count = Field(
        default=0,
        description="photographs, taken apart, of which the device composes all batches; 0 = the workers compose them",
    )

    validation_pairs: Count = Field(default=160, description="fixed pairs to validate on; 0 = no validation")
    validation_size: Side = Field(default=256, description="side of these pictures in pixels")
    validate_every: Positive = Field(default=1000, description="steps between validations")
    checkpoint_every: Positive = Field(default=500, description="steps between checkpoints")
    log_every: Positive = Field(default=50, description="steps between scalars for TensorBoard")

    def __post_init__(self) -> None:
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
    return _validated(values)


def to_toml(options: Options) -> str:
    """The options as a TOML file that `load_options` reads."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    return "".join(f"{name} = {_literal(value)}\n" for name, value in values.items())


def describe(config: str = "ours") -> str:
    """All options with their meaning and their value in a shipped configuration, a line each."""
    values = tomllib.loads(read_text(CONFIGS / f"{config}.toml"))

    def line(name: str, option: dict[str, Any]) -> str:
        value = values.get(name, option["default"])
        said = "" if value in ("", []) or name == "stages" else f" [{_literal(value)}]"
        return f"  {name:18}{option['description']}{said}"

    return "\n".join(line(*each) for each in _schema(Options).items())


def _schema(kind: type) -> dict[str, dict[str, Any]]:
    """The JSON schema of each option: its description, its default and what it may be."""
    schema: dict[str, dict[str, Any]] = TypeAdapter(kind).json_schema()["properties"]
    return schema


def _validated(values: dict[str, Any]) -> Options:
    try:
        return Options(**values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        unknown = [each for each in found if each["type"] == "unexpected_keyword_argument"]
        raise ValueError(_sentence((unknown or found)[0])) from None


def _sentence(error: ErrorDetails) -> str:
    """What is wrong with an option, in one sentence."""
    place, kind, value = [each for each in error["loc"] if isinstance(each, str)], error["type"], error["input"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    name, known = place[-1], _schema(Stage if len(place) > 1 else Options)
    if kind == "unexpected_keyword_argument":
        return f"Unknown option {name!r}; did you mean {_nearest(name, list(known))!r}?"
    if kind == "too_short":
        return f"{name} must not be empty."
    allowed = known[name].get("items", known[name])
    if kind == "float_type" and type(value) is int:  # beyond what a float holds
        kind, value = "finite_number", math.inf
    if kind in OUT_OF_RANGE:
        if isinstance(value, int) and allowed["type"] == "integer" and abs(value) > LARGEST:
            return f"{name} must not be as large as that."
        low, high = allowed["minimum"], allowed.get("maximum", LARGEST)
        limits = f"at least {low:g}" if high == LARGEST else f"in {low:g}..{high:g}"
        return f"{name} must be {limits}, not {value:g}."
    if kind == "literal_error":
        wanted = f"one of {', '.join(allowed['enum'])}"
    else:
        wanted = TYPES.get(kind, "a table such as {size=256, batch=12}")
    return f"{name} must be {wanted}, not {value!r}."


def _nearest(key: str, known: list[str]) -> str:
    """The option that a wrong name was meant for: one with these initials (lr), else the one spelled most alike."""
    key = key.lower().replace("-", "_")
    if key in OTHER_NAMES:
        return OTHER_NAMES[key]
    with_initials = [name for name in known if "_" in name and "".join(word[0] for word in name.split("_")) == key]
    return (with_initials or difflib.get_close_matches(key, known, 1, cutoff=0))[0]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _literal(value: Any) -> str:
    if isinstance(value, Stage):
        pairs = (f"{each.name} = {_literal(getattr(value, each.name))}" for each in fields(value))
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # all in which TOML differs
    return repr(value)

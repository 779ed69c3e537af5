"""The shape of a network: what has to be known to build it."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_DYNAMICS = ("paper", "published", None)
GLOBAL_DYNAMICS = ("mask", "learned", None)
SEMANTIC_ENCODERS = ("efficientnet-lite0", "efficientnet-lite2")


@dataclass(frozen=True)
class HDNetConfig:
    """Hyper-parameters of an :class:`~.network.HDNet`.

    Attributes:
        base_channels: Channels of the first feature map (``g``); 32 for HDNet, 8 for HDNet-lite.
        in_channels: 4 appends the mask to the composite, 3 shows the network the composite alone.
        local_dynamics: ``"paper"`` follows Eq. 2-5; ``"published"`` repeats the authors' code (and its skip
            connections, activated in place), which checkpoints trained with it need; ``None`` leaves the module out.
        neighbours: Background features mixed into each foreground feature (K of Eq. 4), 1 to 9.
        global_dynamics: ``"mask"`` splits the regions by the given mask (Eq. 6), ``"learned"`` by a
            predicted guide (HDNet* of Table 3); ``None`` leaves the modules out.
        scene_context: Width of the perceptron of :mod:`.scene_context`, which is not in the paper; 0 leaves it out.
        semantic_context: The same of :mod:`.semantic_context`.
        semantic_encoder: What the semantic context sees the picture with: one of `SEMANTIC_ENCODERS`.
        semantic_heads: Heads of its attention; 0 leaves it out.

    Raises:
        ValueError: A value is out of range, or K > 1 is asked of published local dynamics.
    """

    base_channels: int = 32
    in_channels: int = 4
    local_dynamics: str | None = "paper"
    neighbours: int = 1
    global_dynamics: str | None = "mask"
    scene_context: int = 0
    semantic_context: int = 0
    semantic_encoder: str = "efficientnet-lite0"
    semantic_heads: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.base_channels, int) or self.base_channels < 1:
            raise ValueError(f"base_channels must be a whole number of at least 1, not {self.base_channels!r}.")
        if self.in_channels not in (3, 4):
            raise ValueError(f"in_channels must be 3 or 4, not {self.in_channels}.")
        if self.local_dynamics not in LOCAL_DYNAMICS:
            raise ValueError(f"local_dynamics must be one of {LOCAL_DYNAMICS}, not {self.local_dynamics!r}.")
        if self.global_dynamics not in GLOBAL_DYNAMICS:
            raise ValueError(f"global_dynamics must be one of {GLOBAL_DYNAMICS}, not {self.global_dynamics!r}.")
        if not isinstance(self.neighbours, int) or not 1 <= self.neighbours <= 9:
            raise ValueError(f"neighbours must be 1 to 9, not {self.neighbours!r}.")
        for name in ("scene_context", "semantic_context"):
            width = getattr(self, name)
            if not isinstance(width, int) or width < 0:
                raise ValueError(f"{name} must be a whole number of at least 0, not {width!r}.")
            if width and self.global_dynamics is None:
                raise ValueError(f"{name} adds to the kernels of the global dynamics: it needs them.")
        if not isinstance(self.semantic_heads, int) or not 0 <= self.semantic_heads <= 64:
            raise ValueError(f"semantic_heads must be 0 to 64, not {self.semantic_heads!r}.")
        if self.semantic_encoder not in SEMANTIC_ENCODERS:
            raise ValueError(f"semantic_encoder must be one of {SEMANTIC_ENCODERS}, not {self.semantic_encoder!r}.")
        if self.local_dynamics == "published" and self.neighbours != 1:
            raise ValueError("Published local dynamics are defined for one neighbour only: use neighbours=1.")

    @classmethod
    def preset(cls, name: str) -> HDNetConfig:
        """Returns the configuration of that name: the paper's two networks or an ablation of Table 3."""
        if name not in PRESETS:
            raise ValueError(f"Unknown preset {name!r}; known: {', '.join(PRESETS)}.")
        return PRESETS[name]


PRESETS = {
    "hdnet": HDNetConfig(),
    "hdnet-lite": HDNetConfig(base_channels=8),
    "base": HDNetConfig(local_dynamics=None, global_dynamics=None),
    "base+ld": HDNetConfig(global_dynamics=None),
    "base+mgd": HDNetConfig(local_dynamics=None),
    "learned-mask": HDNetConfig(global_dynamics="learned"),
}

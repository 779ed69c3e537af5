"""Which names are held out for validation, where no list says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def held_out(names: Iterable[str], share: float) -> set[str]:
    """About `share` of the names, chosen by a hash of each name alone.

    So adding a picture moves no other to the other side. Of two names or more, one at least is held out
    and one is not.
    """
    place = {name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8] for name in set(names)}
    limit = int(share * 2**64)
    chosen = {name for name in place if int.from_bytes(place[name], "big") < limit}
    if not chosen and len(place) > 1:
        chosen = {min(place, key=place.__getitem__)}
    if len(chosen) == len(place) > 1:
        chosen.remove(max(place, key=place.__getitem__))
    return chosen

"""Ending a run between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
import threading


class Interruption:
    """Notes Ctrl-C and SIGTERM while it lasts; a second one acts as usual.

    Attributes:
        noted: Whether one has come.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.noted = False
        self._before: dict = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python lets no other one listen
            self._before = {each: signal.signal(each, self._note) for each in self.SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def _note(self, *_) -> None:
        self.noted = True
        self.__exit__()


def leave_to_parent(_worker: int = 0) -> None:
    """For processes that serve another: Ctrl-C reaches them too, but it is the other that ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

"""Ending a run between two steps instead of in the middle of one, and its reading processes with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

GRACE = 30.0  # seconds, in which the parent finishes its step and ends its readers


class Interruption:
    """Notes Ctrl-C and SIGTERM while it lasts; a second one acts as usual.

    Attributes:
        requested: Whether one has come.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python lets no other one listen
            self._before = {each: signal.signal(each, self._note) for each in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def _note(self, *_: object) -> None:
        self.requested = True
        self.__exit__()


def leave_signals_to_parent(_worker: int = 0) -> None:
    """For processes that serve another one: that one decides when they end, and they end when it is gone.

    A signal to the whole group, as from a terminal or a service manager, reaches them too; without them the parent
    could not finish its step and write a checkpoint.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit_after_grace)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_after_grace(*_: object) -> None:
    timer = threading.Timer(GRACE, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _exit_with_parent() -> None:
    """Waits until the parent is gone, however it ended, and ends this process whatever it is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

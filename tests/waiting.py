"""Counts how often code would wait for a device: wherever a value of a tensor decides what happens next."""

from collections import Counter

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero", "_unique2"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # by bool, they look for what is true
COPYING = {"tolist", "cpu", "numpy"}  # on the processor these do not reach the dispatcher


class _Operators(TorchDispatchMode):
    def __init__(self, counts: Counter) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator.overloadpacket.__name__
        by_truth = name in INDEXING and any(each is not None and each.dtype == torch.bool for each in args[1])
        if name in WAITING or by_truth:
            self.counts[name] += 1
        return operator(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, counts: Counter) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in COPYING or (name == "to" and "cpu" in args):
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))


def waits(job) -> Counter:
    """How often a job would wait for a device, by operator."""
    counts = Counter()
    with _Methods(counts), _Operators(counts):
        job()
    return counts

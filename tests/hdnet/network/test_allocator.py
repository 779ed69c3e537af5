"""Feature maps find their memory again."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from harmonize_composite.hdnet import HDNet, HDNetConfig
network = HDNet(HDNetConfig.preset("hdnet-lite")).eval()
composite, mask = torch.zeros(1, 3, 256, 256), torch.zeros(1, 1, 256, 256)
mask[..., 64:192, 64:192] = 1
with torch.inference_mode():
    for _ in range(3):
        network(composite, mask)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(composite, mask)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's malloc that gives memory back")
def test_a_second_pass_meets_few_page_faults():
    def faults(**more):
        result = subprocess.run([sys.executable, "-c", FAULTS], env=os.environ | more, capture_output=True, check=True)
        return int(result.stdout)

    as_without = faults(MALLOC_MMAP_THRESHOLD_=str(128 << 10))  # a fixed threshold, malloc's own
    assert faults() < 0.2 * as_without

"""The README's Python example runs as it stands."""

import re
from pathlib import Path


def test_the_example_in_python_runs():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102
    assert names["result"].shape == names["image"].shape
    assert (names["result"] == names["image"])[names["mask"] == 0].all()

"""The package as a whole: light to import, loadable by ComfyUI, and what its code may not do."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from harmonize_composite.weights.catalogue import CATALOGUE
from harmonize_composite.weights.files import read_metadata
from harmonize_composite.weights.packaging import card

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cli", "files", "hdnet", "weights", "nodes", "training")
PACK = [ROOT / "__init__.py"]
PACK += [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
HEAVY = {"torch", "numpy", "PIL", "safetensors", "huggingface_hub", "einops", "comfy", "comfy_api"}


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_it_and_asking_for_help_imports_nothing_heavy():
    loaded = python(
        "import contextlib, io, sys\n"
        "import harmonize_composite\n"
        "from harmonize_composite.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    assert HEAVY.isdisjoint(loaded.split())


def test_weights_are_listed_without_loading_torch():
    loaded = python(
        "import contextlib, io, sys\n"
        "from harmonize_composite.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['weights', 'list'])\n"
        "print(*sys.modules)"
    )
    assert "torch" not in loaded.split()


def test_comfyui_can_load_it_by_path_and_finds_its_door():
    # under the name of its path, as ComfyUI does, and without ComfyUI here
    name = str(ROOT).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.comfy_entrypoint)
    assert (ROOT / module.WEB_DIRECTORY).is_dir()


def test_public_names_are_loaded_when_asked_for():
    loaded = python(
        "import sys\n"
        "import harmonize_composite as package\n"
        "assert 'torch' not in sys.modules\n"
        "assert not hasattr(package, 'NODE_CLASS_MAPPINGS')\n"
        "assert package.__version__.count('.') == 2 and 'torch' not in sys.modules\n"
        "from harmonize_composite import Harmonizer, HDNet, HDNetConfig, load_network\n"
        "print(Harmonizer.__module__, load_network.__module__)"
    )
    assert loaded.split() == ["harmonize_composite.hdnet.harmonize.harmonizer", "harmonize_composite.weights.load"]


def calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg: keyword.value for keyword in node.keywords}


@pytest.mark.parametrize("path", PACK, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_is_run_from_data_and_no_process_or_connection_is_opened(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module.partition(".")[0])
    assert imported.isdisjoint({"subprocess", "socket", "pickle5", "marshal", "shelve", "requests", "urllib", "http"})
    assert "harmonize_composite" not in imported, "inside ComfyUI the pack has another name; import relatively"
    for function, keywords in calls(tree):
        assert function not in ("eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads")
        if function == "torch.load":
            assert ast.literal_eval(keywords["weights_only"]) is True


def test_every_room_is_listed_for_installation():
    try:
        import tomllib
    except ModuleNotFoundError:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    rooms = {
        ".".join(("harmonize_composite", *path.parent.relative_to(ROOT).parts))
        for room in (*ROOMS, "benchmarks", ".")
        for path in (ROOT / room).glob("__init__.py" if room == "." else "**/__init__.py")
    }
    assert listed == rooms
    for room, patterns in project["tool"]["setuptools"]["package-data"].items():
        folder = ROOT.joinpath(*room.split(".")[1:])
        for pattern in patterns:
            assert list(folder.glob(pattern)), f"{room}: nothing matches {pattern}"


def test_the_pack_stays_below_30_mb():
    rooms = [*ROOMS, "web", "locales", "example_workflows", "subgraphs"]
    files = [path for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if "__pycache__" not in path.parts) < 30e6


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_shipped_weights_have_their_card_beside_them(entry):
    text = entry.path.with_suffix(".md").read_text(encoding="utf-8")
    assert text == card(read_metadata(entry.path))
    for heading in ("Training data", "Training", "Figures", "Limits"):
        assert f"## {heading}\n" in text

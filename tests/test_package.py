import ast
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tl_helpers"
LAYERS = """
    profiles checks storage unpacking downloads saving inputs scans evaluation datasets
    backbones training features probes choosing augmentation finetuning domains
    adaptation selection multitask fewshot dense explanation robustness pretraining
    combining streams plots fitting tools __main__
""".split()


def imported_layers(path):
    """Layers of tl_helpers that a module imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            parts = [f"{node.module}.{alias.name}".split(".") for alias in node.names]
        elif isinstance(node, ast.Import):
            parts = [f"{alias.name}.".split(".") for alias in node.names]
        else:
            continue
        yield from (part[1] for part in parts if part[0] == "tl_helpers")


def layer_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules():
    paths = (path for path in sorted(PACKAGE.rglob("*.py")))
    return [path for path in paths if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_imports_only_from_those_before_it(path):
    own = LAYERS.index(layer_of(path))  # a new module takes its place in LAYERS
    for name in imported_layers(path):
        is_own_folder = name == LAYERS[own] and path.parent != PACKAGE
        assert LAYERS.index(name) < own or is_own_folder, f"{path.name} imports {name}"


def test_imported_layers_sees_every_form(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import tl_helpers.saving\nfrom tl_helpers import probes\n"
        "def f():\n    from tl_helpers.datasets.real import REAL\n"
    )
    assert list(imported_layers(path)) == ["saving", "probes", "datasets"]


def run_python(code):
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("import time")
    ]
    return {line.split("|")[-1].strip() for line in lines}


@pytest.mark.parametrize("module", ["tl_helpers", "tl_helpers.__main__"])
def test_import_loads_no_heavy_library(module):
    loaded = run_python(f"import {module}")
    assert module in loaded
    heavy = {"tensorflow", "keras", "numpy", "matplotlib", "sklearn", "requests"}
    assert not loaded & heavy


def test_constraints_name_versions_and_no_addresses():
    for name in ("constraints.txt", "constraints-colab.txt"):
        lines = (ROOT / name).read_text().splitlines()
        for line in lines:
            assert line.startswith("#") or line.replace("<", "=").count("=") in (1, 2)
            assert "/" not in line and "@" not in line


def test_constraints_cover_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = {*project["dependencies"], *itertools.chain(*extras)}
    names = {line.split("<")[0].split(">")[0].strip() for line in wanted}
    names.remove("tl-helpers[detection,scans,site]")  # its own extra
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert names <= {line.split("==")[0] for line in lines}


def test_setuptools_stays_below_82():
    assert "setuptools<82" in requires("tl-helpers")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Python of an environment outside the checkout with the built wheel in it.

    The large libraries are lent to it by a path file, so nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    flags = ["--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*pip, "wheel", ROOT, *flags], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
    python = folder / "venv/bin/python"
    (wheel,) = folder.glob("*.whl")
    install = ["--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run([*pip, *install], check=True)
    (site_packages,) = folder.glob("venv/lib/python*/site-packages")
    (site_packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.slow
def test_wheel_finds_its_data(elsewhere, tmp_path):
    code = "from tl_helpers import profiles; print(profiles.data_dir())"
    command = [elsewhere, "-c", code]
    found = subprocess.check_output(command, cwd=tmp_path, text=True).strip()
    assert Path(found).is_relative_to(elsewhere.parent.parent)
    assert (Path(found) / "embedded.npz").exists()


@pytest.mark.slow
def test_wheel_runs_the_first_notebook(elsewhere, tmp_path):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks/00_start_here.ipynb", tmp_path / "notebooks")
    command = [elsewhere, "-m", "tl_helpers", "course", "--profile", "quick"]
    lent = {"JUPYTER_PATH": os.path.join(sys.prefix, "share/jupyter")}  # page templates
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | lent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build/course/00_start_here.html").exists()

"""The wheel holds what the tree holds, and works where there is no tree.

Subpackages are listed by hand in ``pyproject.toml`` (``indexers/`` and ``rankers/`` are mapped
from the top of the repository), so one that is forgotten would be missing from the wheel only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# folder of the tree -> where it lies in the wheel
SHIPPED = {
    "bruno_memory_vec": "bruno_memory_vec",
    "indexers": "bruno_memory_vec/indexers",
    "rankers": "bruno_memory_vec/rankers",
}
SUFFIXES = {
    ".py",
    ".pyi",
    ".toml",
    ".json",
    ".jsonl",
    ".sql",
    ".txt",
    ".html",
    ".css",
    ".js",
    ".svg",
}


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tree_files() -> set[str]:
    """The wheel paths of every file in the three folders that has to be shipped."""
    expected = set()
    for folder, target in SHIPPED.items():
        for top, folders, files in os.walk(ROOT / folder):  # does not follow links
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in files:
                path = Path(top, name)
                inside = path.relative_to(ROOT / folder)
                if path.suffix in SUFFIXES or "weights" in inside.parts or name == "py.typed":
                    expected.add(f"{target}/{inside.as_posix()}")
    return expected


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy: leftovers in ``build/`` would get in, and the tree be touched."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy2(ROOT / name, source / name)
    for folder in SHIPPED:
        shutil.copytree(
            ROOT / folder,
            source / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    output = base / "dist"
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
        *("--outdir", str(output), str(source)),
        cwd=base,
    )
    (built,) = output.glob("*.whl")
    return built


def test_wheel_holds_what_the_tree_holds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {
            name
            for name in archive.namelist()
            if ".dist-info/" not in name and not name.endswith("/")
        }
    expected = tree_files()
    missing = sorted(expected - shipped)
    assert not missing, (
        "not in the wheel. In pyproject.toml, list the subpackage under [tool.setuptools] packages "
        "or the files under [tool.setuptools.package-data]:\n" + "\n".join(missing)
    )
    extra = sorted(shipped - expected)
    assert not extra, "in the wheel but not in the tree:\n" + "\n".join(extra)


def test_wheel_installs_one_package(wheel: Path) -> None:
    """A top-level ``rankers`` would overwrite another distribution's files."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
        info = next(name for name in top if name.endswith(".dist-info"))
        licences = {name for name in archive.namelist() if "/licenses/" in name}
    assert top == {"bruno_memory_vec", info}
    assert licences == {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"}


def test_installed_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
        *("--no-deps", "--no-index", "--target", str(target), str(wheel)),
        cwd=elsewhere,
    )
    code = (
        "import json, bruno_memory_vec, bruno_memory_vec.indexers, bruno_memory_vec.rankers\n"
        "from bruno_memory_vec._version import __version__\n"
        "loaded = bruno_memory_vec, bruno_memory_vec.indexers, bruno_memory_vec.rankers\n"
        "print(json.dumps([__version__, [module.__file__ for module in loaded]]))\n"
    )
    out = run(
        *(sys.executable, "-c", code),
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    version, files = json.loads(out)
    assert f"bruno_memory_vec-{version}-" in wheel.name
    outside = [file for file in files if target not in Path(file).parents]
    assert not outside, f"imported from elsewhere than the wheel: {outside}"

"""The house rules of DESIGN §2, read from the imports themselves: layers, no cycle, small files, a quick --help."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "biasaudit"
GROUND = {"records", "results", "identity", "errors", "labels"}
WINGS = {"corpus", "lm", "sampling", "battery", "scoring", "stats", "label", "report", "store", "scale"}
HEAVY = {"torch", "transformers", "numpy", "scipy", "pandas", "pyarrow", "vl_convert", "yaml", "pydantic",
         "jinja2", "tokenizers", "tiktoken", "rich", "accelerate", "rensa", "phonenumbers", "stdnum"}  # fmt: skip
TOP_ONLY_IN = {"torch": {"lm", "sampling"}, "scipy": {"stats"}}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """`stats` for biasaudit/stats/x.py, `cli` for biasaudit/cli.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, stands at the top level and runs) for every import of a file; type-only imports are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.append((child.module, top))
                if child.module.startswith("biasaudit"):
                    found.extend((f"{child.module}.{alias.name}", top) for alias in child.names)
            inner = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            walk(child, top and not inner)

    walk(tree, True)
    return found


def own(path: Path) -> set[str]:
    """Rooms of biasaudit that a file imports."""
    modules = [m.split(".") for m, _ in imports(path) if m.startswith("biasaudit.")]
    return {parts[1] for parts in modules} & (GROUND | WINGS | {"pipeline", "cli"})


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_the_layers(path: Path) -> None:
    here = room(path)
    if here in GROUND:
        assert own(path) <= {"identity", "errors"}, "the ground imports nothing of ours but identity and errors"
    elif here in WINGS:
        assert own(path) <= GROUND | {here}, "a wing imports the ground and itself"
    elif here == "cli":
        assert own(path) <= {"errors", "identity", "pipeline"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_imports_stay_where_they_are_needed(path: Path) -> None:
    here = room(path)
    top = {module.split(".")[0] for module, at_top in imports(path) if at_top}
    if here in GROUND | {"cli", "__init__"}:
        assert not top & HEAVY
    for module, rooms in TOP_ONLY_IN.items():
        assert module not in top or here in rooms
    if here == "pipeline":
        wings = {m.split(".")[1] for m, at_top in imports(path) if at_top and m.startswith("biasaudit.")}
        assert not wings & WINGS, "a stage imports wings inside its functions, so that it pays only for its own"


def test_no_import_cycle() -> None:
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}
    graph = {n: {m for m, top in imports(p) if top and m in modules and m != n} for n, p in modules.items()}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, f"cycle: {' -> '.join((*trail, name))}"
        if state.get(name) == 2:
            return
        state[name] = 1
        for after in graph[name]:
            visit(after, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_are_small_and_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what it is"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, resource; from biasaudit.cli import cli\n"
        "try: cli.main(['--help'], prog_name='biasaudit')\n"
        "except SystemExit: pass\n"
        "use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('CPU', use.ru_utime + use.ru_stime); print('LOADED', *sorted(sys.modules))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
        for _ in range(3)
    ]
    seconds = min(float(r.stdout.split("CPU ")[1].split()[0]) for r in runs)
    loaded = set(runs[0].stdout.split("LOADED ")[1].split())
    assert not loaded & HEAVY
    assert seconds < 0.3


def test_the_project_names_no_machine_path() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if not any(listed):
        pytest.skip("not a git checkout")
    needles = ["/wo" + "rk/", "/fa" + "rm/", "/opt/ve" + "nv", "python" + "hosted", "py" + "pi.org"]
    bad = []
    for name in filter(None, listed):
        file = ROOT / name
        if file.is_file() and file.suffix in {".py", ".md", ".toml", ".yaml", ".json", ".html", ".css", ".js", ".txt"}:
            text = file.read_text(encoding="utf-8", errors="replace")
            bad += [f"{name}: {needle}" for needle in needles if needle in text]
    assert bad == []

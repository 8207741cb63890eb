"""Which part may import which, and where each library lives, as tables. A failure names the file and the line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A part is a folder or a file at the root. It may import itself and what stands here; bench and tests import anything.
ARROWS: Mapping[str, Collection[str]] = {
    "model": (),
    "settings": (),
    "beat_schedule": (),
    "jsontext": (),
    "sandbox": (),
    "providers": ("jsontext", "model"),
    "db": ("jsontext", "model"),
    "worker": ("beat_schedule", "db", "jsontext", "model", "providers", "settings"),
    "tasks": ("db", "model", "settings", "worker"),
    "api": ("db", "jsontext", "model", "providers", "settings", "tasks", "worker"),
    "cli": ("beat_schedule", "bench", "db", "model", "providers", "sandbox", "settings", "tasks", "worker"),
}
FREE = ("bench", "tests")
PARTS = (*ARROWS, *FREE)

# Parts with few libraries of others: these and no more, beside the standard library.
ONLY: Mapping[str, Collection[str]] = {
    "model": (),
    "settings": ("click", "pydantic", "pydantic_settings"),
    "beat_schedule": (),
    "jsontext": ("orjson",),
    "sandbox": (),
}

# One home per library: files or folders of ours in which it may be imported.
HOMES: Mapping[str, Collection[str]] = {
    "celery": (
        "worker/app.py",
        "worker/consumer.py",
        "worker/dispatch.py",
        "worker/lifecycle.py",
        "worker/sending.py",
        "worker/transport.py",
        "tasks/",
    ),
    "kombu": (
        "worker/app.py",
        "worker/consumer.py",
        "worker/dispatch.py",
        "worker/lifecycle.py",
        "worker/transport.py",
    ),
    "billiard": (),
    "tenacity": ("worker/attempts.py",),
    "sqlalchemy": ("db/",),  # elsewhere only the names in SQLALCHEMY_NAMES
    "psycopg2": ("db/", "cli/embedded.py", "worker/listener.py"),  # the last one for its Error
    "redis": (
        "worker/dispatch.py",
        "worker/gate.py",
        "worker/resources.py",
        "worker/sending.py",
        "worker/transport.py",
        "cli/",
        "api/",
    ),
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "jinja2": ("api/ui/",),
    "uvicorn": (),  # runs `api.app:serve` as a program
    "requests": ("providers/",),
    "urllib3": ("providers/",),
    "httpx": (),
    "aiohttp": (),
    "cryptography": ("worker/vault.py", "providers/signatures.py"),
    "fsspec": ("worker/media.py",),
    "greenlet": ("providers/waiting.py",),
    "orjson": ("jsontext.py",),
    "fastjsonschema": ("worker/catalog.py",),
    "uuid_utils": ("worker/ids.py",),
    "psutil": ("cli/",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "structlog": ("worker/", "cli/", "api/"),
    "pydantic_settings": ("settings.py",),
}
SQLALCHEMY_NAMES = {"Connection", "Engine", "DBAPIError", "SQLAlchemyError"}  # types of what is passed on

READS_ENVIRONMENT = ("settings.py", "cli/")  # cli hands its own environment to the processes it starts


@dataclass(frozen=True)
class Import:
    """One import statement of ours, by the module it names."""

    file: str
    line: int
    module: str
    names: tuple[str, ...] = ()
    runs_at_import: bool = True

    @property
    def part(self) -> str:
        """The part of the importing file."""
        return self.file.split("/")[0].removesuffix(".py")

    @property
    def top(self) -> str:
        """The first word of the module."""
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def files() -> list[Path]:
    """Every Python file of ours but those that may import anything."""
    found = [ROOT / f"{part}.py" for part in ARROWS if (ROOT / f"{part}.py").exists()]
    return found + [path for part in ARROWS for path in sorted((ROOT / part).rglob("*.py"))]


@cache
def trees() -> Mapping[str, ast.Module]:
    """The parsed files by their names."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in files()}


@cache
def imports() -> tuple[Import, ...]:
    """All imports of all files."""
    return tuple(each for name, tree in trees().items() for each in of_tree(name, tree))


def of_tree(file: str, tree: ast.Module) -> Iterator[Import]:
    late = {id(inner) for outer in ast.walk(tree) if is_late(outer) for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, runs_at_import=id(node) not in late)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively: name the module in full"
            names = tuple(alias.name for alias in node.names)
            yield Import(file, node.lineno, node.module or "", names, id(node) not in late)


def is_late(node: ast.AST) -> bool:
    """Whether what stands inside does not run when the module is imported."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def inside(file: str, places: Collection[str]) -> bool:
    return any(file == place or (place.endswith("/") and file.startswith(place)) for place in places)


def test_the_tables_know_every_part() -> None:
    skipped = {"build", "dist", "docs"}
    there = {path.parent.name for path in ROOT.glob("*/*.py") if not path.parent.name.startswith(".")} - skipped
    there |= {path.stem for path in ROOT.glob("*.py")}
    assert there <= set(PARTS), f"add to ARROWS: {sorted(there - set(PARTS))}"


@pytest.mark.parametrize("part", ARROWS)
def test_arrows_point_down(part: str) -> None:
    allowed = {part, *ARROWS[part]}
    assert [str(i) for i in imports() if i.part == part and i.top in PARTS and i.top not in allowed] == []


def test_no_provider_knows_another() -> None:
    folders = {path.parent.name for path in (ROOT / "providers").glob("*/__init__.py")}
    assert "zapier" in folders
    wrong = [
        str(each)
        for each in imports()
        if each.part == "providers"
        and (words := (*each.module.split("."), *each.names))[0] == "providers"
        and each.file != "providers/__init__.py"  # the registry
        for other in folders.intersection(words[1:2])
        if not each.file.startswith(f"providers/{other}/")
    ]
    assert wrong == []


def test_no_provider_is_named_in_generic_code() -> None:
    folders = [path.parent.name for path in (ROOT / "providers").glob("*/__init__.py")]
    wrong = [
        f"{file}:{node.lineno} names {node.value}"
        for file, tree in trees().items()
        if file.split("/")[0] in ("worker", "db", "tasks") or file in ("model.py", "beat_schedule.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in folders and file != "worker/subscriptions.py"  # a default
    ]
    assert wrong == []


@pytest.mark.parametrize("part", ONLY)
def test_parts_that_stay_small_use_few_libraries(part: str) -> None:
    allowed = {part, *ONLY[part], *sys.stdlib_module_names}
    assert [str(each) for each in imports() if each.part == part and each.top not in allowed] == []


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_one_home(library: str) -> None:
    wrong = [
        str(each)
        for each in imports()
        if each.top == library
        and not inside(each.file, HOMES[library])
        and not (library == "sqlalchemy" and each.names and SQLALCHEMY_NAMES.issuperset(each.names))
    ]
    assert wrong == []


def test_the_home_table_has_no_dead_lines() -> None:
    homes = [(library, place) for library, places in HOMES.items() for place in places if not place.startswith("api/")]
    missing = [f"{library}: {place}" for library, place in homes if not (ROOT / place).exists()]
    assert missing == []


def test_one_reader_of_the_environment() -> None:
    wrong = [
        f"{file}:{node.lineno} reads the environment"
        for file, tree in trees().items()
        if not inside(file, READS_ENVIRONMENT)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    wrong += [str(each) for each in imports() if each.module == "os" and {"environ", "getenv"}.intersection(each.names)]
    assert wrong == []


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {module_of(file): set() for file in trees()}
    for each in imports():
        if each.runs_at_import:
            modules = {name for name in each.names if f"{each.module}.{name}" in graph}  # the rest is of the package
            targets = {f"{each.module}.{name}" for name in modules}
            targets |= {each.module} if not each.names or modules < set(each.names) else set()
            graph[module_of(each.file)] |= targets & graph.keys() - {module_of(each.file)}
    assert cycle(graph) is None


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def cycle(graph: Mapping[str, Collection[str]]) -> list[str] | None:
    """One cycle, as a list of modules, or None. A package's own __init__ importing its modules is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        for target in graph[module]:
            if found := visit(target, [*path, module]):
                return found
        done.add(module)
        return None

    return next((found for module in graph if (found := visit(module, []))), None)


def test_the_cycle_finder_finds() -> None:
    assert cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert cycle({"a": ["b", "c"], "b": ["c"], "c": []}) is None

"""The map `sioload/README.md`: what it names is there, and nothing is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "sioload"
MAP = (PACKAGE / "README.md").read_text(encoding="utf-8")
#: A step of a walk: a file, and what of it is meant.
STEP = re.compile(r"^ +([\w/]+\.py) +(\S.*?)(?:  |$)", re.MULTILINE)


def files() -> set[str]:
    """Every file of code but those that only make a folder a package."""
    found = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.c")]
    return {
        str(path.relative_to(PACKAGE))
        for path in found
        if path.name != "__init__.py" or path.read_text(encoding="utf-8").count("\n") > 2
    }


def members(tree: ast.Module) -> dict[str, set[str]]:
    """The classes of a file, and what each has; "" for functions and names of the file itself."""
    of: dict[str, set[str]] = {"": set()}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            words = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
            fields = {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            of[node.name] = {str(word) for word in words} | fields | methods
        elif isinstance(node, ast.FunctionDef):
            of[""].add(node.name)
    return of


def parsed(name: str) -> dict[str, set[str]]:
    return members(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))


def meant(names: str) -> Iterator[tuple[str, str]]:
    """`Class.method, .other` and `function` as pairs."""
    owner = ""
    for name in names.split(", "):
        first, dot, last = name.partition(".")
        owner = first or owner
        yield (owner, last) if dot else ("", first)


def test_every_file_and_room_has_its_line():
    listed = re.findall(r"^- `([\w/]+\.(?:py|c))` \S", MAP, re.MULTILINE)
    assert sorted(listed) == sorted(files()), "name it in sioload/README.md, under Files"
    rooms = {name.partition("/")[0] for name in files() if "/" in name}
    picture = MAP.partition("```")[2].partition("```")[0]
    assert {room for room in rooms if f"{room}/" not in picture} == set(), "it is in no picture of the rooms"


def test_what_is_named_is_there():
    paths = set(re.findall(r"`((?:tests/)?[\w/]+\.(?:py|c))`", MAP))
    places = (PACKAGE, PACKAGE.parent)
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []
    classes: dict[str, set[str]] = {}
    for name in files():
        if name.endswith(".py"):
            for owner, has in parsed(name).items():
                classes.setdefault(owner, set()).update(has)
    for owner, member in re.findall(r"`([A-Z]\w+)\.(\w+)`", MAP):
        assert member in classes.get(owner, set()), f"{owner}.{member}"
    for link in re.findall(r"\]\(([^)#]+)", MAP):
        assert (PACKAGE / link).exists(), link


def test_the_walks_lead_through_what_is_there():
    steps = STEP.findall(MAP)
    assert len(steps) > 30
    for name, names in steps:
        of = parsed(name)
        assert [pair for pair in meant(names) if pair[1] not in of.get(pair[0], set())] == [], name

"""The shape of the house: who may import whom, and how long the two scripts are."""

import ast
import re
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "showtell"
LEAVES = {
    "errors",
    "files",
    "ownership",
    "temporaries",
    "text",
    "config",
    "run",
    "processes",
    "distributed",
    "terminal",
}
LEAVES |= {"version"}
# room -> rooms of ours that it may import, besides itself and the leaves; no leaf imports a room that is none
ALLOWED: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "data": set(),
    "data/__main__": {"data", "gallery"},  # the program, whom nobody imports, has a command that draws a page
    "decoding": set(),
    "evaluation": set(),
    "checkpointing": set(),
    "analysis": {"data", "evaluation", "gallery"},
    "score": {"data", "evaluation", "analysis"},
    "rate": {"data", "evaluation", "gallery", "score"},
    "sweeps": {"leaderboard"},
    "leaderboard": {"evaluation"},
    "gallery": {"data"},
    "models": {"decoding", "evaluation"},
    "objectives": {"models", "decoding", "evaluation"},
    "training": {"data", "models", "objectives", "decoding", "evaluation", "checkpointing", "gallery", "sweeps"},
    "launching": {"training"},
    "prediction": {"data", "models", "decoding", "evaluation", "checkpointing", "gallery", "analysis"},
    "sharing": {"data", "models", "decoding", "evaluation", "checkpointing", "prediction"},
    "__init__": {"data", "evaluation", "models", "objectives", "prediction", "training"},  # parts by name, and `load`
}
ONLY_IN = {
    "hydra": {"train.py", "src/showtell/config/gate.py"},
    "omegaconf": {"src/showtell/config/gate.py"},
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    inner = path.relative_to(SOURCE).parts
    if inner == ("data", "__main__.py"):
        return "data/__main__"
    return inner[0].removesuffix(".py")


def test_few_modules_stand_directly_under_the_roof() -> None:
    assert len([path for path in SOURCE.glob("*.py") if path.name != "__init__.py"]) <= 8


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("showtell.")} - {"__version__"}
    assert rooms - LEAVES - {room} <= ALLOWED[room]


def test_no_import_circle() -> None:
    """Neither between files, nor by imports that are late."""
    names = {".".join(("showtell", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in modules()}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    found = {name: imports(path) for name, path in names.items()}
    # `from showtell.a import b` may mean the module a or the module a.b
    parents = {name: {one if one in names else one.rpartition(".")[0] for one in found[name]} for name in names}
    TopologicalSorter({name: (parents[name] & names.keys()) - {name} for name in names}).prepare()


def test_hydras_plugin_knows_sweeps_and_settings_only() -> None:
    (plugin,) = (ROOT / "src" / "hydra_plugins").glob("*.py")
    rooms = {name.split(".")[1] for name in imports(plugin) if name.startswith("showtell.")}
    assert rooms == {"config", "sweeps"}


def test_hydra_and_omegaconf_stay_where_they_belong() -> None:
    for package, homes in ONLY_IN.items():
        users = {
            str(path.relative_to(ROOT))
            for path in [*modules(), ROOT / "train.py", ROOT / "predict.py"]
            if any(name.split(".")[0] == package for name in imports(path))
        }
        assert users <= homes


INTERNALS = SOURCE / "checkpointing" / "lightning_internals.py"
LIGHTNING = ("pytorch_lightning", "lightning_fabric")


def private_names_of_lightning() -> set[str]:
    folders = [Path(spec.origin).parent for name in LIGHTNING if (spec := find_spec(name)) and spec.origin]
    texts = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    return {name for text in texts for name in re.findall(r"(?:def |class |self\.)(_(?!_)\w+)", text)}


def private_uses(path: Path) -> set[str]:
    """Private names of others: of objects (`trainer._x`) and of modules."""
    uses = {name.rpartition(".")[2] for name in imports(path) if name.startswith(LIGHTNING)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls", "os"):
            uses.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            uses.add(node.value)  # setattr(trainer, "_x", ...)
    return {name for name in uses if re.fullmatch(r"_(?!_)\w+", name)}


def test_private_parts_of_lightning_are_used_behind_one_door() -> None:
    names = private_names_of_lightning()
    users = {str(path.relative_to(SOURCE)): found for path in modules() if (found := private_uses(path) & names)}
    door = users.pop(str(INTERNALS.relative_to(SOURCE)))
    assert {"_should_accumulate", "_Loop", "_sigterm_notifier_fn"} <= door
    assert not users


@pytest.mark.parametrize(("script", "limit"), [("train.py", 60), ("predict.py", 80)])
def test_scripts_are_short(script: str, limit: int) -> None:
    assert len((ROOT / script).read_text().splitlines()) <= limit


def test_every_command_reads_its_options_through_one_parser() -> None:
    """`config.arguments.Parser`: argparse's own complaints are a usage and a line that names no remedy."""
    leaving = SOURCE / "sharing/export/caption.py"  # a script that is copied to where Showtell is not
    scripts = [*modules(), ROOT / "train.py", ROOT / "predict.py"]
    assert [path for path in scripts if "ArgumentParser(" in path.read_text()] == [leaving]


def test_files_hold_one_concept() -> None:
    long = {str(path): count for path in modules() if (count := len(path.read_text().splitlines())) > 300}
    assert not long


def test_data_reads_presets_and_no_command_line() -> None:
    users = [path for path in (SOURCE / "data").rglob("*.py") if "showtell.config.command_line" in path.read_text()]
    assert not users

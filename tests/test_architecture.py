"""The shape of the house: who may import whom, and how long the two scripts are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "showtell"
LEAVES = {"errors", "config", "vocabulary", "atomic", "drawing", "signals", "ranks", "__init__"}
# room -> rooms of ours that it may import, besides itself and the leaves
ALLOWED = {
    "errors": set(),
    "config": set(),
    "vocabulary": set(),
    "atomic": set(),
    "drawing": set(),
    "signals": set(),
    "ranks": set(),
    "__init__": {"prediction"},
    "data": set(),
    "decoding": set(),
    "evaluation": set(),
    "checkpointing": set(),
    "models": {"decoding", "evaluation"},
    "objectives": {"models", "decoding", "evaluation"},
    "monitoring": {"run"},
    "initial": {"checkpointing"},
    "reporting": {"data", "models", "monitoring", "run"},
    "gallery": {"data"},
    "run": set(),
    "leaderboard": {"run"},
    "sweeps": {"leaderboard", "run"},
    "pruning": {"run", "sweeps"},
    "trainer": {"checkpointing", "monitoring", "data", "pruning"},
    "meeting": {"data", "models", "reporting"},
    "shard_meeting": {"data", "meeting"},
    "training": {
        "checkpointing",
        "data",
        "meeting",
        "models",
        "monitoring",
        "objectives",
        "reporting",
        "shard_meeting",
        "run",
        "initial",
        "trainer",
    },
    "launching": {"run", "training"},
    "prediction": {"models", "initial", "checkpointing", "data", "evaluation", "decoding", "gallery"},
}
ONLY_IN = {"hydra": {"train.py"}, "omegaconf": {"src/showtell/config/__init__.py", "train.py"}}


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
    return inner[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("showtell.")} - {"__version__"}
    assert rooms - LEAVES - {room} <= ALLOWED[room]


def test_hydra_and_omegaconf_stay_where_they_belong() -> None:
    for package, homes in ONLY_IN.items():
        users = {
            str(path.relative_to(ROOT))
            for path in [*modules(), ROOT / "train.py", ROOT / "predict.py"]
            if any(name.split(".")[0] == package for name in imports(path))
        }
        assert users <= homes


@pytest.mark.parametrize(("script", "limit"), [("train.py", 60), ("predict.py", 80)])
def test_scripts_are_short(script: str, limit: int) -> None:
    assert len((ROOT / script).read_text().splitlines()) <= limit


def test_files_hold_one_concept() -> None:
    long = {str(path): count for path in modules() if (count := len(path.read_text().splitlines())) > 300}
    assert not long

"""The notebook that retells the article: kept with its outputs, short, and executed by the slow tests."""

import ast
import shutil
from importlib import import_module
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "article.ipynb"


@pytest.fixture(scope="module")
def cells() -> list:
    return nbformat.read(NOTEBOOK, 4).cells


def outputs_of(cells: list) -> list:
    return [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def test_it_is_short_and_small(cells: list) -> None:
    assert len(cells) <= 25
    assert NOTEBOOK.stat().st_size < 1_000_000


def test_it_tells_all_nine_parts_in_order(cells: list) -> None:
    text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = ["Parts 1 and 2", *(f"Part {number}:" for number in range(3, 10))]
    places = [text.index(f"## {heading}") for heading in headings]
    assert places == sorted(places)


def test_outputs_are_kept_without_errors_warnings_and_paths(cells: list) -> None:
    run = [cell.execution_count for cell in cells if cell.cell_type == "code"]
    assert run == list(range(1, len(run) + 1))
    outputs = outputs_of(cells)
    assert not [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]
    assert sum(any(kind.startswith("image/") for kind in one.get("data", {})) for one in outputs) == 5
    text = "".join(str(one.get("text", "")) + str(one.get("data", {}).get("text/plain", "")) for one in outputs)
    assert "Warning" not in text
    assert not any(f"/{place}/" in text for place in ("home", "root", "tmp", "Users", "usr"))


def test_what_it_imports_is_there(cells: list) -> None:
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names = [(node.module, alias.name) for node in found for alias in node.names]
    assert len(names) > 10
    assert not [(module, name) for module, name in names if not hasattr(import_module(module or ""), name)]


@pytest.mark.slow
def test_it_runs_from_nothing(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    notebook = nbformat.read(folder / NOTEBOOK.name, 4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    told = "".join(str(one.get("text", "")) for one in outputs_of(notebook.cells))
    assert "1,810,432" in told and "wholly true" in told
    assert not [one for one in outputs_of(notebook.cells) if "Warning" in str(one.get("text", ""))]
    assert (tmp_path / "runs" / "notebook" / "attention" / "model.ckpt").is_file()

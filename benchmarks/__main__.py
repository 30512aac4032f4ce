"""Runs the benchmarks and rewrites the table of `docs/benchmarks.md`: `python -m benchmarks [NAME...]`.

Each script runs in a process of its own and prints lines that begin with `RESULT`. A figure that was measured again
replaces its row; rows of scripts that did not run stay.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: written by python -m benchmarks -->", "<!-- end -->"
HEAD = "| figure | value | target | reached | command | date | machine |\n|---|---|---|---|---|---|---|"
HELPERS = (
    "__main__", "machine", "synthetic", "encoders", "scaling", "recipes", "large_recipes", "feature_dtypes",
    "views_at_prediction", "distilling", "mutations", "exported",
    "chaos", "readme_picture", "jpeg_decoders", "eight_bits",
)  # fmt: skip


def scripts() -> list[str]:
    """The benchmarks by name."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS)


def run(name: str) -> list[dict[str, Any]]:
    """Runs one benchmark; its output is shown, its results are returned."""
    print(f"== {name}", flush=True)
    folders = os.pathsep.join([str(HERE.parent / "src"), str(HERE.parent)])
    environment = os.environ | {"PYTHONPATH": folders}
    command = [sys.executable, str(HERE / f"{name}.py")]
    results = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=HERE.parent) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("RESULT "):
                results.append(json.loads(line.removeprefix("RESULT ")) | {"script": name})
    if process.returncode:
        print(f"{name} failed with exit code {process.returncode}", flush=True)
    return results


def row(result: dict[str, Any]) -> str:
    """A result as a row of the table."""
    machine = result["machine"]
    if isinstance(machine, dict):
        machine = f"{machine['model']}, {machine['cpus']} cores"
    value = f"{result['value']:.4g} {result['unit']}"
    reached = "yes" if result["passed"] else "no"
    command = f"`python -m benchmarks {result['script']}`"
    cells = [result["figure"], value, result["target"], reached, command, time.strftime("%Y-%m-%d"), machine]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def rewritten(page: str, results: list[dict[str, Any]]) -> str:
    """The page with the rows of new results in place of the old ones of the same figures."""
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.strip().splitlines()[2:]}
    rows |= {result["figure"]: row(result) for result in results}
    return f"{before}{BEGIN}\n" + "\n".join([HEAD, *rows.values()]) + f"\n{END}{after}"


def main(names: list[str]) -> int:
    """Runs the named benchmarks, or all; 1 if one of them has no result."""
    unknown = [name for name in names if name not in scripts()]
    if unknown:
        print(f"{unknown[0]}: there is no such benchmark; choose from {', '.join(scripts())}", file=sys.stderr)
        return 2
    failed = False
    for name in names or scripts():
        results = run(name)
        failed = failed or not results
        PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

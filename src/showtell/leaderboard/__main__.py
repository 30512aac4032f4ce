"""`python -m showtell.leaderboard RUNS...`: compares runs in the terminal, a CSV file and a page."""

import argparse
import sys
from pathlib import Path

from showtell.errors import UserError
from showtell.leaderboard.build import write_leaderboard


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code, 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m showtell.leaderboard", description="Compares runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="run directories, or folders of them such as runs/demo")
    parser.add_argument(
        "--metric", help="what decides, e.g. val/cider; by default what the runs chose their best epoch by"
    )
    parser.add_argument(
        "--out", type=Path, help="where leaderboard.csv and leaderboard.html go; by default the first of RUNS"
    )
    options = parser.parse_args(arguments)
    try:
        if missing := next((path for path in options.runs if not path.is_dir()), None):
            raise UserError(f"{missing}: there is no such folder")
        if write_leaderboard(options.runs, options.out or options.runs[0], options.metric) is None:
            raise UserError(f"{options.runs[0]}: no run in it or below; a run has a status.json and a config.yaml")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

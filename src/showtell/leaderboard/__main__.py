"""`python -m showtell.leaderboard RUNS...`: compares runs in the terminal, a CSV file and a page."""

import sys
from pathlib import Path

from showtell.config.arguments import Parser
from showtell.errors import USER_ERROR, UserError, one_line_errors
from showtell.leaderboard.build import write_leaderboard


def main(arguments: list[str]) -> int:
    """The command; returns its exit code, 2 for a mistake of the user."""
    parser = Parser(
        prog="python -m showtell.leaderboard", description="Compares runs.",
        needs="name runs, or a folder of them: python -m showtell.leaderboard runs/NAME",
    )  # fmt: skip
    parser.add_argument("runs", nargs="+", type=Path, help="run directories, or folders of them such as runs/demo")
    parser.add_argument(
        "--metric", help="what decides, e.g. val/cider; by default what the runs chose their best epoch by"
    )
    parser.add_argument(
        "--out", type=Path, help="where leaderboard.csv and leaderboard.html go; by default the first of RUNS"
    )
    try:
        options = parser.parse_args(arguments)
        if missing := next((path for path in options.runs if not path.is_dir()), None):
            raise UserError(f"{missing}: there is no such folder; name runs, or a folder of them such as runs/demo")
        if write_leaderboard(options.runs, options.out or options.runs[0], options.metric) is None:
            raise UserError(f"{options.runs[0]}: no run in it or below; name runs that have begun, or a folder of them")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))

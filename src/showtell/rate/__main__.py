"""`python -m showtell.rate A.json B.json --images DIR --output rate.html`, and what the saved ratings say together."""

import argparse
import sys
from pathlib import Path

from showtell.config.arguments import Parser
from showtell.config.outputs import check_outputs
from showtell.data.paths import counted, shown
from showtell.errors import UserError, one_line_errors
from showtell.rate.page import write_page
from showtell.rate.pairs import draw
from showtell.rate.ratings import is_rating, lines, read_rating, verdict
from showtell.score.files import read_references, read_results
from showtell.score.systems import systems_of

EXAMPLES = """
python -m showtell.rate a.json b.json --images val2017/ --output rate.html   a page for people to rate on
python -m showtell.rate ratings-*.json                                       what they said together

The page works offline, in any browser. Each rater opens a copy, rates, and sends back the file that the page saves.
Which caption is whose is obscured in the page, not encrypted: do not ask raters who want to cheat.
"""
NEEDS = (
    "name two systems' captions: python -m showtell.rate a.json b.json --images DIR --output rate.html; or the ratings "
    "that people saved"
)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m showtell.rate", description="Lets people judge two systems' captions blindly.", epilog=EXAMPLES,
        needs=NEEDS,
    )  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="captions of two systems, or ratings of one page")
    parser.add_argument("--images", type=Path, metavar="DIR", help="the pictures")
    parser.add_argument("--references", type=Path, metavar="FILE", help="names the pictures where captions number them")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="the page to write")
    parser.add_argument("--pictures", type=int, default=100, help="most that are rated (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of pictures, order and sides (default: %(default)s)")
    return parser


def main(arguments: list[str]) -> None:
    """The command.

    Raises:
        UserError: an option or a file that cannot be used; one line.
    """
    options = _parser().parse_args(arguments)
    if all(is_rating(Path(file)) for file in options.files):
        if given := next((name for name in ("images", "references", "output") if getattr(options, name)), None):
            raise UserError(f"--{given} belongs to captions, and these files are ratings; leave it out")
        found = verdict([read_rating(Path(file)) for file in options.files])
        print("\n".join(lines(found)))
        return
    _make_page(options)


def _make_page(options: argparse.Namespace) -> None:
    _check(options)
    one, other = systems = systems_of(options.files)
    if several := next((system for system in systems if len(system.files) > 1), None):
        raise UserError(f"{shown(several.name)}: names {len(several.files)} files; people rate one run, name its")
    references = read_references(options.references, None) if options.references else None
    results = [read_results(system.files[0]) for system in (one, other)]
    drawn = draw(results[0], results[1], options.images, references, options.pictures, options.seed)
    if not drawn.pairs:
        raise UserError(f"the two systems say the same of all {counted(drawn.identical, 'picture')}; nothing to rate")
    asked = write_page(drawn, (one.name, other.name), options.output)
    print(f"written: {options.output}, with {counted(asked, 'picture')} to rate")
    lost = len(drawn.pairs) - asked
    notes = [*drawn.notes, *([f"{counted(lost, 'picture')} could not be read: left out"] if lost else [])]
    if drawn.identical:
        print(f"{counted(drawn.identical, 'picture')} with identical captions: not shown, they count as ties")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    rated = [file for file in options.files if is_rating(Path(file))]
    if rated:
        raise UserError(f"{shown(rated[0])}: is a file of ratings, others are not; give one kind")
    if len(options.files) != 2:
        raise UserError(f"{counted(len(options.files), 'file')} of captions given; name two, A.json B.json")
    if options.images is None or not options.images.is_dir():
        missing = "" if options.images is None else f" {shown(options.images)}: no such folder"
        raise UserError(f"--images{missing or ' is missing'}; say where the pictures lie, with --images DIR")
    if options.output is None or options.output.suffix.lower() not in (".html", ".htm") or options.output.is_dir():
        raise UserError("--output: name the page to write, a file that ends in .html")
    given = [("a file of captions", Path(file)) for file in options.files]
    given += [("the file of --references", options.references)] if options.references else []
    check_outputs([("--output", options.output)], given)
    if options.pictures < 1:
        raise UserError(f"--pictures {options.pictures}: must be at least 1")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: must be at least 0")


if __name__ == "__main__":
    with one_line_errors():
        main(sys.argv[1:])

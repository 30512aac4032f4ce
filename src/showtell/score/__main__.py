"""`python -m showtell.score RES.json ... --references FILE`: what captions are worth, and whether systems differ."""

import argparse
import sys
from pathlib import Path

from showtell.config.arguments import Parser
from showtell.config.plugins import take_plugins
from showtell.config.registry import find
from showtell.errors import UserError, one_line_errors
from showtell.evaluation.metric import CLIP_MODEL
from showtell.evaluation.metrics import WITHOUT_JAVA
from showtell.evaluation.resampling import RESAMPLES, SEED
from showtell.score.export import EXPORTS, export
from showtell.score.files import read_references
from showtell.score.judge import judge
from showtell.score.output import SUFFIXES, write
from showtell.score.systems import systems_of
from showtell.score.table import lines
from showtell.text import build_tokenizer

EXAMPLES = """
python -m showtell.score res.json --references captions_val2017.json
python -m showtell.score old.json new.json --references dataset_coco.json --split test
python -m showtell.score lstm=runs/lstm-*/res.json attention=runs/att-*/res.json --references val.json

Of several systems each is compared with the first. NAME=FILE,FILE,... are runs of one system that differ by chance,
such as seeds. Several --references are folds: each file of captions is scored on the one whose pictures it captions.
docs/scoring.md explains the table.
"""
LEAST_RESAMPLES = 100


def _parser() -> Parser:
    parser = Parser(
        prog="python -m showtell.score", description="Scores files of captions, of any model.", epilog=EXAMPLES,
        needs="name captions and references: python -m showtell.score res.json --references captions_val2017.json",
    )  # fmt: skip
    parser.add_argument(
        "systems", nargs="+", metavar="RES.json", help="captions: COCO's results, JSON Lines, CSV, names with captions"
    )
    parser.add_argument(
        "--references", nargs="+", type=Path, required=True, metavar="FILE",
        help="what people wrote, in any layout that training reads",
    )  # fmt: skip
    parser.add_argument("--split", choices=("train", "val", "test"), help="which one, where the references name splits")
    parser.add_argument("--subset", action="store_true", help="score the captioned pictures where some have no caption")
    parser.add_argument("--output", type=Path, metavar="FILE", help="each picture (.csv), or all figures too (.json)")
    parser.add_argument(
        "--metrics",
        default="",
        metavar="NAME,...",
        help="further ones: meteor,spice (Java), clipscore (--images), a plugin's",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the pictures lie, for clipscore")
    parser.add_argument(
        "--clip-model", default=CLIP_MODEL, metavar="NAME/WEIGHTS|DIR", help="of open_clip (default: %(default)s)"
    )
    parser.add_argument(
        "--export-for", nargs=2, metavar=("capevalkit", "DIR"), help="write what another program scores, into a folder"
    )
    parser.add_argument("--tokenizer", default="nltk", help="whose words are compared; for other languages: words")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of the pictures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the resampling (default: %(default)s)")
    parser.add_argument("--plugins", metavar="DIR", help="folder of metrics or tokenizers of your own")
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.resamples < LEAST_RESAMPLES:
        raise UserError(f"--resamples {options.resamples}: must be at least {LEAST_RESAMPLES}")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: must be at least 0")
    if options.output and options.output.suffix.lower() not in SUFFIXES:
        raise UserError(f"--output {options.output}: name a file that ends in {' or '.join(SUFFIXES)}")
    if options.export_for and options.export_for[0] not in EXPORTS:
        raise UserError(f"--export-for {options.export_for[0]}: choose one of {', '.join(EXPORTS)}, then a folder")
    if options.output and options.output.is_dir():
        raise UserError(f"--output {options.output}: is a folder; name a file to write")


def _metrics(options: argparse.Namespace) -> list[str]:
    names = [*WITHOUT_JAVA, *(name for name in options.metrics.split(",") if name and name not in WITHOUT_JAVA)]
    looking = [name for name in names if find("metric", name).load().looks_at_pictures]
    if looking and not options.images:
        raise UserError(f"--metrics {looking[0]}: it looks at the pictures; say with --images DIR where they lie")
    if options.images and not options.images.is_dir():
        raise UserError(f"--images {options.images}: no such folder; give the one that the file names start from")
    if options.images and not looking and not options.export_for:
        raise UserError("--images has no effect on these scores; add --metrics clipscore, or leave it out")
    return names


def main(arguments: list[str]) -> None:
    """The command.

    Raises:
        UserError: an option or a file that cannot be used; one line.
    """
    options = _parser().parse_args(take_plugins(arguments))
    _check(options)
    metrics = _metrics(options)
    tokenizer = build_tokenizer(options.tokenizer)
    systems = systems_of(options.systems)
    references = [read_references(file, options.split) for file in options.references]
    found = judge(
        systems, references, metrics, tokenizer,
        subset=options.subset, resamples=options.resamples, seed=options.seed,
        images=options.images, clip_model=options.clip_model,
    )  # fmt: skip
    print("\n".join(lines(found, tokenizer, options.resamples, options.seed)))
    for note in dict.fromkeys([*(note for one in references for note in one.notes), *found.notes]):
        print(f"note: {note}", file=sys.stderr)
    if options.export_for:
        for line in export(found, Path(options.export_for[1]), options.images):
            print(line, file=sys.stderr)
    if options.output:
        write(found, options.output)
        print(f"written: {options.output}", file=sys.stderr)


if __name__ == "__main__":
    with one_line_errors():
        main(sys.argv[1:])

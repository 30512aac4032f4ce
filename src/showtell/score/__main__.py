"""`python -m showtell.score RES.json ... --references FILE`: what captions are worth, and whether systems differ."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from showtell.config.arguments import Parser
from showtell.config.outputs import check_folder, check_outputs, labelled
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
from showtell.score.systems import System, systems_of
from showtell.score.table import lines
from showtell.text import build_tokenizer

if TYPE_CHECKING:
    from showtell.score.analysis import Sources

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
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="where the pictures lie, for clipscore and the analysis"
    )
    parser.add_argument(
        "--clip-model", default=CLIP_MODEL, metavar="NAME/WEIGHTS|DIR", help="of open_clip (default: %(default)s)"
    )
    parser.add_argument(
        "--export-for", nargs=2, metavar=("capevalkit", "DIR"), help="write what another program scores, into a folder"
    )
    parser.add_argument("--tokenizer", default="nltk", help="whose words are compared; for other languages: words")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of the pictures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the resampling (default: %(default)s)")
    group = parser.add_argument_group(
        "what went wrong", "A page for each file of captions; docs/analysis.md explains it."
    )
    group.add_argument("--analysis", type=Path, metavar="FILE.html", help="write it: bins, words, things, confusions")
    group.add_argument("--instances", type=Path, metavar="FILE", help="what is in the pictures: COCO's instances JSON")
    group.add_argument("--things", type=Path, metavar="FILE", help="words for things of your own: `dog: dog, puppy`")
    group.add_argument("--train", type=Path, metavar="FILE", help="the training captions: how rare words are there")
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


def _check_places(options: argparse.Namespace, systems: Sequence[System]) -> None:
    """Refuses, by a ConfigError, to write over what is read."""
    captions = [("a file of captions", Path(file)) for system in systems for file in system.files]
    people = [("a file of --references", file) for file in options.references]
    given = ((f"the file of --{name}", getattr(options, name)) for name in ("instances", "things", "train"))
    inputs = [*captions, *people, *((what, file) for what, file in given if file)]
    several = len(captions) > 1
    labels = [f"{s.name}-{n}" if len(s.files) > 1 else s.name for s in systems for n in range(1, len(s.files) + 1)]
    outputs = [("--output", options.output)] if options.output else []
    if options.analysis:
        outputs += [("--analysis", labelled(options.analysis, label if several else "")) for label in labels]
    check_outputs(outputs, inputs)
    if options.export_for:
        exported = ("predictions.jsonl", "references.jsonl")
        check_folder("--export-for", Path(options.export_for[1]), exported, inputs)


def looks(metric: str) -> bool:
    """Whether a metric, by registered name, needs the pictures."""
    return bool(find("metric", metric, "--metrics").load().looks_at_pictures)


def _metrics(options: argparse.Namespace) -> list[str]:
    names = [*WITHOUT_JAVA, *(name for name in options.metrics.split(",") if name and name not in WITHOUT_JAVA)]
    looking = [name for name in names if looks(name)]
    if looking and not options.images:
        raise UserError(f"--metrics {looking[0]}: it looks at the pictures; say with --images DIR where they lie")
    if options.images and not (looking or options.export_for or options.analysis):
        raise UserError("--images belongs to --analysis FILE.html or --metrics clipscore; add one, or leave it out")
    if looking and not options.images.is_dir():
        raise UserError(f"--images {options.images}: no such folder; give the one that the file names start from")
    return names


def _sources(options: argparse.Namespace) -> "Sources | None":
    """What `--analysis` is made from; None where it is not asked for."""
    others = {name: getattr(options, name) for name in ("instances", "things", "train")}
    if options.analysis is None:
        if given := next((name for name, value in others.items() if value), None):
            raise UserError(f"--{given} belongs to --analysis FILE.html; add that, or leave it out")
        return None
    from showtell.score.analysis import Sources  # here: scoring alone is quicker to start

    sources = Sources(options.analysis, images=options.images, **others)
    sources.check()
    return sources


def main(arguments: list[str]) -> None:
    """The command.

    Raises:
        UserError: an option or a file that cannot be used; one line.
    """
    options = _parser().parse_args(take_plugins(arguments))
    _check(options)
    sources = _sources(options)
    metrics = _metrics(options)
    find("tokenizer", options.tokenizer, "--tokenizer")
    tokenizer = build_tokenizer(options.tokenizer)
    systems = systems_of(options.systems)
    _check_places(options, systems)
    references = [read_references(file, options.split) for file in options.references]
    if sources:
        sources.check_images(references)
    found = judge(
        systems, references, metrics, tokenizer,
        subset=options.subset, resamples=options.resamples, seed=options.seed,
        images=options.images if any(map(looks, metrics)) else None, clip_model=options.clip_model,
    )  # fmt: skip
    print("\n".join(lines(found, tokenizer, options.resamples, options.seed)))
    notes = [*(note for one in references for note in one.notes), *found.notes]
    if sources:
        from showtell.score.analysis import write_analyses

        told, more = write_analyses(found, sources, tokenizer)
        print("\n".join(told))
        notes += more
    for note in dict.fromkeys(notes):
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

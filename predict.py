"""Captions pictures with trained models, scores the captions, and shows them: `python predict.py --help` explains."""

import argparse
import sys

from showtell.config.arguments import Parser
from showtell.config.plugins import take_plugins
from showtell.errors import one_line_errors
from showtell.launching.imports import quick_imports
from showtell.prediction.options import (
    INSTEAD,
    NEEDS,
    add_analysis_flags,
    add_decoding_flags,
    add_picture_flags,
    add_score_flags,
    add_sharing_flags,
    shares,
)

USAGE = """\
predict.py CHECKPOINT [CHECKPOINT ...] PICTURE ... [options]
       predict.py CHECKPOINT [CHECKPOINT ...] --split test [data.KEY=VALUE ...] [options]
       predict.py CHECKPOINT [CHECKPOINT ...] --annotations FILE --images DIR [options]"""
DESCRIPTION = """\
Captions pictures with trained models.

  predict.py runs/demo/STAMP photo.jpg holiday/ 'more/**/*.png'  a line per picture: its name, its caption
  predict.py RUN --split test --beam 5                           scores on the test split of the run's own data
  predict.py RUN --annotations captions_val.json --images DIR --output res.json
                                                                 COCO result file, scores, scores of each picture;
                                                                 without scores where nobody described the pictures
  predict.py CKPT1 CKPT2 ... PICTURES                            an ensemble: word probabilities are averaged
  predict.py CKPT1 CKPT2 ... PICTURES --gallery page.html        side by side on one page; --ensemble adds the average
"""
EPILOG = "Exit status: 0 all went well, 1 some pictures were skipped (named on stderr), 2 nothing could be done."


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(usage=USAGE, description=DESCRIPTION, epilog=EPILOG, needs=NEEDS, instead=INSTEAD)
    parser.add_argument(
        "words",
        nargs="+",
        metavar="CHECKPOINT|PICTURE",
        help="first a run directory (its best checkpoint is taken), a checkpoint (.ckpt) or a pack (.zip), then "
        "further ones, and pictures, folders or glob patterns in quotes",
    )
    add_picture_flags(parser)
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="pictures at a time (%(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="of the decoder; auto: as it was trained, bfloat16 only where this machine computes it fast",
    )
    add_analysis_flags(parser)
    add_score_flags(parser)
    add_sharing_flags(parser)
    add_decoding_flags(parser)
    parser.add_argument("--plugins", metavar="DIR", help="a folder of plugins, or a file; `plugins/` is taken anyway")
    return parser.parse_intermixed_args(take_plugins(sys.argv[1:], __file__))


def main() -> int:
    """Does what the command line says; returns the exit status."""
    options = arguments()
    if shares(options):
        from showtell.sharing.command import share

        return share(options)
    with quick_imports():
        from showtell.prediction.command import predict  # late: --help must not wait for torch
    return predict(options)


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())

"""Captions pictures with trained models, scores the captions, and shows them: `python predict.py --help` explains."""

import argparse
import sys
from pathlib import Path

from showtell.config.arguments import Parser
from showtell.config.plugins import take_plugins
from showtell.errors import one_line_errors
from showtell.imports import quick_imports
from showtell.prediction.options import INSTEAD, NEEDS, add_analysis_flags, add_decoding_flags, add_score_flags

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
        help="first a checkpoint, .ckpt or run directory (its best one is taken), then further checkpoints, "
        "and pictures, folders or glob patterns in quotes",
    )
    parser.add_argument("--recursive", action="store_true", help="take the pictures of folders' sub-folders too")
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="caption and score this split of the data that the (first) run was trained on; data.root=DIR where it "
        "lies elsewhere now, data=NAME for other data",
    )
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="caption the pictures of a captions file")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the pictures of --annotations lie")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write COCO's result format: image_id, caption")
    scores = "write scores, of each picture too (RES.scores.json for RES.json)"
    parser.add_argument("--scores", type=Path, metavar="FILE", help=scores)
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="write one HTML page with pictures and captions")
    parser.add_argument(
        "--gallery-pictures", type=int, default=500, metavar="N", help="most pictures on the page (%(default)s)"
    )
    parser.add_argument("--ensemble", action="store_true", help="with --gallery: show the models' average as well")
    parser.add_argument("--save-pictures", type=Path, metavar="DIR", help="write each picture with its caption on it")
    parser.add_argument("--attention", type=Path, metavar="DIR", help="write where the model looked, word by word")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="pictures at a time (%(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add_analysis_flags(parser)
    add_score_flags(parser)
    add_decoding_flags(parser)
    parser.add_argument("--plugins", metavar="DIR", help="a folder of plugins, or a file; `plugins/` is taken anyway")
    return parser.parse_intermixed_args(take_plugins(sys.argv[1:], __file__))


def main() -> int:
    """Does what the command line says; returns the exit status."""
    options = arguments()
    with quick_imports():
        from showtell.prediction.command import predict  # late: --help must not wait for torch
    return predict(options)


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())

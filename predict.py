"""Captions pictures with a trained model: `python predict.py CHECKPOINT PICTURE_OR_FOLDER_OR_GLOB...`."""

import argparse
import sys
from pathlib import Path

from showtell.command_line import one_line_errors


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Captions pictures with a trained model.")
    parser.add_argument("checkpoint", help="a .ckpt file, or a run directory (its best checkpoint is taken)")
    parser.add_argument("pictures", nargs="+", help="pictures, folders, or glob patterns in quotes")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write COCO's result format: image_id, caption")
    parser.add_argument("--save-pictures", type=Path, metavar="DIR", help="write each picture with its caption on it")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--decoding", nargs="*", default=[], metavar="KEY=VALUE", help="such as method=beam beam_size=5"
    )
    return parser.parse_args()


def main() -> int:
    """Prints a caption per picture; returns 1 when a picture could not be read, 2 for a wrong command line."""
    options = arguments()
    from showtell.prediction import predict  # late: --help must not wait for torch

    return predict(options)


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())

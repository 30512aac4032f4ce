"""Where `predict.py` may write, asked before it captions; and how one file that cannot be written is told."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from showtell.config.outputs import Named, check_folder, check_outputs, labelled, scores_file
from showtell.errors import one_line
from showtell.prediction.inputs import PictureList
from showtell.run import Run


def check_places(
    options: argparse.Namespace, files: Sequence[Path], listed: PictureList, labels: Sequence[str] = ("",)
) -> None:
    """Refuses outputs that are a picture, a checkpoint or another file that is read, or each other.

    Args:
        options: of the command line.
        files: the checkpoints.
        listed: the pictures.
        labels: of the models, which the names of their files tell; the empty one where there is one model.

    Raises:
        ConfigError: one line.
    """
    pictures = [("a picture to caption", picture.path) for picture in listed.pictures]
    given = [("--annotations", options.annotations), ("--instances", options.instances), ("--things", options.things)]
    inputs = [*_of_runs(files), *((f"the file of {option}", path) for option, path in given if path), *pictures]
    outputs = [("--output", options.output), ("--scores", _scores(options, listed)), ("--analysis", options.analysis)]
    written = [(option, labelled(path, label)) for option, path in outputs if path for label in labels]
    check_outputs([*written, *([("--gallery", options.gallery)] if options.gallery else [])], inputs)
    if not (options.save_pictures or options.attention):
        return
    from showtell.prediction.outputs import output_names  # late: captions alone need nothing that draws

    names = [f"{name}.png" for name in output_names([picture.path for picture in listed.pictures])]
    for option, folder in (("--save-pictures", options.save_pictures), ("--attention", options.attention)):
        if folder:
            check_folder(option, folder, names, pictures)


def _of_runs(files: Sequence[Path]) -> Iterator[Named]:
    for file in files:
        yield "the checkpoint", file
        run = Run.of(file)
        for own in (run.best, run.last, run.config_file, run.metrics_file, run.status_file, run.vocabulary_file):
            if own != file and own.is_file():
                yield "a file of the run", own


def _scores(options: argparse.Namespace, listed: PictureList) -> Path | None:
    if options.scores or not (options.output and listed.name):
        return options.scores  # type: ignore[no-any-return]
    return scores_file(options.output)


@contextmanager
def noting(unwritten: list[str]) -> Iterator[None]:
    """A block whose failure to write is a line of this list; what else there is to write goes on."""
    try:
        yield
    except OSError as error:
        unwritten.append(one_line(str(error)))

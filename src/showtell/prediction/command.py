"""What `predict.py` does with its options: caption pictures, score the captions, write files and the gallery."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from showtell.config import ConfigError
from showtell.data.paths import shown
from showtell.prediction.captioner import Captioned
from showtell.prediction.inputs import (
    NamedModel,
    PictureList,
    annotated_pictures,
    load_models,
    plain_pictures,
    split_arguments,
)
from showtell.prediction.options import is_data_setting, named_metrics
from showtell.prediction.places import check_places, noting
from showtell.terminal import Progress

SOME_FAILED = 1


def predict(options: argparse.Namespace) -> int:
    """Captions the pictures that the command line names; 1 when some picture could not be read, else 0.

    Raises:
        UserError: a checkpoint, an annotation file or an option that cannot be used; one line.
        KeyboardInterrupt: it says what is written by then and what is not.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name that a terminal cannot show must not end the rest
    began = time.time()
    try:
        return caption_and_report(options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(what_is_written(options, began)) from None


def what_is_written(options: argparse.Namespace, began: float) -> str:
    """Of the files that are asked for, those that a stop left unwritten, and where finished pictures lie."""
    files = [file for file in (options.output, options.scores, options.gallery, options.analysis) if file]
    folders = [shown(folder) for folder in (options.save_pictures, options.attention) if folder and folder.is_dir()]
    missing = [shown(file) for file in files if not file.is_file() or file.stat().st_mtime < began]
    return "; ".join(
        [
            *([f"not written: {', '.join(missing)}"] if missing else []),
            *([f"pictures finished so far: {', '.join(folders)}"] if folders else []),
        ]
    )


def caption_and_report(options: argparse.Namespace) -> int:
    """As `predict`."""
    files, words = split_arguments(options.words)
    check(options, len(files), words)
    listed = annotated_pictures(options.annotations, options.images) if options.annotations else PictureList([])
    if not options.annotations and not options.split:
        listed = plain_pictures(words, recursive=options.recursive)
        if not listed.pictures and listed.problems:
            raise ConfigError(listed.problems[0])
    check_places(options, files, listed)
    models = load_models(files, options)
    if options.split:
        from showtell.prediction.splits import split_pictures  # late, as below

        listed = split_pictures(options.split, models, words)
    if options.split or len(models) > 1:
        check_places(options, files, listed, [model.label if len(models) > 1 else "" for model in models])
    against = "--scores" if options.scores else "--analysis" if options.analysis else ""
    if against and not any(picture.captions for picture in listed.pictures):
        raise ConfigError(f"{against}: {listed.called} has no captions to score against; leave it out")
    if options.attention:
        refuse_blind(models[0])
    captioned: list[dict[int, Captioned]] = []
    unreadable: dict[int, str] = {}
    unwritten: list[str] = []
    seen: list[list[NDArray[np.float32]]] = []
    for model in models:
        seen.append(_watched(model) if options.analysis else [])
        found, failed = caption_all(model, listed, options, unwritten, named=len(models) > 1)
        captioned.append(found)
        unreadable |= failed
    readable = [picture for picture in listed.pictures if picture.id not in unreadable]
    if listed.name and not readable:
        place = f"--images {options.images}" if options.annotations else f"--split {options.split}"
        first = next(iter(unreadable.values()))
        raise ConfigError(f"{place}: no picture of {listed.called} can be read there; {first}")
    notes = list(listed.notes)
    if readable and (listed.name or options.output or options.gallery):
        from showtell.prediction.reporting import report  # late: captions alone need nothing that scores and draws

        notes += report(list(zip(models, captioned, seen, strict=True)), readable, listed, options, unwritten)
    if listed.name and options.output and unreadable:
        missing = f"{len(unreadable):,} of the {len(listed.pictures):,} pictures are missing in {options.output}"
        notes.append(f"{missing}; an evaluation server wants one caption per picture")
    problems = [*listed.problems, *unreadable.values()]
    for kind, lines in (("note", notes), ("skipped", problems), ("error", unwritten)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    return SOME_FAILED if problems or unwritten else 0


def check(options: argparse.Namespace, checkpoints: int, words: Sequence[str]) -> None:
    """Refuses, by a ConfigError, combinations of options that cannot be meant."""
    folders = [Path(os.path.realpath(folder)) for folder in (options.attention, options.save_pictures) if folder]
    files = (options.output, options.scores, options.gallery, options.analysis)
    written = [file for file in files if file and file.is_dir()]
    blocked = [folder for folder in folders if folder.exists() and not folder.is_dir()]
    one_folder = len(folders) > len(set(folders))
    settings = [word for word in words if is_data_setting(word)]
    others = shown(" ".join(word for word in words if word not in settings))
    listed = options.annotations or options.split
    refusals = (
        (options.annotations and options.split, "--annotations and --split both name pictures; leave one of them out"),
        (settings and not options.split, f"{shown(' '.join(settings))}: belongs to --split train, val or test"),
        (options.annotations and words, f"{others}: with --annotations, pictures come from --images"),
        (options.split and words != settings, f"{others}: with --split, pictures come from the run's own data"),
        (options.annotations and not options.images, "--annotations: say with --images DIR where its pictures lie"),
        (listed and options.recursive, "--recursive is for folders that are named themselves; leave it out"),
        (options.images and not options.annotations, "--images belongs to --annotations FILE; name folders directly"),
        (options.scores and not listed, "--scores: nothing to score against; give --annotations FILE or --split test"),
        (
            options.analysis and not listed,
            "--analysis: nothing to compare; give --annotations FILE or --split val",
        ),
        (
            (options.instances or options.things) and not options.analysis,
            "--instances and --things belong to --analysis FILE.html; add that, or leave them out",
        ),
        (
            options.analysis and options.analysis.suffix.lower() not in (".html", ".htm"),
            f"--analysis {shown(options.analysis)}: name a file that ends in .html",
        ),
        (not listed and not words, "no picture is named; name pictures or folders after the checkpoint"),
        (
            options.metrics and not listed,
            "--metrics: nothing to score against; give --annotations FILE or --split test",
        ),
        (
            options.clip_model and "clipscore" not in named_metrics(options),
            "--clip-model has no effect without --metrics clipscore; add that, or leave it out",
        ),
        (options.attention and checkpoints > 1, "--attention shows where one model looks; name one checkpoint"),
        (written, f"{shown(written[0]) if written else ''}: is a folder; name a file to write"),
        (blocked, f"{shown(blocked[0]) if blocked else ''}: is a file; name a folder to write into"),
        (one_folder, "--attention and --save-pictures would write the same files; name two folders"),
        (options.ensemble and checkpoints == 1, "--ensemble needs several checkpoints, and only one is named"),
        (options.batch_size < 1, f"--batch-size {options.batch_size} is out of range; it must be at least 1"),
        (options.views < 1, f"--views {options.views} is out of range; it must be at least 1"),
        (options.gallery_pictures < 1, f"--gallery-pictures {options.gallery_pictures}: it must be at least 1"),
        (
            options.save_pictures and options.gallery and checkpoints > 1,
            "--save-pictures has room for one caption per picture; leave out --gallery, or name one checkpoint",
        ),
    )
    for wrong, message in refusals:
        if wrong:
            raise ConfigError(message)


def refuse_blind(model: NamedModel) -> None:
    """Refuses, by a ConfigError, `--attention` for a decoder that attends to nothing."""
    if not model.captioner.attends:
        name = model.captioner.configs[0].decoder.name
        raise ConfigError(f"--attention: decoder={name} attends to nothing; train with decoder=attention")


def caption_all(
    model: NamedModel, listed: PictureList, options: argparse.Namespace, unwritten: list[str], *, named: bool
) -> tuple[dict[int, Captioned], dict[int, str]]:
    """One model's captions, and by picture id why some pictures have none; `unwritten` gets what failed to be written.

    Captions of pictures that the command line names are printed as they come, with the model's label if `named`. Where
    no terminal shows these, a progress line is shown, unless all is done in one batch.
    """
    pictures = listed.pictures
    generator = torch.Generator().manual_seed(options.seed or 0)
    workers = min(2, os.cpu_count() or 1) if len(pictures) > 4 * options.batch_size else 0
    paths = [picture.path for picture in pictures]
    looks = model.captioner.looks(model.views, options.seed or 0)
    stream = model.captioner.stream(paths, model.decoding, options.batch_size, workers, generator, looks)
    done, failed = {}, {}
    drawers = _drawers(paths, model, options) if options.save_pictures or options.attention else []
    watched = (bool(listed.name) or not sys.stdout.isatty()) and len(pictures) > options.batch_size
    with Progress(f"captioning with {model.label}", len(pictures), "pictures", shown=watched) as progress:
        for place, (picture, captioned) in enumerate(zip(pictures, stream, strict=True)):
            progress.count()
            if captioned.error is not None:
                failed[picture.id] = captioned.error
                continue
            done[picture.id] = captioned
            if not listed.name:
                said_by = [model.label] if named else []
                print("\t".join([shown(captioned.path), *said_by, *captioned.captions]), flush=True)
            for draw in drawers:
                with noting(unwritten):
                    draw(captioned, place)
    return done, failed


def _drawers(
    paths: Sequence[Path], model: NamedModel, options: argparse.Namespace
) -> list[Callable[[Captioned, int], None]]:
    """What writes pictures of a captioned one, which has that place in the list."""
    from showtell.prediction.outputs import output_names, save_attention, save_picture  # late, as above

    names = [f"{name}.png" for name in output_names(paths)]
    drawers: list[Callable[[Captioned, int], None]] = []
    if folder := options.save_pictures:
        drawers.append(lambda captioned, place: save_picture(captioned, folder / names[place]))
    if shown_in := options.attention:
        drawers.append(lambda captioned, place: save_attention(model.captioner, captioned, shown_in / names[place]))
    return drawers


def _watched(model: NamedModel) -> list[NDArray[np.float32]]:
    """A list that gets the features of what the model captions, for its neighbours."""
    from showtell.prediction.neighbours import watch  # late: captions alone need no feature store

    return watch(model.captioner)

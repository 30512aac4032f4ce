"""What `predict.py` does with its options: caption pictures, score the captions, write files and the gallery."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

import torch

from showtell.config import ConfigError
from showtell.data.annotations import Picture
from showtell.data.paths import shown
from showtell.data.workers import Progress
from showtell.gallery.page import write_gallery
from showtell.prediction.captioner import Captioned
from showtell.prediction.evaluate import Evaluation, evaluate, table, unreferenced
from showtell.prediction.inputs import (
    ModelOutput,
    NamedModel,
    annotated_pictures,
    load_models,
    plain_pictures,
    split_arguments,
)
from showtell.prediction.outputs import (
    gallery_page,
    labelled,
    output_names,
    save_attention,
    save_picture,
    scores_file,
    write_results,
    write_scores,
)

SOME_FAILED = 1


def predict(options: argparse.Namespace) -> int:
    """Captions the pictures that the command line names; 1 when some picture could not be read, else 0.

    Raises:
        UserError: a checkpoint, an annotation file or an option that cannot be used; one line.
    """
    files, words = split_arguments(options.words)
    check(options, len(files), words)
    listed = (
        annotated_pictures(options.annotations, options.images)
        if options.annotations
        else plain_pictures(words, recursive=options.recursive)
    )
    models = load_models(files, options)
    if options.attention:
        refuse_blind(models[0])
    captioned: list[dict[int, Captioned]] = []
    unreadable: dict[int, str] = {}
    for model in models:
        found, failed = caption_all(model, listed.pictures, options, named=len(models) > 1)
        captioned.append(found)
        unreadable |= failed
    readable = [picture for picture in listed.pictures if picture.id not in unreadable]
    if options.annotations and not readable:
        first = next(iter(unreadable.values()))
        raise ConfigError(f"--images {options.images}: no picture of {options.annotations} can be read there; {first}")
    pairs = zip(models, captioned, strict=True) if readable else ()
    outputs = [ModelOutput(model, found, evaluation_of(model, found, readable, options)) for model, found in pairs]
    notes = [*listed.notes, *report(outputs, readable, options)]
    problems = [*listed.problems, *unreadable.values()]
    for kind, lines in (("note", notes), ("skipped", problems)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    return SOME_FAILED if problems else 0


def check(options: argparse.Namespace, checkpoints: int, words: Sequence[str]) -> None:
    """Refuses, by a ConfigError, combinations of options that cannot be meant."""
    folders = [folder.resolve() for folder in (options.attention, options.save_pictures) if folder]
    one_folder = len(folders) > len(set(folders))
    refusals = (
        (options.annotations and words, f"{shown(' '.join(words))}: with --annotations, pictures come from --images"),
        (options.annotations and not options.images, "--annotations: say with --images DIR where its pictures lie"),
        (options.annotations and options.recursive, "--recursive has no effect with --annotations; leave it out"),
        (options.images and not options.annotations, "--images belongs to --annotations FILE; name folders directly"),
        (options.scores and not options.annotations, "--scores: nothing to score against; give --annotations FILE"),
        (not options.annotations and not words, "no picture is named; give some after the checkpoint"),
        (options.attention and checkpoints > 1, "--attention shows where one model looks; name one checkpoint"),
        (one_folder, "--attention and --save-pictures would write the same files; name two folders"),
        (options.ensemble and checkpoints == 1, "--ensemble needs several checkpoints, and only one is named"),
        (options.batch_size < 1, f"--batch-size {options.batch_size} is out of range; it must be at least 1"),
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
    model: NamedModel, pictures: Sequence[Picture], options: argparse.Namespace, *, named: bool
) -> tuple[dict[int, Captioned], dict[int, str]]:
    """One model's captions, and by picture id why some pictures have none.

    Captions of pictures that the command line names are printed as they come, with the model's label if `named`; for
    annotated ones a progress line is.
    """
    generator = torch.Generator().manual_seed(options.seed or 0)
    workers = min(2, os.cpu_count() or 1) if len(pictures) > 4 * options.batch_size else 0
    paths = [picture.path for picture in pictures]
    stream = model.captioner.stream(paths, model.decoding, options.batch_size, workers, generator)
    done, failed = {}, {}
    with Progress(
        f"captioning with {model.label}", len(pictures), "pictures", shown=bool(options.annotations)
    ) as progress:
        for picture, name, captioned in zip(pictures, output_names(paths), stream, strict=True):
            progress.count()
            if captioned.error is not None:
                failed[picture.id] = captioned.error
                continue
            done[picture.id] = captioned
            if not options.annotations:
                said_by = [model.label] if named else []
                print("\t".join([shown(captioned.path), *said_by, *captioned.captions]), flush=True)
            if options.save_pictures:
                save_picture(captioned, options.save_pictures / f"{name}.png")
            if options.attention:
                save_attention(model.captioner, captioned, options.attention / f"{name}.png")
    return done, failed


def report(outputs: Sequence[ModelOutput], pictures: Sequence[Picture], options: argparse.Namespace) -> list[str]:
    """Prints the table of scores, writes the files that are asked for, and returns notes on missing figures."""
    if not outputs:
        return []
    if options.annotations:
        print(table({output.model.label: output.evaluation for output in outputs}))
    for output in outputs:
        label = output.model.label if len(outputs) > 1 else ""
        if options.output:
            results = labelled(options.output, label)
            write_results(output.captioned, pictures, results, annotated=bool(options.annotations))
        if options.annotations and (options.scores or options.output):
            write_scores(output, pictures, labelled(options.scores or scores_file(options.output), label))
    notes = list(dict.fromkeys(note for output in outputs for note in output.evaluation.notes))
    if options.gallery:
        title = f"Captions of {options.annotations.name}" if options.annotations else "Captioned pictures"
        write_gallery(gallery_page(title, outputs, pictures, options.gallery_pictures, notes), options.gallery)
    return notes


def evaluation_of(
    model: NamedModel, captioned: Mapping[int, Captioned], pictures: Sequence[Picture], options: argparse.Namespace
) -> Evaluation:
    """Scores against the annotations; without them only what captions tell by themselves, for the gallery."""
    best, configs = {picture: found.captions[0] for picture, found in captioned.items()}, model.captioner.configs
    if options.annotations:
        return evaluate(best, {picture.id: picture.captions for picture in pictures}, configs)
    return unreferenced(best, configs if options.gallery else [])

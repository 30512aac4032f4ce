"""What `predict.py` tells of captions once all pictures have some: scores, files, the gallery.

Read only where one of these is asked for: who captions a photograph need not wait for what scores and draws.
"""

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from showtell.config.outputs import labelled, scores_file
from showtell.data.annotations import Picture
from showtell.evaluation.metric import CLIP_MODEL
from showtell.evaluation.report import Evaluation, table
from showtell.gallery.page import write_gallery
from showtell.prediction.captioner import Captioned
from showtell.prediction.evaluate import evaluation_of
from showtell.prediction.inputs import ModelOutput, NamedModel, PictureList
from showtell.prediction.options import named_metrics
from showtell.prediction.outputs import gallery_page, write_results, write_scores
from showtell.prediction.places import noting
from showtell.prediction.splits import training_data


def report(
    found: Sequence[tuple[NamedModel, Mapping[int, Captioned], Sequence[NDArray[np.float32]]]],
    pictures: Sequence[Picture],
    listed: PictureList,
    options: argparse.Namespace,
    unwritten: list[str],
) -> list[str]:
    """Prints the table of scores, writes the files that are asked for, and returns notes on missing figures.

    Args:
        found: each model, what it said by picture id, and the features that it saw where they are asked for.
        pictures: those that could be read.
        listed: all.
        options: of the command line.
        unwritten: gets a line for each file that cannot be written.
    """
    outputs = [
        ModelOutput(model, said, _evaluation(model, said, listed, options), np.concatenate(seen) if seen else None)
        for model, said, seen in found
    ]
    if listed.name:
        print(table({output.model.label: output.evaluation for output in outputs}))
    for output in outputs:
        label = output.model.label if len(outputs) > 1 else ""
        if options.output:
            with noting(unwritten):
                results = labelled(options.output, label)
                write_results(output.captioned, pictures, results, annotated=bool(listed.name))
        if output.evaluation.scores and (options.scores or options.output):
            with noting(unwritten):
                write_scores(output, pictures, labelled(options.scores or scores_file(options.output), label))
    notes = list(dict.fromkeys(note for output in outputs for note in output.evaluation.notes))
    if options.analysis:
        with noting(unwritten):
            notes = list(dict.fromkeys([*notes, *_analysed(outputs, pictures, listed, options)]))
    if options.gallery:
        title = f"Captions of {listed.called}" if listed.name else "Captioned pictures"
        with noting(unwritten):
            write_gallery(gallery_page(title, outputs, pictures, options.gallery_pictures, notes), options.gallery)
    return notes


def _analysed(
    outputs: Sequence[ModelOutput], pictures: Sequence[Picture], listed: PictureList, options: argparse.Namespace
) -> list[str]:
    """Writes a page for each model whose captions were scored, and prints what it found; notes."""
    from showtell.prediction.analysis import write_analysis  # late, as above

    notes: list[str] = []
    for output in [one for one in outputs if one.evaluation.scores]:
        label = output.model.label if len(outputs) > 1 else ""
        told, more = write_analysis(output, pictures, listed, options, labelled(options.analysis, label))
        print("\n".join(["", *([f"{label}:"] if label else []), *told]))
        notes += more
    return notes


def _evaluation(
    model: NamedModel, captioned: Mapping[int, Captioned], listed: PictureList, options: argparse.Namespace
) -> Evaluation:
    configs = model.captioner.configs if listed.name or options.gallery else []
    metrics = [*(name for config in configs for name in config.training.metrics), *named_metrics(options)]
    return evaluation_of(
        captioned,
        listed,
        training_data(listed, configs),
        metrics,
        model.captioner.vocabulary.tokenizer,
        options.clip_model or CLIP_MODEL,
    )

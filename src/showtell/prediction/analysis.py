"""`predict.py --analysis FILE.html`: what went wrong in a model's captions."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from showtell.analysis.findings import analyse, lines
from showtell.analysis.material import Material, Neighbours, word_counts
from showtell.analysis.page import write_page
from showtell.analysis.truth import things_of
from showtell.config import DataConfig
from showtell.data.annotations import Picture
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.paths import telling_names
from showtell.errors import UserError
from showtell.prediction.inputs import ModelOutput, PictureList
from showtell.prediction.neighbours import member, neighbours
from showtell.prediction.splits import training_data


def write_analysis(
    output: ModelOutput, pictures: Sequence[Picture], listed: PictureList, options: argparse.Namespace, page: Path
) -> tuple[list[str], list[str]]:
    """Writes the page; returns lines for the terminal, and notes.

    Raises:
        UserError: a file that cannot be used.
    """
    material = _material(output, pictures, listed, options)
    findings = analyse(material)
    notes = [*material.notes, *write_page(findings, page)]
    return [*lines(findings), f"written: {page}"], notes


def _material(
    output: ModelOutput, pictures: Sequence[Picture], listed: PictureList, options: argparse.Namespace
) -> Material:
    evaluation, captioner = output.evaluation, output.model.captioner
    by_id = {picture.id: picture for picture in pictures}
    described = [by_id[picture] for picture in evaluation.pictures]
    paths, tokenizer = [picture.path for picture in described], captioner.vocabulary.tokenizer
    names = {picture.id: picture.path.as_posix() for picture in described}
    things, notes = things_of(names, tokenizer, options.instances or listed.scenes, options.things)
    config = member(captioner).configs[0]
    data = training_data(listed, [config])[0]
    captions = _training_captions(data, Path(config.cache))
    training = near = None
    if isinstance(captions, str):
        notes.append(captions)
    else:
        texts = [text for some in captions.references.values() for text in some]
        training = word_counts(texts, tokenizer)
        found = _neighbours(output, captions, described)
        near = found if isinstance(found, Neighbours) else None
        notes += [found] if isinstance(found, str) else []
    return Material(
        system=output.model.label,
        subject=str(evaluation.subject),
        names=telling_names(paths),
        captions=[output.captioned[picture.id].captions[0] for picture in described],
        references=[picture.captions for picture in described],
        cider=np.array([scores["cider"] for scores in evaluation.pictures.values()]),
        sums=evaluation.sums,
        signature=evaluation.signature,
        tokenizer=tokenizer,
        things=things,
        training=training,
        neighbours=near,
        paths=paths,
        notes=notes,
    )


def _training_captions(data: DataConfig, cache: Path) -> CaptionSet | str:
    """Of the training split, or why they cannot be had."""
    try:
        return load_captions(data, "train", cache)
    except (UserError, OSError) as error:
        return f"rare words are those of the references: the training captions are not at hand ({error})"


def _neighbours(output: ModelOutput, captions: CaptionSet, described: Sequence[Picture]) -> Neighbours | str:
    assert output.features is not None
    rows = {picture: row for row, picture in enumerate(output.captioned)}
    features = output.features[[rows[picture.id] for picture in described]]
    config = member(output.model.captioner).configs[0]
    return neighbours(config, captions, features, [picture.path for picture in described])

"""`--analysis FILE.html`: what went wrong in each file of captions that was scored."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from showtell.analysis.findings import analyse, lines
from showtell.analysis.material import Material, word_counts
from showtell.analysis.page import write_page
from showtell.analysis.truth import things_of
from showtell.config.outputs import labelled
from showtell.data.paths import counted, shown
from showtell.errors import UserError
from showtell.score.files import ReferenceFile, read_references
from showtell.score.judge import Fold, Judgement, ScoredRun
from showtell.text import Tokenizer


@dataclass(frozen=True)
class Sources:
    """What an analysis is made from besides captions and references.

    Attributes:
        page: where it is written; of several systems, names with theirs.
        images: the folder that the references' file names start from.
        instances: what is in the pictures.
        things: words for things.
        train: the training captions.
    """

    page: Path
    images: Path | None = None
    instances: Path | None = None
    things: Path | None = None
    train: Path | None = None

    def check(self) -> None:
        """Refuses, by a UserError, what cannot be used, before captions are scored."""
        if self.page.is_dir() or self.page.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--analysis {shown(self.page)}: name a file that ends in .html")
        if self.images and not self.images.is_dir():
            raise UserError(
                f"--images {shown(self.images)}: no such folder; give the one that the file names start from"
            )

    def check_images(self, references: Sequence[ReferenceFile]) -> None:
        """Refuses, by a UserError, a folder with none of the pictures."""
        names = [name for one in references for name in one.names.values()]
        if self.images and not any((self.images / name).is_file() for name in names):
            raise UserError(
                f"--images {shown(self.images)}: none of the pictures, such as {shown(names[0])}, is there; "
                "give the folder that the file names start from"
            )


def write_analyses(found: Judgement, sources: Sources, tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Writes a page for each file of captions; returns lines for the terminal, and notes.

    Raises:
        UserError: a file that cannot be used.
    """
    training, notes = _training(sources.train, tokenizer)
    told: list[str] = []
    runs = [(name, number, run) for name, some in found.runs.items() for number, run in enumerate(some, start=1)]
    for name, number, run in runs:
        label = name if len(found.runs[name]) == 1 else f"{name}-{number}"
        material = _material(label, run, found.folds[run.fold], sources, training, tokenizer)
        findings = analyse(material)
        page = labelled(sources.page, label if len(runs) > 1 else "")
        notes += [*material.notes, *write_page(findings, page)]
        told += ["", *([f"{label}:"] if len(runs) > 1 else []), *lines(findings), f"written: {page}"]
    return told, notes


def _material(
    label: str, run: ScoredRun, fold: Fold, sources: Sources, training: Counter[str] | None, tokenizer: Tokenizer
) -> Material:
    names = {picture: fold.references.names[picture] for picture in run.scores.pictures}
    things, notes = things_of(names, tokenizer, sources.instances, sources.things)
    return Material(
        system=label,
        subject=f"{fold.references.name}: {counted(fold.pictures, 'picture')}",
        names=list(names.values()),
        captions=[run.matched.captions[picture] for picture in names],
        references=[fold.references.texts[picture] for picture in names],
        cider=np.array([scores["cider"] for scores in run.scores.pictures.values()]),
        sums=run.scores.sums,
        signature=fold.signature,
        tokenizer=tokenizer,
        things=things,
        training=training,
        paths=[sources.images / name for name in names.values()] if sources.images else [],
        notes=notes,
    )


def _training(file: Path | None, tokenizer: Tokenizer) -> tuple[Counter[str] | None, list[str]]:
    """How often each word occurs in the training captions, of their training split where they name splits."""
    if file is None:
        return None, []
    known = read_references(file, "train")
    texts = [text for some in known.texts.values() for text in some]
    return word_counts(texts, tokenizer), known.notes

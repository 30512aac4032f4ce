"""METEOR and SPICE, which exist only as Java programs; where one cannot run, a note says so in one line.

pycocoevalcap (the `java` extra) brings the programs; why its Python wrappers are not called stands in
`docs/decisions/java_metrics.md`. Each program runs once on files, its output is drained, a time limit and the end of
this process end it, and what it needs is looked for beforehand. METEOR wants equally many references per picture, so
the first is repeated; as the best reference counts, that changes nothing (the score equals the wrapper's to the last
digit).
"""

import json
import re
import shutil
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np

from showtell.evaluation.metric import Candidates, Metric, MetricScores, UnavailableError, of_pictures
from showtell.processes import ended_with_us
from showtell.temporaries import temporary_folder

TIMEOUT_SECONDS = 900.0
_SPICE_MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


class _JavaMetric(Metric):
    """A program that is run on the texts of candidates and references."""

    def score(self, candidates: Candidates) -> MetricScores:
        """The score of the corpus.

        Raises:
            UnavailableError: Java or a file is missing, or the program failed.
        """
        if not self.references.tokenizer.is_english:
            name = self.references.tokenizer.of_words.name
            raise UnavailableError(f"it is for English, and vocab.tokenizer={name} is for other languages")
        return self.run([" ".join(words) for words in candidates.tokens], self.references.tokenized)

    @abstractmethod
    def run(self, texts: list[str], truths: list[list[str]]) -> MetricScores:
        """What the program says; errors as `score`."""


def _program_folder(name: str, needed: Sequence[str]) -> Path:
    """The folder of a program inside pycocoevalcap, once Java and all the files it needs are there."""
    if not shutil.which("java"):
        raise UnavailableError("there is no `java` on the PATH; install a Java runtime")
    package = find_spec("pycocoevalcap")
    if not package or not package.submodule_search_locations:
        raise UnavailableError("pycocoevalcap is not installed; `pip install '.[java]'` brings it")
    folder = Path(next(iter(package.submodule_search_locations)), name)
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} not found in pycocoevalcap/{name}; put the file(s) there")
    return folder


def _run_java(options: Sequence[str], folder: Path) -> str:
    try:
        # run() reads both pipes to their ends, and kills the program on a timeout or an interrupt
        done = subprocess.run(
            ended_with_us(["java", *options]),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"it took longer than {TIMEOUT_SECONDS:g} s") from None
    except OSError as error:
        raise UnavailableError(f"java did not start ({error.strerror})") from None
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UnavailableError(f"java ended with code {done.returncode}: {complaint[0][:200]}")
    return done.stdout.decode(errors="replace")


class Meteor(_JavaMetric):
    """METEOR 1.5."""

    names = MappingProxyType({"meteor": "METEOR"})

    def run(self, texts: list[str], truths: list[list[str]]) -> MetricScores:
        """See `_JavaMetric`."""
        folder = _program_folder("meteor", ["meteor-1.5.jar", "data/paraphrase-en.gz"])
        most = max(map(len, truths))
        padded = [(some + [some[0]] * most)[:most] for some in truths]
        with temporary_folder() as place:
            ours, theirs = place / "candidates.txt", place / "references.txt"
            ours.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
            theirs.write_text("".join(f"{text}\n" for some in padded for text in some), encoding="utf-8")
            options = ["-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", "meteor-1.5.jar", str(ours), str(theirs)]
            output = _run_java([*options, "-l", "en", "-norm", "-r", str(most)], folder)
        final = re.search(r"^Final score:\s+(\S+)$", output, re.MULTILINE)
        if not final:
            raise UnavailableError("the program ended without a score")
        return MetricScores({"meteor": float(final[1])}, {})


class Spice(_JavaMetric):
    """SPICE 1.0."""

    names = MappingProxyType({"spice": "SPICE"})

    def run(self, texts: list[str], truths: list[list[str]]) -> MetricScores:
        """See `_JavaMetric`."""
        folder = _program_folder("spice", ["spice-1.0.jar", *(f"lib/{name}" for name in _SPICE_MODELS)])
        pairs = enumerate(zip(texts, truths, strict=True))
        items = [{"image_id": place, "test": text, "refs": truth} for place, (text, truth) in pairs]
        with temporary_folder() as place:
            source, result = place / "in.json", place / "out.json"
            source.write_text(json.dumps(items), encoding="utf-8")
            options = ["-Xmx8G", "-jar", "spice-1.0.jar", str(source), "-out", str(result), "-subset", "-silent"]
            _run_java(options, folder)
            try:
                scores = [float(item["scores"]["All"]["f"]) for item in json.loads(result.read_text(encoding="utf-8"))]
            except (OSError, ValueError, KeyError, TypeError):
                raise UnavailableError("the program ended without scores; SPICE 1.0 was made for Java 8") from None
        return of_pictures("spice", np.array(scores))

"""Pretrained word vectors from a text file in GloVe's format (Pennington et al. 2014).

A line holds a word and its numbers. word2vec's text format, which begins with a line of two counts, is read as well.
Words of the vocabulary that the file does not hold keep their random vectors. What is wrong with a file is told in one
line that names it.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from showtell.config import ConfigError
from showtell.text import SPECIAL_TOKENS, Vocabulary


class WordVectorsError(ConfigError):
    """A file of word vectors that cannot be used; one line."""


def read_word_vectors(path: Path, vocabulary: Vocabulary, size: int) -> dict[int, Tensor]:
    """The vectors of the vocabulary's words, each of `size` numbers, by token.

    Raises:
        WordVectorsError: no such file, a line that is no vector, another size, or not one word of the vocabulary.
    """
    if not path.is_file():
        raise WordVectorsError(f"decoder.word_vectors={path}: no such file; give a file in GloVe's text format")
    tokens = {word: token for token, word in enumerate(vocabulary.words) if word not in SPECIAL_TOKENS}
    found: dict[int, Tensor] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            fields = line.rstrip().split(" ")
            if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                continue
            # GloVe's largest file holds words with spaces in them, so the numbers are counted from the end
            word = " ".join(fields[:-size])
            if not word or (number == 1 and _is_number(fields[-size - 1])):
                raise WordVectorsError(
                    f"{path}:{number}: {len(fields) - 1} numbers in a line, but decoder.embedding_size={size}; "
                    "make them equal"
                )
            if word in tokens:
                found[tokens[word]] = _vector(path, number, fields[-size:])
    if not found:
        raise WordVectorsError(f"{path}: holds no word of the vocabulary; is it a file in GloVe's text format?")
    return found


def _vector(path: Path, number: int, fields: list[str]) -> Tensor:
    try:
        values = np.array(fields, dtype=np.float32)
    except ValueError:
        raise WordVectorsError(f"{path}:{number}: a vector must be made of numbers; mend or remove the line") from None
    if not np.isfinite(values).all():
        raise WordVectorsError(f"{path}:{number}: a number is not finite; mend or remove the line")
    return torch.from_numpy(values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@torch.no_grad()
def load_word_vectors(embedding: Tensor, path: Path, vocabulary: Vocabulary) -> int:
    """Writes a file's vectors into a matrix `(V, E)`, scaled to the matrix's own mean length; returns how many."""
    found = read_word_vectors(path, vocabulary, embedding.shape[1])
    tokens, vectors = torch.tensor(list(found)), torch.stack(list(found.values()))
    scale = embedding.norm(dim=1).mean() / vectors.norm(dim=1).mean().clamp_min(1e-6)
    embedding[tokens] = vectors * scale
    return len(found)


def word_matrix(decoder: nn.Module) -> Tensor:
    """The matrix of a decoder's input words, `(V, E)`.

    Raises:
        ConfigError: the decoder has no such part.
    """
    embedding = getattr(decoder, "word_embedding", None)
    if not isinstance(embedding, nn.Embedding):
        raise ConfigError(
            f"decoder.word_vectors: {type(decoder).__name__} has no submodule `word_embedding`; leave the setting out"
        )
    return embedding.weight

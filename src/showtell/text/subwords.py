"""Tokenizers that cut words further, by the tokenizers library: byte-pair encoding, and those of language models.

`bpe` (Sennrich et al. 2016, arXiv 1508.07909) is trained on the training captions: from letters on, the pair of pieces
that is most frequent becomes a piece, until there are `vocab.size` tokens. So no word is unknown. A piece that goes on
with a word starts with `##`, as WordPiece writes it. What `vocab.pretokenizer` calls words are cut, and scored.

What was trained or pretrained is the library's JSON, which a checkpoint keeps; reading it runs no code.
"""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import chain, repeat
from typing import Any

from showtell.config.registry import find
from showtell.config.sections import VocabConfig
from showtell.errors import ConfigError
from showtell.files import short_hash
from showtell.text.tokenizers import NLTK, Tokenizer, build_tokenizer

SPECIAL_TOKENS = ("<start>", "<end>", "<unk>")
GOES_ON = "##"


def tokenizer_of(vocab: VocabConfig, content: str = "") -> Tokenizer:
    """The tokenizer of a configuration.

    Args:
        vocab: its section.
        content: what a checkpoint keeps of a trained or pretrained one. Without, `bpe` is still to be trained.
    """
    if find("tokenizer", vocab.tokenizer).load() is BytePairs:
        return BytePairs(build_tokenizer(vocab.pretokenizer), content)
    words = build_tokenizer(vocab.tokenizer)
    return Pretrained(words, content) if content else words


class Subwords(Tokenizer):
    """A tokenizer of the library.

    Args:
        words: cuts a caption into what people call words.
        content: the library's JSON; empty: words stay whole.
    """

    def __init__(self, words: Tokenizer = NLTK, content: str = "") -> None:
        self.words = words
        self.content = content
        self.is_english = words.is_english

    @property
    def of_words(self) -> Tokenizer:
        """What scores compare."""
        return self.words

    @property
    def key(self) -> str:
        """Of the words' tokenizer until there is more."""
        own = f"{self.name} {version('tokenizers')} {short_hash([self.content])} "
        return (own if self.content else "") + self.words.key

    @cached_property
    def library(self) -> Any:
        """The library's object.

        Raises:
            ConfigError: the library is not installed, or what a checkpoint keeps is not its.
        """
        try:
            return _library().Tokenizer.from_str(self.content)
        except ConfigError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise ConfigError(
                f"vocab.tokenizer={self.name}: what is kept of it cannot be read ({str(error)[:100]}); "
                "pass a checkpoint that a run wrote"
            ) from None

    def kept(self, counts: Counter[str], threshold: int) -> list[str]:
        """All tokens, in the library's order."""
        numbers: dict[str, int] = self.library.get_vocab(with_added_tokens=True)
        return [token for token in sorted(numbers, key=lambda one: numbers[one]) if token not in SPECIAL_TOKENS]


class BytePairs(Subwords):
    """Pieces of words, by byte-pair encoding."""

    name = "bpe"

    def __init__(self, words: Tokenizer = NLTK, content: str = "") -> None:
        super().__init__(words, content)
        self._cut: dict[str, list[str]] = {}

    def trained(self, counts: Counter[str], size: int, threshold: int) -> "BytePairs":
        """Learns pieces from words.

        Args:
            counts: how often each occurs.
            size: so many tokens, special ones included.
            threshold: so often a pair must occur to become a piece.

        Raises:
            ConfigError: letters alone are more, or the library is not installed.
        """
        library = _library()
        model = library.Tokenizer(library.models.BPE(unk_token="<unk>", continuing_subword_prefix=GOES_ON))
        words = {word: _without_mark(word) for word in sorted(counts)}
        # numbered here: the library numbers letters by chance, and decides by number between pairs of one frequency
        letters = {word[0] for word in words.values()} | {GOES_ON + one for word in words.values() for one in word[1:]}
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, min_frequency=threshold, special_tokens=[*SPECIAL_TOKENS, *sorted(letters)],
            continuing_subword_prefix=GOES_ON, show_progress=False,
        )  # fmt: skip
        said = chain.from_iterable(repeat(text, counts[word]) for word, text in words.items())
        model.train_from_iterator(said, trainer)
        if (needed := model.get_vocab_size()) > size:
            raise ConfigError(
                f"vocab.size={size} is too small: the letters of the training captions alone are {needed} tokens, at "
                f"the beginning of a word and within; give {2 * needed}, say"
            )
        return BytePairs(self.words, model.to_str())

    def split(self, caption: str) -> list[str]:
        """See `Tokenizer`; a letter that the training captions do not have is `<unk>`."""
        words = self.words.split(caption)
        return [piece for word in words for piece in self._pieces_of(_without_mark(word))] if self.content else words

    def shortened(self, tokens: Sequence[str], most: int) -> Sequence[str]:
        """Up to so many whole words."""
        begins = [place for place, piece in enumerate(tokens) if not piece.startswith(GOES_ON)]
        return tokens[: begins[most]] if len(begins) > most else tokens

    def touch(self, left: str, right: str) -> bool:
        """No blank within a word."""
        return right.startswith(GOES_ON) or self.words.touch(left.removeprefix(GOES_ON), right)

    def pieces(self, words: Sequence[str]) -> list[str]:
        """See `Tokenizer`; blanks stand between words alone."""
        parts = list[list[str]]()
        for piece in words:
            if piece.startswith(GOES_ON) and parts:
                parts[-1].append(piece.removeprefix(GOES_ON))
            else:
                parts.append([piece.removeprefix(GOES_ON)])
        shown = list[str]()
        whole = ["".join(one) for one in parts]
        for word, text, (first, *rest) in zip(whole, self.words.pieces(whole), parts, strict=True):
            blank = text[: len(text) - len(word)]
            # a quotation mark is shown by another sign than nltk cuts
            shown += [blank + first, *rest] if text == blank + word else [text, *[""] * len(rest)]
        return shown

    def _pieces_of(self, word: str) -> list[str]:
        if word not in self._cut:
            self._cut[word] = [token.value for token in self.library.model.tokenize(word)]
        return self._cut[word]


class Pretrained(Subwords):
    """The tokenizer that a language model was trained with; it cuts the caption as it was written."""

    name = "pretrained"

    @property
    def numbers(self) -> list[int]:
        """The language model's own number of each of the `kept` tokens."""
        known: dict[str, int] = self.library.get_vocab(with_added_tokens=True)
        return [known[token] for token in self.kept(Counter(), 0)]

    @property
    def marks(self) -> set[int]:
        """Numbers of tokens that are no text: ends, padding and the like."""
        return {number for number, token in self.library.get_added_tokens_decoder().items() if token.special}

    def split(self, caption: str) -> list[str]:
        """See `Tokenizer`."""
        tokens: list[str] = self.library.encode(caption, add_special_tokens=False).tokens
        return tokens

    def pieces(self, words: Sequence[str]) -> list[str]:
        """See `Tokenizer`; letters of several tokens count to the last of them."""
        shown, before = list[str](), ""
        for count in range(1, len(words) + 1):
            text = self.join(words[:count]).rstrip("\ufffd")
            shown.append(text.removeprefix(before))
            before = text
        return shown

    def join(self, words: Sequence[str]) -> str:
        """As the model's own decoder does."""
        decoder = self.library.decoder
        text: str = decoder.decode(list(words)) if decoder is not None else " ".join(words)
        return text.strip()


def _without_mark(word: str) -> str:
    return "#" if word.startswith(GOES_ON) else word


def _library() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not outlive the fork of a data worker
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.trainers
    except ModuleNotFoundError:
        raise ConfigError("vocab.tokenizer: the tokenizers library is not installed; pip install '.[bpe]'") from None
    return tokenizers

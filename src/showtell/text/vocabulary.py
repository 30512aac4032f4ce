"""The vocabulary: which tokens of the training captions a decoder knows, and their numbers.

Words that the training captions hold fewer than `threshold` times become `<unk>`, and three special tokens come first.
The order is a pure function of the counts: most frequent first, ties by the alphabet.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from showtell.text.subwords import SPECIAL_TOKENS
from showtell.text.tokenizers import NLTK, Tokenizer, letters_without_blanks

START, END, UNK = 0, 1, 2
MOST_UNKNOWN = 0.5
"""A vocabulary that more words than this share of the training captions' fall out of is refused."""
_LONG_WORD = 6  # letters; no language that is written without blanks has words of so many letters on average
_GOOD_SHARE = 0.05  # of unknown words, at a threshold that is proposed


class Vocabulary:
    """A list of words that starts with the special tokens; a token is a position in it.

    Args:
        words: in order, the special tokens first.
        tokenizer: what cut captions into them, and joins them.
    """

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer = NLTK) -> None:
        if tuple(words[:3]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary starts with {' '.join(SPECIAL_TOKENS)}, this one with {list(words[:3])}")
        self.words = list(words)
        self.tokenizer = tokenizer
        self._tokens = {word: token for token, word in enumerate(self.words)}
        if len(self._tokens) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"the vocabulary holds the word {twice!r} twice; remove one")

    @classmethod
    def from_counts(cls, counts: Counter[str], threshold: int, tokenizer: Tokenizer = NLTK) -> "Vocabulary":
        """Keeps the words that were counted at least `threshold` times; of pieces of words, all."""
        kept = [word for word in tokenizer.kept(counts, threshold) if word not in SPECIAL_TOKENS]
        return cls([*SPECIAL_TOKENS, *kept], tokenizer)

    def __len__(self) -> int:
        return len(self.words)

    def unknown_share(self, counts: Counter[str]) -> float:
        """The share of the counted words that become `<unk>`."""
        return sum(count for word, count in counts.items() if word not in self._tokens) / (counts.total() or 1)

    def look_up(self, words: Iterable[str]) -> list[int]:
        """The tokens of words; unknown words become `<unk>`."""
        return [self._tokens.get(word, UNK) for word in words]

    def encode(self, words: Iterable[str]) -> list[int]:
        """The tokens of a caption's words, `<end>` last."""
        return [*self.look_up(words), END]

    def decode(self, tokens: Iterable[int]) -> str:
        """The caption that the tokens spell, as text, up to the first `<end>`; special tokens are left out."""
        words = []
        for token in tokens:
            if token == END:
                break
            if token > UNK:
                words.append(self.words[token])
        return self.tokenizer.join(words)


def unknown_share(counts: Counter[str], threshold: int) -> float:
    """The share of the counted words that would become `<unk>`."""
    return sum(count for count in counts.values() if count < threshold) / (counts.total() or 1)


def vocabulary_fault(counts: Counter[str], threshold: int, tokenizer: Tokenizer) -> str | None:
    """Why nothing could be learnt with the vocabulary of these training words, and what to do; None if it could."""
    share = unknown_share(counts, threshold)
    by = f"vocab.tokenizer={tokenizer.name}"
    if word := _sentence_as_word(counts):
        return (
            f"{by} cuts words at blanks, and the training captions have none: {word!r} is one word; "
            "use vocab.tokenizer=characters, or put blanks between the words"
        )
    if share <= MOST_UNKNOWN:
        return None
    kept = sum(count >= threshold for count in counts.values())
    lower = _better_threshold(counts, threshold)
    return (
        f"vocab.threshold={threshold} keeps {kept:,} of {len(counts):,} words, and {share:.0%} of what the training "
        f"captions say would become <unk>; use vocab.threshold={lower} ({unknown_share(counts, lower):.1%} would)"
    )


def _better_threshold(counts: Counter[str], threshold: int) -> int:
    """The largest lower one at which few words are unknown."""
    lower = (one for one in (10, 8, 6, 5, 4, 3, 2) if one < threshold)
    return next((one for one in lower if unknown_share(counts, one) <= _GOOD_SHARE), 1)


def _sentence_as_word(counts: Counter[str]) -> str | None:
    """A word that is a sentence, where most words are: the captions' script has no blanks between words."""
    letters = {word: count for word in counts if (count := letters_without_blanks(word))}
    occurrences = sum(counts[word] for word in letters)
    if not occurrences or 2 * occurrences <= sum(count for word, count in counts.items() if word[:1].isalnum()):
        return None
    mean = sum(counts[word] * count for word, count in letters.items()) / occurrences
    return max(letters, key=lambda word: (counts[word], word)) if mean >= _LONG_WORD else None

"""Penn Treebank tokens of a caption, without Java.

The published caption scores are computed on the tokens of Stanford's PTBTokenizer (Java), lower-cased, with
punctuation removed. nltk's word tokenizer is its close relative; the rules below close the gaps that were
found by comparing both on the 25,014 captions of COCO val2017: dots after abbreviations, dots inside a
caption, hyphens at a word's end, brackets. `benchmarks/metrics_agreement.py` lists the captions
that still differ (2), and what that does to the scores. Both concern a dot after a single letter. There Java
looks at the word that follows, even if that begins the next caption, so its tokens depend on the caption's
neighbour. Here a caption's tokens are its own.

Captions are nearly all plain: letters, spaces, commas and a last full stop. Splitting these at spaces gives the same
tokens (a test compares both ways), so they take the short way and the rest the exact one.
"""

import re
from unicodedata import category

from nltk.tokenize.destructive import NLTKWordTokenizer

from showtell.text import Tokenizer

# coco-caption's list of what is removed; it names brackets in upper case, so lower-cased ones stay
PUNCTUATION = frozenset(["", "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
# words that keep their dot wherever they stand; found by asking Java about 7,200 words, single letters apart
_ABBREVIATIONS = (
    "adm al ala apr ariz assoc atty aug ave bancorp bldg blvd brig bros calif capt cf cmdr co col colo "
    "comdr conn corp cos cpl ct dak dec dept det dr drs esq est etc ext feb fla fri ft ga gen gov hon "
    "inc ind jan jr jul jun kan kans ky lieut lt ltd maj mar md messrs mich minn mo mon mont mr mrs ms "
    "mt neb nev nov oct okla penn pfc ph plc pres prof profs pvt rd rep rev sen sep sept sgt spc sq sr "
    "st ste supt tel tenn thu thurs tue tues univ va vs vt wed wis wisc wyo"
)
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
# the words without an apostrophe that the Treebank cuts in two
CONTRACTIONS = frozenset(["cannot", "gimme", "gonna", "gotta", "lemme", "wanna"])

# typographic signs that Java replaces by their typewriter forms
_TYPEWRITER = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": " -- ",
        "\N{EM DASH}": " -- ",
        "\N{HORIZONTAL ELLIPSIS}": " ... ",
    }
)

_PLAIN = re.compile(r"[a-z ,]*+\.?[ \n]*+")
_DOTS_AND_HYPHENS = re.compile(r"[.-]+")
_INITIALS = re.compile(r"[a-z](?:\.[a-z])*")
_CLOCK = re.compile(r"(\d+:\d\d)([ap]m)")
_nltk = NLTKWordTokenizer()


def ptb_tokens(caption: str) -> list[str]:
    """The lower-case Penn Treebank tokens of one caption, without punctuation.

    Source: Stanford's PTBTokenizer 3.4.1 as coco-caption calls it (`-preserveLines -lowerCase`).
    """
    text = caption.lower()
    if not _PLAIN.fullmatch(text) or text.count(",") != text.count(", "):
        return exact_ptb_tokens(text)
    words = text.replace(",", "").split()
    if words and words[-1][-1] == ".":
        words[-1] = _without_full_stop(words[-1], final=True)
        if not words[-1]:
            words.pop()
    return words if CONTRACTIONS.isdisjoint(words) else exact_ptb_tokens(text)


def scored_tokens(caption: str, tokenizer: Tokenizer) -> list[str]:
    """What metrics compare of a caption: Penn Treebank tokens of English, else the tokenizer's without punctuation."""
    tokenizer = tokenizer.of_words
    if tokenizer.is_english:
        return ptb_tokens(caption)
    return [word for word in tokenizer.split(caption) if not all(category(sign).startswith("P") for sign in word)]


def exact_ptb_tokens(caption: str) -> list[str]:
    """What `ptb_tokens` gives, always by way of nltk's tokenizer: slow, and the measure of the short way."""
    chunks = caption.lower().translate(_TYPEWRITER).split()
    chunks = [_java_chunk(chunk, final=place == len(chunks)) for place, chunk in enumerate(chunks, start=1)]
    # nltk takes the dot at the very end for a full stop: give it one, so that an abbreviation keeps its own
    words = map(_without_full_stop, _nltk.tokenize(" ".join([*chunks, "."])))
    return [BRACKETS.get(word, word) for word in words if word not in PUNCTUATION]


def _java_chunk(chunk: str, final: bool) -> str:
    """What stands between two spaces, with the dots, hyphens and slashes at its ends treated as by Java."""
    chunk = _without_full_stop(chunk, final)
    if _DOTS_AND_HYPHENS.fullmatch(chunk):
        return ""
    if chunk.startswith(".") and not chunk[1].isdigit():
        chunk = chunk.lstrip(".")
    if chunk.endswith("/"):
        chunk = chunk[:-1] + " /"
    return _CLOCK.sub(r"\1 \2", chunk.rstrip("-"))


def _without_full_stop(word: str, final: bool = False) -> str:
    """The word without the dot at its end, unless an abbreviation or an inner initial owns the dot."""
    if not word.endswith("."):
        return word
    bare = word.rstrip(".")
    if bare in ABBREVIATIONS or (_INITIALS.fullmatch(bare) and not (final and len(bare) == 1)):
        return bare + "."
    return bare

"""Words and their numbers: the one thing that the data side and the model side share besides the configuration."""

from showtell.config.registry import declare
from showtell.text.subwords import SPECIAL_TOKENS, tokenizer_of
from showtell.text.tokenizers import NLTK, Tokenizer, build_tokenizer
from showtell.text.vocabulary import END, START, UNK, Vocabulary

__all__ = [
    "END",
    "NLTK",
    "SPECIAL_TOKENS",
    "START",
    "UNK",
    "Tokenizer",
    "Vocabulary",
    "build_tokenizer",
    "tokenizer_of",
]

declare("tokenizer", None, "showtell.text.tokenizers:NltkTokenizer", "nltk")
declare("tokenizer", None, "showtell.text.tokenizers:WordTokenizer", "words")
declare("tokenizer", None, "showtell.text.tokenizers:CharacterTokenizer", "characters")
declare("tokenizer", None, "showtell.text.subwords:BytePairs", "bpe")

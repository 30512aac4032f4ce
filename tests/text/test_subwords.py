"""Byte-pair encoding: learnt from the training captions, the same in every process, joined back to the text."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from showtell.config.sections import VocabConfig
from showtell.errors import ConfigError
from showtell.text import Vocabulary, build_tokenizer, tokenizer_of
from showtell.text.subwords import BytePairs, Pretrained

CAPTIONS = (
    "a dog runs", "two dogs are running",
    "the runner's dog isn't running", 'a sign says "stop", he stops', "10 # ## dogs",
    "un chien court", "ein Läufer läuft über die Straße", "a man who ran, running", "the dog; the dogs: a runner!",
)  # fmt: skip


def counts(tokenizer) -> Counter[str]:
    return Counter(word for text in CAPTIONS for word in tokenizer.split(text))


def learnt(words: str = "nltk", size: int = 150) -> BytePairs:
    found = tokenizer_of(VocabConfig(tokenizer="bpe", pretokenizer=words))
    assert isinstance(found, BytePairs)
    return found.trained(counts(found), size, 2)


@pytest.mark.parametrize("words", ["nltk", "words", "characters"])
def test_pieces_join_to_what_the_words_join_to(words: str) -> None:
    bpe, plain = learnt(words), build_tokenizer(words)
    assert any(piece.startswith("##") for text in CAPTIONS for piece in bpe.split(text))
    for text in CAPTIONS:
        pieces = bpe.split(text)
        assert bpe.join(pieces) == plain.join([word.replace("##", "#") for word in plain.split(text)])
        assert bpe.split(bpe.join(pieces)) == bpe.split(plain.join(plain.split(text)))
        assert "".join(bpe.pieces(pieces)) == bpe.join(pieces)


def test_no_word_is_unknown_but_a_strange_letter() -> None:
    bpe = learnt()
    vocabulary = Vocabulary.from_counts(
        counts(bpe), 1000, bpe
    )  # the threshold is about pairs, which are learnt already
    assert len(vocabulary) == len(set(vocabulary.words)) <= 150
    assert "<unk>" not in bpe.split("dogrunner") and len(bpe.split("dogrunner")) > 1
    assert bpe.split("дog")[0] == "<unk>"
    tokens = vocabulary.encode(bpe.split("Two runners, running"))
    assert vocabulary.decode(tokens) == "two runners, running"


def test_a_checkpoint_s_content_is_the_same_tokenizer() -> None:
    bpe = learnt()
    again = tokenizer_of(VocabConfig(tokenizer="bpe"), bpe.content)
    assert again.key == bpe.key != tokenizer_of(VocabConfig(tokenizer="bpe")).key
    assert [again.split(text) for text in CAPTIONS] == [bpe.split(text) for text in CAPTIONS]


def test_it_is_the_same_in_every_process() -> None:
    code = "from tests.text.test_subwords import learnt; print(learnt().key)"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert keys == {learnt().key + "\n"}


def test_what_is_cut_are_words() -> None:
    bpe = learnt()
    pieces = bpe.split("the dogrunners are running")
    assert bpe.join(bpe.shortened(pieces, 2)) == "the dogrunners" and bpe.shortened(pieces, 4) == pieces


def test_too_small_a_size_and_broken_contents_are_one_line() -> None:
    bpe = tokenizer_of(VocabConfig(tokenizer="bpe"))
    with pytest.raises(ConfigError, match=r"vocab.size=5 is too small: .* give \d+, say"):
        bpe.trained(counts(bpe), 5, 2)
    with pytest.raises(ConfigError, match="what is kept of it cannot be read"):
        tokenizer_of(VocabConfig(tokenizer="bpe"), '{"model": 1}').split("a dog")


def test_a_language_model_s_tokens_are_shown_as_letters() -> None:
    """Byte-level ones, as GPT-2's: a letter of two bytes can be two tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(["A dog"], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    pretrained = Pretrained(content=library.to_str())
    tokens = pretrained.split("A dog über")
    assert pretrained.join(tokens) == "A dog über" and len(tokens) > 5
    shown = pretrained.pieces(tokens)
    assert "".join(shown) == "A dog über" and "" in shown
    assert pretrained.of_words.name == "nltk" and pretrained.is_english

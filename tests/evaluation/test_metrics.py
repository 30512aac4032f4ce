import math
import random

import numpy as np
import pytest

from showtell.config import registry
from showtell.evaluation.metric import Metric, of_pictures
from showtell.evaluation.metrics import CandidateError, ReferenceCorpus, score_captions

KEYS = ["bleu1", "bleu2", "bleu3", "bleu4", "cider", "cider_d", "rouge_l"]
TEXT = "man woman dog cat red blue big small on in with near the a hat ball street grass rides holds"
WORDS = TEXT.split()


def random_captions(seed, pictures=60):
    """Captions of few words, so that many n-grams are shared; some candidates hold unknown words."""
    rng = random.Random(seed)

    def caption(shortest):
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(shortest, 14)))

    references = {picture: [caption(1) for _ in range(rng.randint(1, 6))] for picture in range(pictures)}
    candidates = {picture: caption(0) + rng.choice(["", " zebra zebra"]) for picture in range(pictures)}
    return candidates, references


def test_perfect_captions():
    references = {1: ["a dog runs on grass"], 2: ["two red birds in trees"]}
    scores = score_captions({1: "A dog runs on grass.", 2: "two red birds in trees"}, references)
    assert scores.corpus == pytest.approx(
        {"bleu1": 1, "bleu2": 1, "bleu3": 1, "bleu4": 1, "rouge_l": 1, "cider": 10, "cider_d": 10}
    )
    assert scores.pictures[1] == pytest.approx({"cider": 10, "bleu4": 1, "rouge_l": 1})


def test_bleu_by_hand():
    # 3 of 4 words and 1 of 3 pairs match; the closest reference has 5 words
    scores = score_captions({7: "a dog dog runs"}, {7: ["a brown dog runs fast", "the dog"]}).corpus
    penalty = math.exp(1 - 5 / 4)
    assert scores["bleu1"] == pytest.approx(3 / 4 * penalty)
    assert scores["bleu2"] == pytest.approx(math.sqrt(3 / 4 * 1 / 3) * penalty)


def test_cider_by_hand():
    # the common "a" weighs log(2/2) = 0; "dog" (log 2) is all that candidate and reference 1 share
    references = {1: ["a dog", "a cat"], 2: ["a tree"]}
    scores = score_captions({1: "a dog", 2: "a bird"}, references)
    # unigrams: cosine 1 and 0 over two references; bigrams likewise; no longer n-grams
    assert scores.pictures[1]["cider"] == pytest.approx(10 * (1 / 2 + 1 / 2) / 4)
    assert scores.pictures[2]["cider"] == 0


def test_length_difference_lowers_cider():
    references = {1: ["red dog"], 2: ["tree"]}
    scores = score_captions({1: "red dog tree tree tree", 2: "tree"}, references)
    unigram, bigram = 2 / math.sqrt(2 * (2 + 9)), 1 / math.sqrt(1 * (1 + 1 + 4))
    penalty = math.exp(-(3**2) / (2 * 6**2))
    assert scores.pictures[1]["cider"] == pytest.approx(10 * penalty * (unigram + bigram) / 4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_those_of_pycocoevalcap(seed):
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu")
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
    candidates, references = random_captions(seed)
    ours = score_captions(candidates, references)
    theirs = references, {picture: [caption] for picture, caption in candidates.items()}

    corpus, pictures = bleu.Bleu(4).compute_score(*theirs, verbose=0)
    assert [ours.corpus[f"bleu{n}"] for n in (1, 2, 3, 4)] == pytest.approx(corpus, abs=1e-8)
    assert [row["bleu4"] for row in ours.pictures.values()] == pytest.approx(pictures[3], abs=1e-8)
    for key, scorer in (("cider", cider.Cider()), ("rouge_l", rouge.Rouge())):
        corpus, pictures = scorer.compute_score(*theirs)
        assert ours.corpus[key] == pytest.approx(float(corpus), abs=1e-8)
        assert [row[key] for row in ours.pictures.values()] == pytest.approx(pictures.tolist(), abs=1e-8)


@pytest.mark.parametrize("caption", ["", " ", ".", "zebra"])
def test_an_empty_or_foreign_caption_scores_zero(caption):
    scores = score_captions({1: caption, 2: "a cat"}, {1: ["a dog runs"], 2: ["a cat"]})
    assert scores.pictures[1] == pytest.approx({"cider": 0, "bleu4": 0, "rouge_l": 0}, abs=1e-3)
    assert all(math.isfinite(value) for value in scores.corpus.values())


def test_all_captions_empty():
    assert sorted(score_captions({1: "", 2: ""}, {1: ["a dog"], 2: ["."]}).corpus.items()) == [(k, 0.0) for k in KEYS]


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({1: "a"}, {1: ["a"], 2: ["b"], 3: ["c"]}, "2 of 3 pictures have no caption (first: 2); caption every picture"),
        ({1: "a", 9: "b"}, {1: ["a"]}, "picture 9 has a caption but no references; leave it out or add references"),
        ({1: "a"}, {1: []}, "picture 1 has no references to score against; leave it out or give it a caption"),
        ({}, {}, "there are no references to score against; give at least one picture with captions"),
    ],
)
def test_pictures_that_do_not_fit_are_one_line(candidates, references, message):
    with pytest.raises(CandidateError) as error:
        score_captions(candidates, references)
    assert str(error.value) == message


def test_order_of_pictures_changes_no_digit():
    candidates, references = random_captions(3)
    backwards = [dict(reversed(mapping.items())) for mapping in (candidates, references)]
    assert score_captions(*backwards) == score_captions(candidates, references)


def test_a_corpus_scores_again_and_again_alike():
    candidates, references = random_captions(4)
    corpus = ReferenceCorpus(references)
    first = corpus.score(candidates)
    corpus.score({picture: "a zebra and a yak" for picture in candidates})
    assert corpus.score(candidates) == first


def test_rewards_are_the_cider_of_each_caption():
    candidates, references = random_captions(5)
    corpus = ReferenceCorpus(references)
    expected = [row["cider"] for row in corpus.score(candidates).pictures.values()]
    pictures = [5, 3, 5, 41]
    rewards = corpus.cider_d_rewards(pictures, [candidates[picture].split() for picture in pictures])
    np.testing.assert_allclose(rewards, [expected[picture] for picture in pictures], rtol=1e-12)
    # another caption for the same picture in the same batch gets its own reward
    pair = corpus.cider_d_rewards([5, 5], [references[5][0].split(), []])
    assert pair[0] > 0 and pair[1] == 0


def test_rewards_refuse_what_does_not_fit():
    corpus = ReferenceCorpus({1: ["a dog"]})
    with pytest.raises(CandidateError, match="picture 2 has a caption but no references"):
        corpus.cider_d_rewards([2], [["a"]])
    with pytest.raises(CandidateError, match="2 captions for 1 pictures"):
        corpus.cider_d_rewards([1], [["a"], ["b"]])


def test_a_metric_of_ones_own_is_scored_like_the_others(monkeypatch):
    class Length(Metric):
        names = {"length": "words"}

        def __init__(self, references):
            self.mean = references.captions.lengths.mean()

        def score(self, candidates):
            return of_pictures("length", candidates.captions.lengths / self.mean)

    monkeypatch.setitem(registry._parts, ("metric", "length"), registry.Part("metric", "length", None, Length))
    scores = score_captions({1: "a dog", 2: "a"}, {1: ["a dog runs"], 2: ["a cat", "cat"]}, ["length", "cider"])
    assert scores.corpus["length"] == 0.75
    assert [scores.pictures[picture]["length"] for picture in (1, 2)] == [1.0, 0.5]
    assert scores.corpus.keys() == {"length", "cider", "cider_d"}


def test_cider_of_a_single_picture_is_said_to_tell_nothing():
    one = score_captions({1: "a dog runs"}, {1: ["a dog runs"]})
    assert one.corpus["cider"] == 0 and "CIDEr is 0 whatever is said of a single picture" in one.notes[0]
    assert not score_captions({1: "a dog runs", 2: "a cat"}, {1: ["a dog runs"], 2: ["a cat"]}).notes
    assert not score_captions({1: "a dog runs"}, {1: ["a dog runs"]}, ["bleu"]).notes

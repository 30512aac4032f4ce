import random

import pytest

from showtell.evaluation.rouge import common_subsequences, rouge_l


def table_lcs(a, b):
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            rows[i + 1][j + 1] = rows[i][j] + 1 if x == y else max(rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


def test_common_subsequences_equal_the_textbook_table():
    rng = random.Random(0)
    for _ in range(300):
        candidate, *references = [[rng.randrange(5) for _ in range(rng.randrange(90))] for _ in range(5)]
        assert common_subsequences(candidate, references) == [table_lcs(candidate, ref) for ref in references]


def test_precision_and_recall_may_come_from_different_references():
    # against [1 2 3 4 9 9] the subsequence is 3 of 3 words, against [1 7] it is 1 of 2
    precision, recall = 3 / 3, max(3 / 6, 1 / 2)
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l([1, 2, 3], [[1, 2, 3, 4, 9, 9], [1, 7]]) == pytest.approx(expected)


@pytest.mark.parametrize("references", [[[1, 2]], [[]]])
def test_an_empty_candidate_scores_zero(references):
    assert rouge_l([], references) == 0


def test_no_word_in_common_scores_zero():
    assert rouge_l([3], [[1, 2], []]) == 0

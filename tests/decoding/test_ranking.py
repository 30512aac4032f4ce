import pytest
import torch

from showtell.decoding.beam import best


def reference(values: torch.Tensor, count: int) -> torch.Tensor:
    """By Python's sort: value descending, index ascending."""
    rows = [sorted(range(len(row)), key=lambda i: (-row[i], i))[:count] for row in values.tolist()]
    return torch.tensor(rows)


@pytest.mark.parametrize("size", [1, 7, 319, 320, 321, 700, 1000])
def test_best_of_distinct_values(size: int) -> None:
    values = torch.randn(20, size, generator=torch.Generator().manual_seed(size))
    found, indices = best(values, 5)
    assert torch.equal(indices, reference(values, 5))
    assert torch.equal(found, values.gather(1, indices))


@pytest.mark.parametrize("levels", [1, 2, 5, 50])
def test_ties_go_to_the_lower_index(levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    values = torch.randint(-levels, levels, (50, 500), generator=generator).float()
    assert torch.equal(best(values, 4)[1], reference(values, 4))


def test_signs_zeros_and_infinities_are_in_order() -> None:
    infinity = float("inf")
    values = torch.tensor([[-0.0, 0.0, -1e-42, 1e-42, -infinity, infinity, -3e38, 3e38, -0.0]])
    assert best(values, 9)[1].tolist() == reference(values, 9).tolist()


def test_a_row_of_forbidden_words_keeps_its_order() -> None:
    assert best(torch.full((1, 500), float("-inf")), 3)[1].tolist() == [[0, 1, 2]]

import io

import pytest
from rich.console import Console
from tests.leaderboard.test_compare import run

from showtell.leaderboard.compare import compare
from showtell.leaderboard.table import print_table


def printed(runs, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(compare(runs), console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("count", [1, 4, 12])
def test_at_any_width_what_was_varied_score_and_state_are_whole(width, count):
    metrics = {"val/cider": 0.5, "val/bleu4": 0.25, "val/true": 0.75}
    runs = [
        run(
            state=state,
            best=1.5,
            metrics=metrics,
            **{f"decoder__some_option_{i}": 0.0625 * (i + 1) for i in range(count)},
        )
        for state in ("finished", "failed")
    ]
    runs += [run(best=2.5, **{f"decoder__some_option_{i}": number for i in range(count)}) for number in (11111, 22222)]
    text = printed(runs, width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    joined = [word for word in text.split() if word.startswith("some_option") and "=" in word]
    for place in range(count):
        name, value = f"some_option_{place}", f"{0.0625 * (place + 1):.4g}"
        assert (f"{name}={value}" in joined) if joined else name in text.split() and value in text.split()
    assert {"finished", "failed", "val/loss", "1.5000", "2.5000"} <= set(text.split())


def test_a_narrow_table_loses_what_says_least_first():
    metrics = {"val/cider": 0.5, "val/bleu4": 0.25}
    runs = [run(seed=seed, best=1.5, metrics=metrics, decoder__hidden_size=size) for seed in (1, 2) for size in (8, 16)]
    heads = [next(line.split() for line in printed(runs, width).splitlines() if "#" in line) for width in (100, 60, 46)]
    assert heads[0] == ["#", "hidden_size", "val/loss", "val/cider", "val/bleu4", "n", "state"]
    assert heads[1] == ["#", "hidden_size", "val/loss", "n", "state"]
    assert heads[2] == ["#", "hidden_size", "val/loss", "state"]


def test_columns_that_would_say_nothing_are_left_out_and_n_is_explained():
    once = printed([run(decoder__hidden_size=size) for size in (8, 16)], 100)
    assert not {"n", "epochs", "±"} & set(once.split())
    again = printed([run(seed=seed, decoder__hidden_size=size) for seed in (1, 2) for size in (8, 16)], 100)
    assert {"n", "±"} <= set(again.split()) and "over the n runs of a row, which differ only by their seed" in again

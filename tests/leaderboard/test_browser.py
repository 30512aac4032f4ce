"""The leaderboard in a real browser: what names, settings, metrics and reasons hold is shown, never run."""

import json

from benchmarks.leaderboard import write_run
from tests.gallery.conftest import HOSTILE, desktop  # noqa: F401

from showtell.leaderboard.__main__ import main


def test_hostile_text_is_shown_not_run(tmp_path, desktop):  # noqa: F811
    metric = f"val/{HOSTILE}"
    column = metric.replace('"', '""')
    for seed in (1, 2, 3):
        run = tmp_path / f"run {seed} <img src=x onerror=\"document.title='x'\">"
        write_run(run, {"seed": 1, "data.name": f"{HOSTILE}{seed}", "decoder.hidden_size": seed})
        status = json.loads((run / "status.json").read_text())
        said = {"monitor": metric, "metrics": {**status["metrics"], metric: 0.1 * seed}, "best": 0.1 * seed}
        state = {"state": "failed", "reason": HOSTILE} if seed == 3 else {}
        (run / "status.json").write_text(json.dumps({**status, **said, **state, "then": HOSTILE}))
        (run / "metrics.csv").write_text(f'step,epoch,"{column}"\n1,0,0.5\n2,1,0.{seed}\n')
    assert main([str(tmp_path)]) == 0
    desktop.open(tmp_path / "leaderboard.html")
    desktop.run("document.querySelectorAll('button, summary, th').forEach(e => e.click())")
    assert desktop.run("return document.title") != "x"
    assert HOSTILE.split("<img")[0] in " ".join(desktop.texts("#board"))
    assert desktop.run("return document.querySelectorAll('img, a[href^=javascript]').length") == 0
    assert desktop.run("return performance.getEntriesByType('resource').length") == 0


def test_the_score_is_seen_beside_however_many_settings(tmp_path, desktop):  # noqa: F811
    write_run(tmp_path / "one", {"seed": 1, "data.root": f"/{'long' * 100}"})
    write_run(tmp_path / "two", {"seed": 1})
    assert main([str(tmp_path)]) == 0
    desktop.open(tmp_path / "leaderboard.html")
    edge, *scores = desktop.run(
        "return ['.wide', 'th.score', 'td.score'].flatMap(one => [...document.querySelectorAll(one)])"
        ".map(e => e.getBoundingClientRect().right)"
    )
    assert len(scores) == 3 and max(scores) <= edge

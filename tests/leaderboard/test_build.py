import csv
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from benchmarks.leaderboard import write_run, write_runs

from showtell.leaderboard.__main__ import main
from showtell.leaderboard.compare import compare
from showtell.leaderboard.page import render
from showtell.leaderboard.plots import curves, metric_by_parameter, parallel_coordinates
from showtell.leaderboard.runs import find_runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_runs(folder, 12)
    return folder


@pytest.fixture
def runs(written, tmp_path):
    return shutil.copytree(written, tmp_path, dirs_exist_ok=True)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_the_command_prints_and_writes_the_comparison(runs, capsys):
    assert main([str(runs)]) == 0
    printed = capsys.readouterr().out
    assert "12 runs by val/loss" in printed and "±" in printed and "leaderboard.html" in printed
    rows = list(csv.DictReader((runs / "leaderboard.csv").read_text().splitlines()))
    assert len(rows) == 6 and {row["n"] for row in rows} == {"2"}
    means = [float(row["val/loss"]) for row in rows]
    assert means == sorted(means) and all(float(row["val/loss sd"]) > 0 for row in rows)
    assert rows[0]["runs"].count(";") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["."], "no run in it"),
        ([".", "--metric", "x"], "no run in it"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_metric_that_no_run_has_is_refused(runs, capsys):
    assert main([str(runs), "--metric", "val/spice"]) == 2
    assert "val/spice: no run has this metric; choose one of val/loss, val/bleu4, val/cider" in capsys.readouterr().err


def test_a_hundred_runs_need_no_torch():
    code = "import showtell.leaderboard.__main__, sys; assert not {'torch', 'hydra', 'plotly'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_page_fetches_nothing_and_links_what_is_there(runs):
    (runs / "run_003" / "gallery.html").write_text("pictures")
    main([str(runs)])
    page = Page((runs / "leaderboard.html").read_text())
    assert [tag for tag, values in page.tags if tag in ("link", "img", "iframe") or "src" in values] == []
    links = [values["href"] for tag, values in page.tags if tag == "a"]
    assert [link for link in links if "gallery" in link] == ["run_003/gallery.html"]
    assert all((runs / link).is_file() for link in links if not link.startswith("#"))


def test_names_cannot_become_markup(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    for seed in (1, 2):
        write_run(
            tmp_path / f"run {seed} <b>", {"seed": seed, "data.root": f"{evil}{seed}", "decoder.hidden_size": seed}
        )
    page = Page(render(compare(find_runs([tmp_path])), tmp_path))
    assert not [tag for tag, values in page.tags if tag in ("img", "b") and values] and "onerror" not in str(page.tags)
    assert sum(tag == "script" for tag, _ in page.tags) == 3


@pytest.mark.parametrize("number", ["1" + "0" * 400, "0x1" + "0" * 5000])
def test_a_number_that_no_computer_counts_to_does_not_keep_the_other_runs_from_the_page(runs, number):
    file = next(runs.rglob("config.yaml"))
    text, count = re.subn(r"(seed|hidden_size): \d+", rf"\1: {number}", file.read_text())
    assert count
    file.write_text(text)
    assert main([str(runs)]) == 0
    assert (runs / "leaderboard.html").is_file()


def test_one_run_and_runs_without_any_value_have_a_page(tmp_path):
    write_run(tmp_path / "a", {})
    assert "1 runs by" in render(compare(find_runs([tmp_path])), tmp_path)
    for name in "abc":
        write_run(tmp_path / "none" / name, {"decoder.hidden_size": ord(name)})
        status = tmp_path / "none" / name / "status.json"
        status.write_text(json.dumps({**json.loads(status.read_text()), "best": None, "metrics": {}}))
    assert "3 runs by" in render(compare(find_runs([tmp_path / "none"])), tmp_path)


def test_parallel_coordinates_keep_every_run_and_its_values(runs):
    board = compare(find_runs([runs]))
    data = parallel_coordinates(board)["data"][0]
    by_label = {axis["label"]: axis for axis in data["dimensions"]}
    sizes = by_label["hidden_size"]
    assert [sizes["ticktext"][place] for place in sizes["values"]] == [
        str(r.parameters["decoder.hidden_size"]) for r in board.runs
    ]
    assert by_label["val/loss"]["values"] == [run.status.best for run in board.runs]


def test_curves_are_called_by_what_sets_runs_apart_or_else_by_their_folder(tmp_path):
    for number, seed in enumerate((1, 2, 2)):
        write_run(tmp_path / f"run{number}", {"seed": seed, "decoder.hidden_size": 8 * seed, "vocab.threshold": 1})
    named = {trace["name"] for trace in curves(compare(find_runs([tmp_path])))["data"]}
    assert named == {"hidden_size=8 seed=1", "run1", "run2"}
    points = metric_by_parameter(compare(find_runs([tmp_path])))[0]["data"][0]
    assert set(points["text"]) == named


def test_links_stand_beside_the_score_that_decides(runs):
    main([str(runs)])
    head = re.search(r"<thead>.*?</thead>", (runs / "leaderboard.html").read_text())[0]
    columns = re.findall(r"<button type=button>([^<]*)", head)
    place = columns.index("val/loss")
    assert columns[place : place + 4] == ["val/loss", "n", "state", "runs"] and "val/cider" in columns[place + 4 :]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_in_a_browser_without_network_the_page_sorts_and_draws(runs):
    main([str(runs)])
    page = runs / "leaderboard.html"
    click = """<script>addEventListener("load", () => {
        document.querySelectorAll("#board th button")[1].click();
        document.querySelectorAll("#board th button")[1].click();
        document.querySelectorAll("a[data-run]")[2].click();
    })</script></body>"""
    page.write_text(page.read_text().replace("</body>", click))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=10000",
        "--proxy-server=127.0.0.1:9",
    ]
    command = [CHROMIUM, *options, f"--user-data-dir={runs / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert 'data-ready="yes"' in dom  # the script ran to its end
    body = dom[dom.index("<tbody>") : dom.index("</tbody>")]
    sizes = [int(re.search(r'data-head="hidden_size">(\d+)', row)[1]) for row in body.split("<tr")[1:]]
    assert len(sizes) == 6 and sizes == sorted(sizes, reverse=True)
    assert len(re.findall(r'class="[^"]*\bparcoords\b', dom)) >= 1
    assert len(re.findall(r'<g class="trace scatter', dom)) == 2 * 2 + 12
    assert len(re.findall(r'<g class="trace scatter[^>]*opacity: 0.08', dom)) == 11  # one curve was brought forward


def test_on_a_phone_names_score_and_state_are_seen_without_scrolling_sideways(tmp_path, phone):
    long = "data.shapes.train_pictures-60__data.shapes.val_pictures-12__"
    for size in (32, 64):
        write_run(tmp_path / f"{long}{size}", {"decoder.hidden_size": size, "data.root": f"/a/{'long' * 20}/{size}"})
    main([str(tmp_path)])
    phone.open(tmp_path / "leaderboard.html")
    assert phone.run("return document.documentElement.scrollWidth") == 400
    cells = phone.run("""return [...document.querySelectorAll('#board td')].filter(e => e.offsetWidth)
        .map(e => [e.dataset.head, e.textContent, e.getBoundingClientRect().right, e.scrollWidth - e.clientWidth])""")
    assert all(right <= 400 and hidden <= 0 for _, _, right, hidden in cells)
    seen = {(head, text) for head, text, *_ in cells}
    assert {("hidden_size", "32"), ("hidden_size", "64"), ("state", "finished")} <= seen
    assert {"root", "val/loss", "n", "runs"} <= {head for head, _ in seen}
    assert "val/cider" not in {head for head, *_ in cells}
    phone.run("document.querySelector('#every input').click()")
    assert phone.run("return document.querySelector('td[data-head=\"val/cider\"]').offsetWidth") > 0
    assert phone.run("return document.documentElement.scrollWidth") == 400

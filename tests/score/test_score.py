"""`python -m showtell.score`: files in, table and files out, in a process that has numpy and nltk alone."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.evaluation.test_metrics import random_captions
from tests.evaluation.test_sums import worse

from showtell.errors import UserError
from showtell.evaluation.metrics import score_captions
from showtell.score.__main__ import main
from showtell.score.files import match, read_references, read_results

BLOCKED = (
    "torch", "torchvision", "pytorch_lightning", "pandas", "scipy", "PIL", "timm", "hydra", "omegaconf", "yaml", "rich",
    "filelock", "pycocotools", "matplotlib", "tensorboard", "safetensors", "huggingface_hub", "pycocoevalcap",
)  # fmt: skip
CANDIDATES, REFERENCES = random_captions(0, pictures=40)


def coco(references, names="{:04}.jpg".format):
    images = [{"id": picture, "file_name": names(picture)} for picture in references]
    notes = [{"image_id": picture, "caption": text} for picture, texts in references.items() for text in texts]
    return {"images": images, "annotations": notes}


def results(candidates):
    return [{"image_id": picture, "caption": text} for picture, text in candidates.items()]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """References, and the captions of two systems; commands run beside them."""
    monkeypatch.chdir(tmp_path)
    write("ref.json", coco(REFERENCES))
    write("a.json", results(CANDIDATES))
    write("b.json", results(worse(CANDIDATES, 2)))
    return tmp_path


def write(name, content):
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))


def told(capsys, *words):
    main([*map(str, words), "--references", "ref.json", "--resamples", "200"])
    return capsys.readouterr()


def test_the_command_needs_numpy_and_nltk_alone(files):
    blocker = (
        "import sys\n"
        f"for name in {BLOCKED!r}: sys.modules[name] = None\n"
        "import showtell.evaluation\n"
        "from showtell.score.__main__ import main\n"
        "main(['a.json', 'b.json', '--references', 'ref.json', '--output', 'out.json'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", blocker], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "b minus a" in done.stdout and (files / "out.json").is_file()


def test_scores_are_those_of_the_library_with_interval_and_signature(files, capsys):
    said = told(capsys, "a.json", "--split", "val", "--output", "out.json")
    expected = score_captions(CANDIDATES, REFERENCES).corpus
    found = json.loads(Path("out.json").read_text())
    system = found["systems"]["a"]
    assert system["runs"][0]["scores"] == expected
    for key, one in system["scores"].items():
        assert one["value"] == pytest.approx(expected[key], rel=1e-12) or key == "cider_d"
        assert key == "cider_d" or one["low"] < one["value"] < one["high"]
    (reference,) = found["references"]
    assert reference["signature"].startswith("bleu:1+cider:1+rouge_l:1|tok:ptb1-nltk")
    assert "|split:val|pics:40|refs:1-6|form:coco|set:" in reference["signature"]
    assert f"signature: {reference['signature']}" in said.out
    assert "ref.json: 40 pictures scored" in said.out and "note: ref.json: names no splits" in said.err
    assert "document frequencies are those of the whole reference set" in said.out


def test_each_picture_is_a_row(files, capsys):
    told(capsys, "a.json", "b.json", "--output", "out.csv")
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert [row["system"] for row in rows] == ["a"] * 40 + ["b"] * 40
    known = score_captions(CANDIDATES, REFERENCES).pictures
    assert [float(row["cider"]) for row in rows[:40]] == [known[picture]["cider"] for picture in sorted(known)]
    assert rows[3]["file_name"] == "0003.jpg" and rows[3]["caption"] == CANDIDATES[3] and rows[3]["signature"]


def test_two_systems_are_compared_and_three_corrected(files, capsys):
    people = {picture: texts[0] for picture, texts in REFERENCES.items()}
    write("a.json", results(people))
    write("b.json", results(worse(people, 2)))
    said = told(capsys, "a.json", "b.json")
    line = next(line for line in said.out.partition("b minus a")[2].splitlines() if line.startswith("ROUGE-L"))
    assert "(bootstrap)" in line and "(randomization)" in line and "Holm" not in line and line.endswith("differs")
    write("c.json", results(worse(people, 4)))
    said = told(capsys, "a.json", "b.json", "c.json", "--output", "out.json")
    assert said.out.count("(Holm)") == 12
    found = json.loads(Path("out.json").read_text())["comparisons"]["rouge_l"]
    assert [one["system"] for one in found] == ["b", "c"]
    assert all(one["corrected"] >= one["tests"]["bootstrap"] for one in found)


def test_a_row_is_one_line_however_narrow_the_terminal(files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    said = told(capsys, *(f"{name}=b.json" for name in "vwxyz"))
    row = next(line for line in said.out.splitlines() if line.startswith("CIDEr (CIDEr-D)"))
    assert row.count("[") == 5 and len(row) > 120


def test_help_is_as_wide_as_the_terminal_and_wide_in_a_pipe(monkeypatch, capsys):
    def wrapped(columns):
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setenv("COLUMNS", columns)
            main(["--help"])
        lines = capsys.readouterr().out.partition("usage:")[2].partition("options:")[0].splitlines()
        return max(map(len, lines)), len(lines)

    widths = {columns: wrapped(columns) for columns in ("70", "120", "200", "0")}  # 0: nobody knows
    assert widths["70"][0] < 70 < widths["120"][0] <= 118 < widths["200"][0] <= 198
    assert widths["0"] == widths["120"]


def test_runs_of_groups_over_folds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for fold in range(2):
        own = [picture for picture in REFERENCES if picture % 2 == fold]
        write(f"ref{fold}.json", coco({picture: REFERENCES[picture] for picture in own}))
        for seed in range(3):
            captions, _ = random_captions(10 + seed, pictures=40)
            write(f"good-{fold}-{seed}.json", results({p: REFERENCES[p][seed % len(REFERENCES[p])] for p in own}))
            write(f"bad-{fold}-{seed}.json", results({p: captions[p] for p in own}))
    main(
        [
            "good=good-*.json",
            "bad=bad-0-*.json,bad-1-*.json",
            "--references",
            "ref0.json",
            "ref1.json",
            "--output",
            "o.json",
        ]
    )
    said = capsys.readouterr().out
    assert "ref0.json: 20 pictures scored" in said and "ref1.json: 20 pictures scored" in said
    assert "it covers the choice of pictures (bootstrap) and of seeds (t distribution)" in said
    found = json.loads(Path("o.json").read_text())
    (one,) = found["comparisons"]["rouge_l"]
    runs = {name: [run["scores"]["rouge_l"] for run in found["systems"][name]["runs"]] for name in ("good", "bad")}
    assert one["difference"]["value"] == pytest.approx(sum(runs["bad"]) / 6 - sum(runs["good"]) / 6)
    assert one["difference"]["seeds"] and one["difference"]["high"] < 0 and one["tests"]["t"] < 0.001
    with pytest.raises(UserError, match=r"bad: is scored on other pictures than good"):
        main(["good=good-*.json", "bad=bad-0-*.json", "--references", "ref0.json", "ref1.json"])


NAMES = {picture: f"{picture:04}.jpg" for picture in CANDIDATES}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("ids.json", results(CANDIDATES)),
        ("names.json", {NAMES[p]: text for p, text in CANDIDATES.items()}),
        ("stems.json", {NAMES[p][:-4]: text for p, text in CANDIDATES.items()}),
        ("numbers.json", {str(p): text for p, text in CANDIDATES.items()}),
        ("lines.jsonl", "\n".join(json.dumps({"file": f"val/{NAMES[p]}", "text": t}) for p, t in CANDIDATES.items())),
        ("table.csv", "image,caption\n" + "\n".join(f"{NAMES[p]},{text}" for p, text in CANDIDATES.items())),
        ("table.tsv", "image_id\tcaption\n" + "\n".join(f"{p}\t{text}" for p, text in CANDIDATES.items())),
    ],
)  # fmt: skip
def test_results_in_every_layout_meet_their_pictures(files, file, content):
    write(file, content)
    references = read_references(Path("ref.json"), None)
    found = match(read_results(Path(file)), references)
    assert found.captions == {p: " ".join(text.split()) for p, text in CANDIDATES.items()}
    assert not found.missing and not found.surplus


@pytest.mark.parametrize(
    ("file", "content", "split"),
    [
        ("r.jsonl", [{"image": NAMES[p], "captions": texts} for p, texts in REFERENCES.items()], None),
        ("r.csv", [(NAMES[p], text, "test") for p, texts in REFERENCES.items() for text in texts], "test"),
        ("r.token", [f"{NAMES[p]}#{n}\t{text}" for p, some in REFERENCES.items() for n, text in enumerate(some)], None),
        ("dataset.json", {"images": [
            {"filename": NAMES[p], "imgid": p, "split": "test", "sentences": [{"raw": text} for text in texts]}
            for p, texts in REFERENCES.items()
        ]}, "test"),
    ],
)  # fmt: skip
def test_references_in_the_layouts_of_training(files, file, content, split):
    texts = {
        ".jsonl": lambda: "\n".join(map(json.dumps, content)),
        ".csv": lambda: "image,caption,split\n" + "\n".join(map(",".join, content)),
        ".token": lambda: "\n".join(content),
        ".json": lambda: content,
    }
    write(file, texts[Path(file).suffix]())
    references = read_references(Path(file), split)
    assert {references.find(NAMES[p]): tuple(texts) for p, texts in REFERENCES.items()} == references.texts
    if split:
        with pytest.raises(UserError, match="say"):
            read_references(Path(file), None)


def test_captions_that_are_missing_are_refused_or_left_out(files, capsys):
    some = {p: text for p, text in CANDIDATES.items() if p >= 4}
    write("some.json", results({**some, 999: "a dog"}))
    with pytest.raises(
        UserError, match=r"some\.json: 4 pictures of the 40 in ref\.json have no caption \(such as 0000"
    ):
        told(capsys, "some.json")
    said = told(capsys, "some.json", "--subset")
    assert "36 of 40 pictures scored, 4 without a caption, left out, 1 surplus caption" in said.out
    assert "note: some.json: 2 empty captions, scored 0" in said.err and "|pics:36|" in said.out


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        (["no.json"], None, "no.json: there is no such file"),
        (["x.json"], [], "x.json: holds no captions"),
        (["x.json"], coco(REFERENCES), "holds `images`, as annotation files do; give references by --references"),
        (["x.json"], [{"image_id": 0, "caption": "a"}, {"image_id": 0, "caption": "b"}], "a second caption of 0"),
        (["x.json"], {"0000.jpg": "a", "val/0000.jpg": "b"}, "two captions are of 0000.jpg"),
        (["x.json"], [{"image_id": 999, "caption": "a"}], "none of its pictures, such as 999, is in ref.json"),
        (["x.json"], [{"image_id": 0, "caption": 3}], "must be text"),
        (["x.csv"], "number,words,more\n1,a dog,b", "call them `image` and `caption`"),
        (["a.json", "--resamples", "5"], None, "--resamples 5: must be at least 100"),
        (["a.json", "--output", "x.txt"], None, "name a file that ends in .json or .csv"),
        (["A=a.json", "A=b.json"], None, "A: two systems have this name"),
        (["a.json", "a.json"], None, "a.json: this file is named twice; leave one out"),
        (["."], None, ".: is a folder, not a file; name files of captions"),
        (["a.json", "--tokenizer", "nope"], None, "--tokenizer nope is not an option"),
        (["a.json", "--metrics", "spise"], None, "spise is not an option"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(files, words, content, message):
    if content is not None:
        write(words[0], content)
    with pytest.raises(UserError) as error:
        main([*words, "--references", "ref.json"])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_references_whose_numbers_agree_are_told_apart_by_names_only(files, capsys):
    write("other.json", coco(REFERENCES, names="other{:04}.jpg".format))
    with pytest.raises(UserError, match=r"its pictures are those of ref\.json and other\.json alike"):
        main(["a.json", "--references", "ref.json", "other.json"])
    write("named.json", {f"other{p:04}.jpg": text for p, text in CANDIDATES.items()})
    main(["named.json", "--references", "ref.json", "other.json"])
    assert capsys.readouterr().out.startswith("other.json: 40 pictures scored")


def test_capevalkit_reads_what_is_written_for_it(files, capsys):
    """The fields that its metrics read: a row by `id` with `caption` and `image`, and one with `references`."""
    write("one.json", results(CANDIDATES))
    main(["one.json", "--references", "ref.json", "--export-for", "capevalkit", "kit"])
    rows = {
        name: [json.loads(line) for line in Path(f"kit/{name}.jsonl").read_text().splitlines()]
        for name in ("predictions", "references")
    }
    said = [(str(picture), text.strip(), f"{picture:04}.jpg") for picture, text in CANDIDATES.items()]
    assert [(row["id"], row["caption"], row["image"]) for row in rows["predictions"]] == said
    written = {row["id"]: row["references"] for row in rows["references"]}
    assert written == {str(picture): [text.strip() for text in texts] for picture, texts in REFERENCES.items()}
    assert "capevalkit score --metric clipscore --predictions kit/predictions.jsonl" in capsys.readouterr().err
    write("two.json", results(worse(CANDIDATES, 2)))
    main(["one.json", "two.json", "--references", "ref.json", "--export-for", "capevalkit", "both"])
    assert sorted(path.name for path in Path("both").iterdir()) == ["one", "two"]
    with pytest.raises(UserError, match="--export-for other: choose one of capevalkit"):
        main(["one.json", "--references", "ref.json", "--export-for", "other", "kit"])

import shutil
import socket

import pytest

from showtell.evaluation.metrics import CandidateError, score_captions

CANDIDATES = {4: "a dog runs on grass", 2: "A man, sitting.", 3: ""}
REFERENCES = {2: ["a man sits", "a person is sitting on a chair"], 3: ["a cat"], 4: ["the dog is running"]}


def java_scores(candidates=CANDIDATES, references=REFERENCES):
    found = score_captions(candidates, references, ("meteor", "spice"))
    return found.corpus, list(found.notes)


def need_java():
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    if not shutil.which("java"):
        pytest.skip("Java is not installed")


def test_without_java_each_program_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    scores, notes = java_scores()
    assert scores == {}
    assert notes == [
        f"{name} left out: there is no `java` on the PATH; install a Java runtime" for name in ("METEOR", "SPICE")
    ]


def test_a_program_that_takes_too_long_is_stopped(monkeypatch):
    need_java()
    monkeypatch.setattr("showtell.evaluation.java.TIMEOUT_SECONDS", 0.05)
    scores, notes = java_scores()
    assert "meteor" not in scores
    assert "METEOR left out: it took longer than 0.05 s" in notes


def test_missing_models_are_a_note_and_no_download(monkeypatch):
    need_java()

    def no_network(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("showtell.evaluation.java.TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(socket, "create_connection", no_network)
    scores, notes = java_scores()
    if notes[-1].startswith("SPICE left out: it took"):
        pytest.skip("SPICE's models are installed")
    assert "spice" not in scores
    assert "stanford-corenlp-3.6.0.jar" in notes[-1] and "\n" not in notes[-1]


def test_pictures_must_fit():
    with pytest.raises(CandidateError, match="picture 9"):
        java_scores({9: "a"}, {1: ["a"]})


@pytest.mark.slow
def test_meteor_equals_the_wrapper_of_pycocoevalcap():
    need_java()
    wrapper = pytest.importorskip("pycocoevalcap.meteor.meteor")
    scores, _ = java_scores()
    tokens = {2: ["a man sitting"], 3: [""], 4: ["a dog runs on grass"]}
    meteor = wrapper.Meteor()
    theirs, _ = meteor.compute_score(REFERENCES, tokens)
    for pipe in (meteor.meteor_p.stdout, meteor.meteor_p.stderr):
        pipe.close()
    assert scores["meteor"] == pytest.approx(theirs, abs=1e-12)

import copy

import pytest

from showtell.checkpointing.io import save_checkpoint
from showtell.checkpointing.resume import ResumeError, check_identity, check_resume, find_checkpoint
from showtell.config import Config


@pytest.fixture
def run(tmp_path):
    for step, name in ((10, "best"), (20, "last")):
        save_checkpoint({"global_step": step}, tmp_path / "checkpoints" / f"{name}.ckpt")
    return tmp_path


def test_run_directory_folder_and_file(run):
    last = run / "checkpoints" / "last.ckpt"
    for resume in (run, run / "checkpoints", last, str(last)):
        assert find_checkpoint(resume) == (last, [])
    assert find_checkpoint(run / "checkpoints" / "best.ckpt") == (run / "checkpoints" / "best.ckpt", [])


@pytest.mark.parametrize("inner", ["", "checkpoints/last.ckpt"])
def test_a_damaged_file_is_named_and_the_other_one_taken(run, inner):
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    path, lines = find_checkpoint(run / inner)
    assert path.name == "best.ckpt"
    assert len(lines) == 2 and "last.ckpt" in lines[0] and lines[1] == f"resuming from {path} instead"


def test_nothing_to_resume_from(tmp_path):
    for resume in (tmp_path, tmp_path / "missing", "http://x/y.ckpt"):
        with pytest.raises(ResumeError, match=r"^resume="):
            find_checkpoint(resume)


def changed(**settings):
    config = Config().as_dict()
    for path, value in settings.items():
        *sections, key = path.split("__")
        section = config
        for name in sections:
            section = section[name]
        assert key in section
        section[key] = value
    return config


def test_the_same_configuration_is_silent():
    assert check_resume(copy.deepcopy(Config().as_dict()), Config().as_dict()) == []


MAKES_NO_SENSE = {
    "vocab__threshold": 9, "decoder__hidden_size": 7, "encoder__name": "resnet50", "encoder__pooling": "grid",
}  # fmt: skip
NOT_EXACT = {
    "training__batch_size": 7, "seed": 5, "device__precision": "bf16-mixed", "training__accumulate_batches": 2,
    "training__learning_rate": 0.5, "device__devices": 2, "device__accelerator": "gpu", "decoder__dropout": 0.5,
    "data__name": "other", "features__dtype": "float32",
}  # fmt: skip
FREE = {
    "training__max_epochs": 99, "training__log_every_steps": 1, "name": "x", "resume": "there", "data__num_workers": 0,
    "decoding__beam_size": 5,
}  # fmt: skip


@pytest.mark.parametrize("key", MAKES_NO_SENSE)
def test_what_makes_no_sense_is_refused(key):
    with pytest.raises(ResumeError) as caught:
        check_resume(Config().as_dict(), changed(**{key: MAKES_NO_SENSE[key]}))
    text = str(caught.value)
    assert "\n" not in text and key.replace("__", ".") in text and "start a new run" in text


@pytest.mark.parametrize("key", NOT_EXACT)
def test_what_is_not_exact_is_said(key):
    (line,) = check_resume(Config().as_dict(), changed(**{key: NOT_EXACT[key]}))
    assert key.replace("__", ".") in line and "not exactly" in line


@pytest.mark.parametrize("key", FREE)
def test_what_is_free_is_silent(key):
    assert check_resume(Config().as_dict(), changed(**{key: FREE[key]})) == []


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("weight_average", 0.0, 0.9),
        ("weight_average", 0.9, 0.0),
        ("encoder_learning_rate", 1e-5, 0.0),  # which changes the optimizer's groups
        ("schedule", "plateau", "cosine"),  # whose states are not each other's
        ("schedule", "constant", "plateau"),
    ],
)
def test_what_a_checkpoint_holds_is_neither_switched_on_nor_off(key, before, after):
    old, new = changed(**{f"training__{key}": before}), changed(**{f"training__{key}": after})
    with pytest.raises(ResumeError, match=rf"training.{key}={after!r} does not fit .* which has {before!r}; set"):
        check_resume(old, new)


def test_another_decay_of_the_weight_average_is_said():
    old, new = changed(training__weight_average=0.9), changed(training__weight_average=0.99)
    assert check_resume(old, new) == [
        "training.weight_average was 0.9 and is 0.99: the resumed run is not exactly the interrupted one"
    ]


def test_another_length_stretches_a_cosine():
    old = changed(training__schedule="cosine")
    new = changed(training__schedule="cosine", training__max_epochs=99)
    (line,) = check_resume(old, new)
    assert "training.max_epochs" in line


def test_every_setting_has_a_class():
    """A new setting is `not exact` until somebody says otherwise; so is one that went away."""
    config = Config().as_dict()
    assert check_resume({}, {"unheard_of": 1}) != []
    assert check_resume({**config, "old_setting": 1}, config) != []


def test_identities():
    check_identity("vocabulary", "a", "a")
    with pytest.raises(ResumeError, match="the vocabulary is not the one of the checkpoint"):
        check_identity("vocabulary", "a", "b")

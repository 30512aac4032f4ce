"""Flags of predict.py over the decoding of the training run."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from showtell.config import ConfigError, DecodingConfig
from showtell.prediction.options import add_decoding_flags, decoding_from_flags

DIVERSE = DecodingConfig(method="beam", beam_size=6, groups=3, num_captions=3, max_length=17, block_ngram=2)


def decoding(trained: DecodingConfig, line: str) -> DecodingConfig:
    parser = argparse.ArgumentParser()
    add_decoding_flags(parser)
    return decoding_from_flags(trained, parser.parse_args(line.split()))


def test_nothing_given_is_as_in_training() -> None:
    assert decoding(DIVERSE, "") == DIVERSE


def test_only_what_is_given_changes() -> None:
    assert decoding(DIVERSE, "--max-length 9") == DecodingConfig(**{**vars(DIVERSE), "max_length": 9})


def test_beam_implies_its_method_and_starts_afresh() -> None:
    assert decoding(DIVERSE, "--beam 5") == DecodingConfig(method="beam", beam_size=5, max_length=17, block_ngram=2)


def test_sampling_flags_imply_sampling() -> None:
    found = decoding(DIVERSE, "--top-k 5 --num-captions 2")
    assert (found.method, found.top_k, found.num_captions, found.beam_size) == ("sample", 5, 2, 1)


def test_another_method_leaves_the_old_ones_settings_behind() -> None:
    assert decoding(DIVERSE, "--method greedy") == DecodingConfig(max_length=17, block_ngram=2)


def test_beam_without_a_width_keeps_the_trained_one() -> None:
    assert decoding(DIVERSE, "--method beam").beam_size == 6


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--beam 0", "--beam 0 is out of range; it must be at least 1 and at most 100"),
        ("--beam 4 --groups 3", "--groups 3 does not divide --beam 4; make it a divisor"),
        ("--method beam", "--method beam: say how wide the beam is, such as --beam 5"),
        ("--beam 3 --top-k 5", "--top-k belongs to sampling and --beam to beam search; leave one of them out"),
        ("--seed 1", "--seed has no effect with --method greedy; add --method sample or --views N, or leave it out"),
        ("--beam 2 --diversity 1", "--diversity has no effect without groups; add --groups N, or leave it out"),
    ],
)
def test_what_cannot_be_meant_is_one_line_in_the_words_of_the_command_line(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        decoding(DecodingConfig(), line)
    assert str(error.value) == message


def test_every_setting_of_decoding_has_a_flag() -> None:
    parser = argparse.ArgumentParser()
    add_decoding_flags(parser)
    assert vars(DecodingConfig()).keys() <= vars(parser.parse_args([])).keys()


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, runpy; sys.argv = ['predict.py', '--help']\n"
    code += "try: runpy.run_path('predict.py', run_name='__main__')\n"
    code += "except SystemExit: print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "--length-penalty" in done.stdout
    assert done.stdout.endswith("False\n")

"""The tables of docs/scaling.md are those that its command makes, and the formulas scale as they should."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.scaling import BEGIN, DATA_SETS, END, Plan, Rates, tables

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"


def test_the_page_holds_the_tables_of_the_assumed_rates() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == tables(Rates(), [1, 8, 64])


def test_encoding_scales_with_devices_until_decoding_limits_it() -> None:
    one, eight = (Plan(DATA_SETS[1], count, Rates()) for count in (1, 8))
    assert one.encode_seconds == pytest.approx(8 * eight.encode_seconds)
    starved = Plan(DATA_SETS[1], 1, replace(Rates(), cores=1, decode_rate=500))
    assert starved.encode_seconds == pytest.approx(DATA_SETS[1].pictures / 500)


def test_one_device_exchanges_no_gradients_and_larger_batches_fewer() -> None:
    data, rates = DATA_SETS[1], Rates()
    assert Plan(data, 1, rates).step_seconds == pytest.approx(rates.batch_size / rates.decoder_rate)
    small, large = (Plan(data, 64, replace(rates, batch_size=size)).train_seconds for size in (64, 1024))
    assert small > large > data.epochs * data.captions / (64 * rates.decoder_rate)


def test_parameters_are_those_of_the_decoder() -> None:
    from showtell.models.decoders import build_decoder
    from showtell.models.settings import LSTMConfig

    data, rates = DATA_SETS[0], Rates()
    size = rates.hidden_size
    decoder = build_decoder(LSTMConfig(embedding_size=size, hidden_size=size), (rates.feature_size,), data.vocabulary)
    counted = sum(parameter.numel() for parameter in decoder.parameters())
    assert Plan(data, 1, rates).parameters == pytest.approx(counted, rel=0.02)

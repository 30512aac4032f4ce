"""ClipCap's decoder around a tiny random GPT-2."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.small_settings import decoder_settings
from tests.tiny_language_model import write_language_model

from showtell.config import ConfigError, DecodingConfig
from showtell.decoding import decode
from showtell.errors import UserError
from showtell.models.decoders.base import Decoder, build_decoder, decoder_files
from showtell.models.layers import given_words
from showtell.text import END, START, UNK, Vocabulary
from showtell.text.subwords import Pretrained

pytest.importorskip("transformers")
TEXTS = ["a red disc", "a green box", "there is a red box on a gray ground", "Two discs."]
D = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("models") / "tiny", TEXTS)


def vocabulary(folder: Path) -> Vocabulary:
    tokenizer = Pretrained(content=(folder / "tokenizer.json").read_text())
    return Vocabulary.from_counts(Counter(), 4, tokenizer)


def built(folder: Path, **settings: object) -> Decoder:
    torch.manual_seed(1)
    config = decoder_settings("prefix", model=str(folder), **{"prefix_length": 3, "hidden_size": 8, **settings})
    decoder = build_decoder(config, (D,), len(vocabulary(folder)), decoder_files(config))
    decoder.load_pretrained(config)
    return decoder.eval()


@pytest.mark.parametrize("settings", [{}, {"prefix_length": 1}, {"regions": True, "prefix_length": 1}])
def test_stepping_gives_the_logits_of_teacher_forcing(folder: Path, settings: dict[str, object]) -> None:
    decoder, words = built(folder, **settings), vocabulary(folder)
    captions = torch.tensor([words.encode(words.tokenizer.split(text))[-4:] for text in TEXTS])
    features = torch.randn(2, 4, D) if settings.get("regions") else torch.randn(2, D)
    state, logits = decoder.begin(features, captions), []
    for column in given_words(captions).unbind(1):
        answer, state = decoder.step(column, state)
        logits.append(answer)
    torch.testing.assert_close(torch.stack(logits, 1), decoder(features, captions), atol=1e-4, rtol=1e-4)


def test_its_numbers_are_the_language_model_s_own(folder: Path) -> None:
    """What transformers itself says of the same text, given the same prefix."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    decoder, words = built(folder), vocabulary(folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    text, features = "a red disc.", torch.randn(1, D)
    numbers = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        prefix = decoder._prefix(features)  # type: ignore[operator]
        given = torch.cat([prefix, model.get_input_embeddings()(numbers)], dim=1)
        theirs = model(inputs_embeds=given).logits[:, 2:]
        tokens = words.encode(words.tokenizer.split(text))
        ours = decoder(features, torch.tensor([tokens]))
    assert words.decode(tokens) == text
    for token in tokens[:-1]:
        number = tokenizer.convert_tokens_to_ids(words.words[token])
        torch.testing.assert_close(ours[0, :, token], theirs[0, :, number], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours[0, :, END], theirs[0, :, tokenizer.eos_token_id], atol=1e-4, rtol=1e-4)
    never = {START, UNK, words.words.index("<|endoftext|>")}
    assert {token for token in range(len(words)) if (ours[0, :, token] == -1e4).all()} == never


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "greedy"},
        {"method": "beam", "beam_size": 4, "num_captions": 3, "block_ngram": 2},
        {"method": "beam", "beam_size": 4, "groups": 2, "num_captions": 4},
        {"method": "sample", "num_captions": 2, "top_p": 0.9, "min_length": 3},
    ],
)
def test_every_decoding(folder: Path, settings: dict[str, object]) -> None:
    decoder, words = built(folder), vocabulary(folder)
    config = DecodingConfig(max_length=8, **settings)  # type: ignore[arg-type]
    found = decode(decoder.stepper(), decoder.initial_state(torch.randn(3, D)), config)
    for captions in found:
        assert len(captions) == config.num_captions
        assert not any(word in words.decode(one.tokens) for one in captions for word in ("<unk>", "endoftext"))


def test_frozen_or_tuned(folder: Path) -> None:
    for tune in (False, True):
        decoder = built(folder, tune=tune).train()
        decoder(torch.randn(1, D), torch.tensor([[5, 6, END]])).sum().backward()
        language = [weight for name, weight in decoder.named_parameters() if name.startswith("language.")]
        assert all((weight.grad is not None) == tune for weight in language)
        assert all(weight.grad is not None for weight in decoder.write.parameters())  # type: ignore[union-attr]
        assert decoder.language.training == tune  # type: ignore[union-attr]


def test_what_is_missing_or_wrong_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"decoder.model=/not/there: there is no such folder; put config.json, "):
        decoder_files(decoder_settings("prefix", model="/not/there"))
    with pytest.raises(UserError, match=r"tokenizer.json is not in that folder"):
        (tmp_path / "config.json").write_text("{}")
        decoder_files(decoder_settings("prefix", model=str(tmp_path)))
    config, files = (
        decoder_settings("prefix", model="foreign"),
        decoder_files(decoder_settings("prefix", model=str(folder))),
    )
    for told in ({"model_type": "nonsense"}, {"auto_map": {"AutoConfig": "evil.Evil"}, "model_type": "evil"}):
        with pytest.raises(UserError, match=r"config.json describes no language model that transformers knows"):
            build_decoder(config, (D,), 10, {**files, "config.json": json.dumps(told)})
    with pytest.raises(UserError, match="do not belong together"):
        small = {**json.loads(files["config.json"]), "vocab_size": 7}
        build_decoder(config, (D,), 10, {**files, "config.json": json.dumps(small)})
    with pytest.raises(ConfigError, match=r"decoder.tie_embeddings=True has no effect with decoder=prefix"):
        decoder_settings("prefix", tie_embeddings=True).check()

"""What every decoder must do, whatever it computes."""

import copy

import pytest
import torch
from tests.small_settings import DECODERS, REGION_DECODERS, decoder_settings
from torch import nn
from torch._dynamo.utils import counters

from showtell.config import DecodingConfig
from showtell.decoding import decode, ensemble_step
from showtell.decoding.hypothesis import split_state
from showtell.models import products
from showtell.models.decoders import lstm
from showtell.models.decoders.base import Decoder, attention_maps, build_decoder, word_attention
from showtell.models.layers import given_words

V, D = 11, 6


def small(name: str, **settings) -> nn.Module:
    torch.manual_seed(0)
    sizes = dict(embedding_size=8, hidden_size=8, attention_size=5, num_heads=2, num_layers=2, dropout=0.0)
    decoder = build_decoder(decoder_settings(name, **{**sizes, **settings}), shape(name), V)
    # fresh decoders are nearly indifferent to what they see; make them opinionated
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.9)
    return decoder.eval()


def shape(name: str) -> tuple[int, ...]:
    return (4, D) if name in REGION_DECODERS else (D,)


def pictures(name: str, count: int, **kwargs) -> torch.Tensor:
    return torch.randn(count, *shape(name), generator=torch.Generator().manual_seed(1), **kwargs)


CAPTIONS = torch.tensor([[3, 4, 5, 1], [6, 3, 3, 1], [9, 8, 7, 1]])
each_decoder = pytest.mark.parametrize("name", DECODERS)
each_attending = pytest.mark.parametrize("name", REGION_DECODERS)


@each_decoder
@pytest.mark.parametrize("settings", [{}, {"tie_embeddings": True}, {"region_size": 7, "embedding_size": 6}])
def test_stepping_gives_the_logits_of_teacher_forcing(name, settings):
    decoder, features = small(name, **settings), pictures(name, 3)
    state, logits = decoder.initial_state(features), []
    for column in given_words(CAPTIONS).unbind(1):
        answer, state = decoder.step(column, state)
        logits.append(answer)
    torch.testing.assert_close(torch.stack(logits, 1), decoder(features, CAPTIONS), atol=1e-5, rtol=1e-5)


@each_decoder
@pytest.mark.parametrize("settings", [{}, {"num_layers": 1}, {"image_every_step": True, "tie_embeddings": True}])
def test_decoding_steps_with_the_numbers_of_training(name, settings):
    """Beams of a picture share its row of what never changes, and words come from a table."""
    decoder, features = small(name, **settings), pictures(name, 3)
    captions = torch.stack([CAPTIONS, CAPTIONS.flip(0)], dim=1).flatten(0, 1)  # two of each picture, side by side
    with torch.no_grad():
        stepper, state, logits = decoder.stepper(), decoder.begin(features, captions), []
        for column in given_words(captions).unbind(1):
            answer, state = stepper(column, state)
            logits.append(answer)
    own, shared = split_state(stepper, state)
    assert {len(tensor) for tensor in own} == {6}
    assert {len(tensor) for tensor in shared} <= {3}
    repeated = decoder(features.repeat_interleave(2, 0), captions)
    torch.testing.assert_close(torch.stack(logits, 1), repeated, atol=1e-5, rtol=1e-5)


@each_decoder
@pytest.mark.parametrize("groups", [1, 2])
def test_beams_that_share_their_picture_find_what_beams_with_copies_find(name, groups):
    decoder, features = small(name, num_layers=2, image_every_step=True), pictures(name, 5)
    config = DecodingConfig(method="beam", beam_size=4, groups=groups, num_captions=3, max_length=6)
    shared = decode(decoder.stepper(), decoder.initial_state(features), config)
    copied = decode(decoder.step, decoder.initial_state(features), config)
    both = ensemble_step([decoder.stepper()] * 2, [decoder.initial_state(features)] * 2)
    for found in (copied, decode(*both, config)):
        assert [[h.tokens for h in caption] for caption in found] == [[h.tokens for h in c] for c in shared]


@each_decoder
def test_a_stepper_casts_a_weight_once_to_what_autocast_makes_of_it(name, monkeypatch):
    decoder, features, kept = small(name), pictures(name, 3), []

    def noted(weight, cast=products.cast):
        kept.append(cast(weight))
        return kept[-1]

    monkeypatch.setattr(products, "cast", noted)
    monkeypatch.setattr(lstm, "cast", noted)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        begun, said = decoder.initial_state(features), (CAPTIONS[:, 0], CAPTIONS[:, 1])
        stepper = decoder.stepper()
        kept.clear()
        answers = [stepper(said[0], begun)[0]]
        first = {id(weight) for weight in kept}
        answers.append(stepper(said[1], begun)[0])
        assert {id(weight) for weight in kept} == first
        assert {weight.dtype for weight in kept} == {torch.bfloat16}
        for tokens, answer in zip(said, answers, strict=True):
            assert torch.equal(answer, decoder.step(tokens, begun)[0])
        for weight in decoder.parameters():
            weight.mul_(0.5)
        changed = decoder.stepper()(said[0], begun)[0]
        assert torch.equal(changed, decoder.step(said[0], begun)[0])
        assert not torch.equal(changed, answers[0])


def test_no_table_where_dropout_draws_or_a_plugin_steps():
    decoder = small("lstm", word_dropout=0.9).train()
    assert decoder.stepper().step.__wrapped__ == decoder.step
    own = type("Own", (type(decoder),), {"step": lambda self, tokens, state: None})(
        decoder_settings("lstm", embedding_size=8, hidden_size=8), D, V
    )
    assert own.eval().stepper().step.__wrapped__ == own.step


@each_decoder
def test_several_captions_of_a_picture_are_told_as_those_of_several_pictures(name):
    decoder, features = small(name), pictures(name, 3).requires_grad_()
    captions = torch.cat([CAPTIONS, CAPTIONS.flip(0)])
    assert decoder.takes_several
    repeated = decoder(features.repeat_interleave(2, 0), captions)
    torch.testing.assert_close(decoder(features, captions), repeated, atol=1e-5, rtol=1e-5)
    seen = torch.autograd.grad(decoder(features, captions).square().sum(), features)[0]
    expected = torch.autograd.grad(repeated.square().sum(), features)[0]
    torch.testing.assert_close(seen, expected, atol=1e-3, rtol=1e-4)


@each_decoder
def test_the_batch_gives_what_its_pictures_give_one_by_one(name):
    decoder, features = small(name, num_layers=1), pictures(name, 5)
    config = DecodingConfig(method="beam", beam_size=3, num_captions=2, max_length=6)
    together = decode(decoder.step, decoder.initial_state(features), config)
    alone = [decode(decoder.step, decoder.initial_state(one[None]), config)[0] for one in features]
    assert [[h.tokens for h in caption] for caption in together] == [[h.tokens for h in c] for c in alone]
    assert len({round(captions[0].score, 4) for captions in together}) > 1, "the pictures make no difference"


@each_decoder
def test_gradients_are_those_of_finite_differences(name):
    decoder = small(name).double()
    features = pictures(name, 3, dtype=torch.float64).requires_grad_()
    weights = [p for p in decoder.parameters() if p.numel() < 45]

    def loss(features, *_):
        return nn.functional.cross_entropy(decoder(features, CAPTIONS).flatten(0, 1), CAPTIONS.flatten())

    assert torch.autograd.gradcheck(loss, (features, *weights), atol=1e-6)


@each_decoder
def test_overfits_one_batch(name):
    torch.manual_seed(0)
    config = decoder_settings(name, embedding_size=32, hidden_size=32, attention_size=16, num_heads=2)
    decoder, features = build_decoder(config, shape(name), V), pictures(name, 3)
    adam = torch.optim.Adam(decoder.parameters(), lr=0.005 if name == "transformer" else 0.02)
    for step in range(150):
        torch.manual_seed(step)  # hard attention must draw anew
        logits, extra = decoder.teacher_forced(features, CAPTIONS)
        adam.zero_grad()
        (nn.functional.cross_entropy(logits.flatten(0, 1), CAPTIONS.flatten()) + extra).backward()
        adam.step()
    captions = decode(decoder.eval().step, decoder.initial_state(features), DecodingConfig(max_length=6))
    assert [list(c[0].tokens) for c in captions] == CAPTIONS[:, :-1].tolist()


@each_decoder
def test_nothing_random_happens_outside_torchs_generator(name):
    decoder, features = small(name, dropout=0.5).train(), pictures(name, 3)

    def once():
        torch.manual_seed(5)
        return decoder(features, CAPTIONS)

    assert torch.equal(once(), once())
    assert not torch.equal(once(), decoder(features, CAPTIONS)), "dropout does nothing"


@each_decoder
def test_tied_embeddings_are_one_matrix(name):
    decoder = small(name, tie_embeddings=True, embedding_size=6)
    assert decoder.output.output.weight is decoder.word_embedding.weight
    free = sum(p.numel() for p in small(name, embedding_size=6).parameters())
    assert sum(p.numel() for p in decoder.parameters()) < free + 100


@each_attending
def test_attention_is_a_distribution_over_regions_that_the_picture_decides(name):
    decoder, features = small(name), pictures(name, 3)
    weights = word_attention(decoder, features, CAPTIONS)
    assert weights.shape == (3, 4, 4)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 4))
    assert (weights[0] - weights[1]).abs().max() > 0.01


@each_attending
def test_regions_know_their_place(name):
    decoder, features = small(name), pictures(name, 2)
    swapped = features[:, [3, 1, 2, 0]]
    assert not torch.allclose(decoder(features, CAPTIONS[:2]), decoder(swapped, CAPTIONS[:2]), atol=1e-4)


@each_attending
def test_pooled_features_are_one_region(name):
    decoder = small(name)
    features = torch.randn(3, D)
    torch.testing.assert_close(decoder(features, CAPTIONS), decoder(features[:, None], CAPTIONS))


@each_decoder
def test_a_decoder_says_what_it_reads_and_whether_it_attends(name):
    decoder = small(name)
    assert decoder.attends == (name in REGION_DECODERS)
    if not decoder.attends:
        assert decoder.attention(decoder.initial_state(pictures(name, 1))) is None
        assert attention_maps(decoder, pictures(name, 1), [[3]]) == []


def test_what_is_no_decoder_is_refused_where_it_is_built():
    with pytest.raises(TypeError, match="initial_state"):
        type("Half", (Decoder,), {"forward": None, "step": None})()


@each_decoder
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch reads it to compile
def test_compiling_reaches_what_training_and_decoding_call_and_no_copy(name):
    """Counted by the frames that torch captures; a caption of another length is no reason to capture again."""
    decoder, plain, features = small(name), small(name), pictures(name, 3)
    torch.compiler.reset()
    decoder.compile(dynamic=True, backend="eager")
    assert decoder.state_dict().keys() == plain.state_dict().keys()

    def frames(work):
        before = counters["frames"]["ok"]
        assert counters["frames"]["total"] == before, "a frame was given up"
        return work(), counters["frames"]["ok"] - before

    counters.clear()
    (logits, _), captured = frames(lambda: decoder.teacher_forced(features, CAPTIONS))
    assert captured
    torch.testing.assert_close(logits, plain(features, CAPTIONS), atol=1e-5, rtol=1e-5)
    for length in (3, 6):
        last = frames(lambda: decoder.teacher_forced(features, CAPTIONS[:, :1].expand(3, length)))[1]  # noqa: B023
    assert last == 0
    config = DecodingConfig(method="beam", beam_size=3, max_length=4)
    found, captured = frames(lambda: decode(decoder.stepper(), decoder.initial_state(features), config))
    assert captured
    assert [c[0].tokens for c in found] == [
        c[0].tokens for c in decode(plain.stepper(), plain.initial_state(features), config)
    ]
    assert frames(lambda: copy.deepcopy(decoder).teacher_forced(features, CAPTIONS))[1] == 0
    assert counters["frames"]["total"] == counters["frames"]["ok"]

"""The loss of a large vocabulary, without ever holding all logits."""

import pytest
import torch
from tests.small_settings import DECODERS
from torch import nn

from showtell.models import objective
from showtell.models.objective import teacher_forced_loss

from .test_decoders import CAPTIONS, pictures, small

pytestmark = pytest.mark.skipif(not hasattr(nn, "LinearCrossEntropyOptions"), reason="torch is too old for it")
WITH_PIECES = [name for name in DECODERS if name != "hard_attention"]


def loss_and_gradients(decoder, features, smoothing):
    decoder.zero_grad()
    loss, extra = teacher_forced_loss(decoder, features, CAPTIONS, smoothing)
    (loss + extra).backward()
    return [loss.detach(), extra.detach(), *(weight.grad.clone() for weight in decoder.parameters())]


@pytest.mark.parametrize("name", WITH_PIECES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_in_pieces_is_that_of_all_logits(name, smoothing, monkeypatch):
    decoder, features = small(name, tie_embeddings=True, attention_penalty=1.0), pictures(name, 3)
    whole = loss_and_gradients(decoder, features, smoothing)
    monkeypatch.setattr(objective, "MOST_LOGITS", 0)
    monkeypatch.setattr(decoder.output, "forward", lambda *_: pytest.fail("all logits were computed"))
    pieces = loss_and_gradients(decoder, features, smoothing)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-5)
    again = loss_and_gradients(decoder, features, smoothing)
    assert all(map(torch.equal, pieces, again)), "a resumed run must repeat it bit for bit"
    with torch.no_grad():
        validated, _ = teacher_forced_loss(decoder, features, CAPTIONS)
    assert validated.isfinite()


def test_mixed_precision_in_pieces(monkeypatch):
    decoder, features = small("lstm"), pictures("lstm", 3)
    with torch.autocast("cpu", torch.bfloat16):
        whole = loss_and_gradients(decoder, features, 0.0)
        monkeypatch.setattr(objective, "MOST_LOGITS", 0)
        pieces = loss_and_gradients(decoder, features, 0.0)
    torch.testing.assert_close(pieces, whole, atol=5e-2, rtol=5e-2)


def test_what_is_learnt_from_logits_gets_them(monkeypatch):
    decoder, features = small("hard_attention"), pictures("hard_attention", 3)
    whole = teacher_forced_loss(decoder, features, CAPTIONS)[0]
    monkeypatch.setattr(objective, "MOST_LOGITS", 0)
    assert teacher_forced_loss(decoder, features, CAPTIONS)[0] == whole

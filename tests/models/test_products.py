"""Linear layers by oneDNN: what `nn.Linear` computes, with its gradients, wherever they are used."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from showtell.models import products

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch is built without oneDNN"
)
ROWS, INPUTS, OUTPUTS = 40, 130, 501


@pytest.fixture(autouse=True)
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)


def layer(bias: bool = True) -> products.Linear:
    torch.manual_seed(0)
    return products.Linear(INPUTS, OUTPUTS, bias=bias)


def wide(*shape: int) -> Tensor:
    """Rows that do not lie side by side, as an LSTM's state that is half of a wider tensor."""
    return torch.randn(*shape, 2 * INPUTS, requires_grad=True).chunk(2, dim=-1)[1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS,), (5, 8)])
def test_values_and_gradients_are_linears(shape: tuple[int, ...], bias: bool) -> None:
    ours, given = layer(bias), wide(*shape)
    weighed = torch.randn(*shape, OUTPUTS)
    answer = ours(given)
    truth = functional.linear(given.double(), ours.weight.double(), ours.bias.double() if bias else None)
    assert "_Product" in answer.grad_fn.name()
    torch.testing.assert_close(answer.double(), truth, rtol=1e-5, atol=1e-5)
    asked = [given, *ours.parameters()]
    for one, other in zip(
        torch.autograd.grad(answer, asked, weighed), torch.autograd.grad(truth, asked, weighed.double()), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_gradients_that_repeat_one_number() -> None:
    ours, given = layer(), wide(ROWS)
    slopes = torch.autograd.grad(ours(given).sum(), given)[0]
    torch.testing.assert_close(slopes, ours.weight.sum(0).expand_as(slopes), rtol=1e-5, atol=1e-4)


def test_without_gradients_it_is_the_same_to_the_bit() -> None:
    ours, given = layer(), wide(ROWS)
    with torch.inference_mode():
        assert torch.equal(ours(given), ours(given))
    assert torch.equal(ours(given), ours(given).detach())


def test_what_would_not_gain_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Tensor) -> None:
        raise AssertionError

    monkeypatch.setattr(products, "_onednn", never)
    ours, given = layer(), wide(ROWS).detach()
    ours(given[:2])
    ours(given[:0])
    ours.double()(given.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.float()(given).dtype == torch.bfloat16
    with pytest.raises(AssertionError):
        ours(given)

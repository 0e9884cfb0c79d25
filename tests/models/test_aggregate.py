import pytest
import torch

from models.aggregate import aggregate, object_logits


@pytest.mark.parametrize("hard", [0, 1])
@pytest.mark.parametrize("keep", [0, 1])
def test_published_forms(golden, keep, hard):
    gold = golden("aggregate")
    prob = torch.from_numpy(gold["prob"])
    options = {"hard": bool(hard), "keep_background": bool(keep)}
    gold.check(f"wbg/keep{keep}/hard{hard}", aggregate(prob, dim=0, **options))
    gold.check(f"sbg/keep{keep}/hard{hard}", aggregate(prob, dim=0, background="half", **options))
    channels = prob.movedim(0, 1)
    gold.check(f"wbgc/keep{keep}/hard{hard}/prob", aggregate(channels, **options))
    gold.check(f"wbgc/keep{keep}/hard{hard}/logits", object_logits(channels) * (1000 if hard else 1))


@pytest.mark.parametrize("background", ["product", "half"])
def test_sums_to_one_and_follows_the_order_of_objects(background):
    torch.manual_seed(0)
    prob = torch.rand(2, 4, 6, 5)
    weights = aggregate(prob, background=background)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 6, 5))
    order = [2, 0, 3, 1]
    permuted = aggregate(prob[:, order], background=background)
    torch.testing.assert_close(permuted[:, 0], weights[:, 0])
    torch.testing.assert_close(permuted[:, 1:], weights[:, 1:][:, order])
    torch.testing.assert_close(aggregate(prob, background=background, keep_background=False), weights[:, 1:])


def test_an_absent_object_gets_nothing():
    prob = torch.tensor([0.7, 0.0]).view(1, 2, 1, 1)
    assert aggregate(prob)[0, 2].item() < 1e-5
    assert object_logits(prob)[0, 2].item() == pytest.approx(-16.118, abs=1e-3)
    assert object_logits(torch.ones(1, 1, 1, 1))[0, 1].item() == pytest.approx(15.942, abs=1e-3)


def test_gradients():
    prob = torch.rand(2, 3, 2, 2, dtype=torch.double) * 0.8 + 0.1
    assert torch.autograd.gradcheck(aggregate, prob.requires_grad_())


def test_unknown_background_is_refused():
    with pytest.raises(ValueError, match="choose product or half"):
        object_logits(torch.rand(1, 2, 3, 3), background="none")

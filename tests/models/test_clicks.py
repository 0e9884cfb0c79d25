import pytest
import torch

from models import clicks
from models.backbone import prepare_for_inference
from models.clicks import Click, ClickConfig, ClickNetwork, ClickSession, distance_maps, object_box, refine
from models.winograd import WinogradConv2d


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ClickNetwork(ClickConfig(dim=16, low_dim=8)).eval()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(clicks, "LONG_SIDE", 96)
    monkeypatch.setattr(clicks, "ZOOM_SIDE", 80)
    monkeypatch.setattr(clicks, "MIN_BOX", 24)


def test_distance_maps():
    maps = distance_maps([Click(2, 3, True), Click(2, 9, True)], (8, 12))
    assert maps.shape == (2, 8, 12)
    assert maps[0, 2, 3] == 0 and maps[0, 2, 9] == 0
    assert maps[0, 6, 6].item() == pytest.approx(torch.tanh(torch.tensor(2 * 5 / 260)).item())
    assert (maps[1] == 1).all()


def test_box_holds_the_object_and_the_positive_clicks():
    mask = torch.zeros(200, 300, dtype=torch.bool)
    mask[100:150, 100:160] = True
    top, left, bottom, right = object_box(mask, [Click(90, 170, True), Click(0, 0, False)])
    assert top <= 90 and left <= 100 and bottom >= 150 and right >= 171
    assert (bottom - top, right - left) == (84, 99)
    assert object_box(torch.zeros(20, 30, dtype=torch.bool), [Click(1, 1, False)]) == (0, 0, 20, 30)


def test_a_network_that_is_prepared_for_inference_refines_clicks():
    """The second click differentiates convolutions that the first one computes by Winograd's algorithm."""
    torch.manual_seed(0)
    network = prepare_for_inference(ClickNetwork(ClickConfig(dim=128, low_dim=8)))
    assert any(isinstance(module, WinogradConv2d) for module in network.deeplab.head)
    session = ClickSession(network, torch.randn(1, 3, 48, 64))
    session.add(20, 30, True)
    prob = session.add(5, 5, False)
    assert prob.shape == (48, 64) and prob.isfinite().all()


class Colours:
    """Stands for a trained network: its features are the colours, and it takes everything coloured for the object."""

    @property
    def deeplab(self):
        return self

    def features(self, image, maps):
        return torch.nn.functional.avg_pool2d(image, 4)

    def classify(self, features, size):
        logits = features.sum(1, keepdim=True) - 0.5
        return torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True)


def two_colours(height=90, width=150):
    """Red to the left, blue to the right of the middle; nothing along the border."""
    image = torch.zeros(1, 3, height, width)
    image[:, 0, 10:-10, 10:75] = 1
    image[:, 2, 10:-10, 75:-10] = 1
    return image


def test_refinement_obeys_a_click_and_extends_it_to_similar_pixels():
    session = ClickSession(Colours(), two_colours())
    first = session.add(40, 30, True)
    assert first.shape == (90, 150)
    assert first[40, 120] > 0.5  # blue pixels are included
    second = session.add(50, 110, False)
    assert second[50, 110] < 0.5 and second[20:70, 90:135].max() < 0.5
    assert second[40, 30] > 0.5 and second[20:70, 20:60].min() > 0.5

    without = ClickSession(Colours(), two_colours(), refine=False)
    torch.testing.assert_close(without.add(40, 30, True), first)  # the first click is not refined
    assert without.add(50, 110, False)[50, 110] > 0.5

    session.undo()
    assert session.clicks == [Click(40, 30, True)]
    torch.testing.assert_close(session.add(50, 110, False), second)


def test_refinement_keeps_right_predictions_and_is_bounded(network, monkeypatch):
    features = torch.randn(2, 24, 12, 16).relu()
    start = torch.full((2, 2, 24, 1, 1), 0.1)
    assert torch.equal(refine(network.deeplab, features, torch.zeros(2, 2, 48, 64), start), start)
    assert all(p.grad is None for p in network.parameters())
    calls, predict = [], clicks._predict
    monkeypatch.setattr(clicks, "_predict", lambda *args: calls.append(1) or predict(*args))
    both = torch.ones(2, 2, 48, 64)  # contradictory, so that it cannot be satisfied
    monkeypatch.setattr(clicks, "SETTLED", 0)
    refine(network.deeplab, features, both, start)
    assert 2 < len(calls) <= clicks.EVALUATIONS + 2


def test_answers_do_not_depend_on_mirroring(network):
    torch.manual_seed(3)
    image = torch.randn(1, 3, 64, 96)
    straight = ClickSession(network, image).add(30, 20, True)
    mirrored = ClickSession(network, image.flip(-1)).add(30, 95 - 20, True)
    torch.testing.assert_close(straight, mirrored.flip(-1), rtol=1e-4, atol=1e-5)


def test_bad_clicks_are_refused(network):
    session = ClickSession(network, torch.zeros(1, 3, 32, 48))
    with pytest.raises(ValueError, match="outside of the image"):
        session.add(32, 0, True)
    with pytest.raises(ValueError, match="no click to undo"):
        session.undo()
    with pytest.raises(ValueError, match="expected"):
        ClickSession(network, torch.zeros(3, 32, 48))

"""Saliency tubes: those of the PyTorch script at all sizes, and what becomes of the Keras script's numbers."""

import pytest
import torch
from torch import Tensor, nn

from models.saliency import SaliencySpec, evidence_of
from models.saliency.evidence import Evidence
from models.saliency.published_input import published_frames
from models.saliency.spline import zoom
from tests.reference.saliency.numbers import arrays, close

RAW, ZOOMED, LOGIT = 1e-6, 1e-5, 1e-6
SPEC = SaliencySpec({"clip": "features"}, head="pooled_linear", classifier="classifier")


class Head(nn.Module):
    """What comes after the last activation; it is given as the clip."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.classifier = nn.Linear(*weight.shape[::-1])
        bias = torch.zeros(len(weight)) if bias is None else bias
        self.classifier.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.features(features).mean((2, 3, 4)))


def explained(given: dict[str, Tensor]) -> tuple[Evidence, tuple[int, ...]]:
    """Evidence on the grid of the features, and the size that it is zoomed to."""
    model = Head(given["classifier_weight"], given.get("classifier_bias"))
    features = given["features"].unsqueeze(0)
    target = int(given["class_index"])
    size = tuple((torch.tensor(features.shape[2:]) * given["zoom_factor"]).tolist())
    return evidence_of(model, features, target, "tube", spec=SPEC), size


def test_tubes_are_those_of_the_published_script() -> None:
    for given in arrays("features", "classifier_weight", "class_index", "zoom_factor", "raw"):
        evidence, size = explained(given)
        assert close(evidence.maps["clip"][0], given["raw"], RAW)
        zoomed = evidence.upsample(size)
        pairs = {"zoomed": zoomed.maps["clip"][0], "tube": zoomed.normalised().maps["clip"][0]}
        compared = 0
        for name, found in pairs.items():
            if name in given:
                assert close(found, given[name], ZOOMED)
                compared += 1
            if f"{name}_strided" in given:
                stride = int(given["spatial_stride"])
                assert close(found[:, ::stride, ::stride], given[f"{name}_strided"], ZOOMED)
                compared += 1
        assert compared == len(pairs)


def test_a_whole_tube_has_the_published_range_frame_means_and_logits() -> None:
    for given in arrays("tube_frame_mean", "tube_min", "tube_max", "logits", "predicted", "classifier_bias"):
        evidence, size = explained(given)
        tube = evidence.upsample(size).normalised().maps["clip"][0]
        assert close(tube.mean((1, 2)), given["tube_frame_mean"], ZOOMED)
        assert float(tube.min()) == pytest.approx(float(given["tube_min"]), abs=ZOOMED)
        assert float(tube.max()) == pytest.approx(float(given["tube_max"]), abs=ZOOMED)
        model = Head(given["classifier_weight"], given["classifier_bias"])
        logits = model(given["features"].unsqueeze(0))[0].detach()
        assert close(logits, given["logits"], LOGIT)
        assert int(evidence_of(model, given["features"].unsqueeze(0), spec=SPEC).classes) == int(given["predicted"])
        assert float(given["raw"].mean() + evidence.constant) == pytest.approx(
            float(given["logits"][given["class_index"]]), abs=LOGIT
        )


def test_frames_of_a_clip_are_the_published_ones() -> None:
    for given in arrays("num_frames", "frame_indices"):
        expected = given["frame_indices"]
        assert published_frames(int(given["num_frames"]), len(expected)).tolist() == expected.tolist()


def test_a_map_divided_before_the_zoom_may_leave_its_range_as_in_the_keras_script() -> None:
    for given in arrays("features_thwc", "classifier_weight_ck", "normalized_before_zoom", "tube"):
        layout = {
            "features": given["features_thwc"].permute(3, 0, 1, 2),
            "classifier_weight": given["classifier_weight_ck"].T.contiguous(),
        }
        evidence, size = explained(given | layout)
        raw = evidence.maps["clip"][0]
        divided = raw / raw.max()
        assert close(divided, given["normalized_before_zoom"], ZOOMED)
        assert close(zoom(divided, size), given["tube"], ZOOMED)
        assert given["tube"].max() > 1 or given["tube"].min() < 0  # ours cannot
        ours = evidence.upsample(size).normalised().maps["clip"]
        assert (float(ours.min()), float(ours.max())) == (0, 1)

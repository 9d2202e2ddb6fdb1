"""MFNet ends as the network of the published script does: shape of the last activation, classifier, logits."""

import torch

from models.mfnet import MFNet
from tests.reference.saliency.numbers import arrays, close

LOGIT = 1e-6
STAGES = 4  # each with twice the channels of the one before


def test_the_published_activation_is_classified_as_published() -> None:
    for given in arrays("features", "classifier_weight", "classifier_bias", "logits", "zoom_factor"):
        features, weight = given["features"], given["classifier_weight"]
        frames, *sides = (torch.tensor(features.shape[1:]) * given["zoom_factor"]).tolist()
        model = MFNet(frames, sides, num_classes=len(weight), width=features.shape[0] >> (STAGES - 1)).eval()
        with torch.device("meta"):
            volume = MFNet(width=features.shape[0] >> (STAGES - 1)).forward_volume(torch.empty(1, 3, frames, *sides))
        assert volume.shape[1:] == features.shape
        model.classifier.load_state_dict({"weight": weight, "bias": given["classifier_bias"]})
        with torch.no_grad():
            assert close(model.classify(features.unsqueeze(0))[0], given["logits"], LOGIT)

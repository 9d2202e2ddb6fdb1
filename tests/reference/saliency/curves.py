"""Insertion and deletion, against curves of a network with stages."""

import torch
from torch import Tensor

from metrics.faithfulness import insertion_deletion
from tests.reference.saliency.numbers import arrays, close, staged_networks

TOLERANCE = 1e-5


def test_curves_and_areas_are_the_stored_ones_in_batches_of_any_size() -> None:
    for given in arrays("saliency", "deletion_curve", "insertion_curve", "fractions", "steps", "fc_weight_scale"):
        for model, other in staged_networks():
            clips, classes = other["input"], given["class_index"]
            if given["saliency"].shape[1:] != clips.shape[2:]:
                continue
            model.fc.weight.data *= float(given["fc_weight_scale"])

            def score(changed: Tensor, clip: Tensor, model=model, classes=classes) -> Tensor:
                return model(changed).softmax(1)[torch.arange(len(clip)), classes[clip]]

            for batch_size in (1, 7):
                steps = int(given["steps"])
                maps, baseline = given["saliency"].double(), torch.zeros_like(clips)
                found = insertion_deletion(score, clips, maps, baseline, steps, batch_size)
                assert close(found.fractions, given["fractions"], TOLERANCE)
                assert close(found.deletion, given["deletion_curve"], TOLERANCE)
                assert close(found.insertion, given["insertion_curve"], TOLERANCE)
                deletion, insertion = found.areas()
                assert close(deletion, given["deletion_auc"], TOLERANCE)
                assert close(insertion, given["insertion_auc"], TOLERANCE)
            break
        else:
            raise AssertionError("no network for the stored curves")

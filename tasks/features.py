"""Features of whole clips: what an encoder makes of them."""

from lightning import LightningModule
from torch import Tensor

from models.vit import VisionTransformer
from tasks.explaining import Explainable, explainable_clips


class FeatureExtraction(LightningModule):
    """Run an encoder over clips, and nothing else; `callbacks.features.Features` writes what comes out.

    Without a head that is the feature of a clip (``extract_tad_feature.py`` of OpenGVLab/VideoMAEv2: the layer norm of
    the mean token); with one it is its logits.

    Args:
        model: The encoder.
    """

    needs = ("video",)

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.model = model

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Encode clips: (B, D), or whatever the model returns."""
        return self.model(batch["video"])

    def test_step(self, batch: dict, batch_idx: int) -> Tensor:
        """The same as prediction, on the videos of the test split alone."""
        return self.predict_step(batch, batch_idx)

    def explainables(self, batch: dict) -> list[Explainable]:
        """What can be explained: the logits of each clip, or its feature, number by number."""
        return explainable_clips(self.model, batch)

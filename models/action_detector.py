"""A detector of actions: clips and boxes of actors in, logits of classes out."""

from typing import Annotated

from torch import Tensor, nn

from models.actor_head import ActorHead
from models.saliency_spec import SaliencySpec


class ActionDetector(nn.Module):
    """Say what the actors in the middle of a clip do; where they are is given.

    Args:
        backbone: Makes features of clips (B, 3, T, H, W) and their sizes (B, 2), and has ``widths`` and ``stride``, as
            `models.slowfast.SlowFast` does, and ``streams`` if it is to be explained.
        head: Makes logits of features and boxes. With its ``as_published`` the backbone sees what clips were filled up
            with as well, otherwise it does not: the actors of a clip then get the same logits in any batch.
        num_frames: T, frames of a clip; the datamodule takes it from here.

    Raises:
        ValueError: When the head is for other features than those of the backbone.
    """

    def __init__(
        self, backbone: nn.Module, head: ActorHead, num_frames: Annotated[int, "num_frames >= 1"] = 32
    ) -> None:
        super().__init__()
        if tuple(head.widths) != tuple(backbone.widths):
            raise ValueError(
                f"head.widths: expected those of the backbone, {list(backbone.widths)}, found {list(head.widths)}"
            )
        if head.stride != backbone.stride:
            raise ValueError(f"head.stride: expected that of the backbone, {backbone.stride}, found {head.stride}")
        if num_frames < 1:
            raise ValueError(f"num_frames: expected a number >= 1, found {num_frames}")
        self.backbone, self.head, self.num_frames = backbone, head, num_frames

    def saliency_spec(self) -> SaliencySpec:
        """Say how the logits of actors can be explained, by what both pathways see at their last stage.

        `forward` takes more than clips. Who explains gives a function of clips, for the actors of a clip that is alone:
        ``lambda video: model(video, rois, clip, size)["logits"].flatten().unsqueeze(0)``; class c of actor r is then
        output r * C + c. With a plain head evidence is exact and lies within boxes, where the maxima were found.
        Interaction lets actors look elsewhere: gradients show where.
        """
        return SaliencySpec(
            layers={path: f"backbone.{layer}" for path, layer in self.backbone.streams.items()},
            head="homogeneous" if self.head.homogeneous else None,
            classifier="head.classifier",
            method="tube" if self.head.homogeneous else "layer_cam",
        )

    def forward(
        self,
        video: Tensor,
        rois: Tensor,
        clip: Tensor,
        size: Tensor,
        noise: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Classify the actors of a batch.

        Without any actor everything is computed all the same, on tensors of no rows: the sum of the logits is 0, and
        its gradient 0 for every parameter, as other processes of a distributed training need it.

        Args:
            video: (B, 3, T, H, W) float, normalised.
            rois: (R, 4) float32 xyxy in [0, 1] of each actor's own clip; R may be 0.
            clip: (R,) int64, the clip of each actor.
            size: (B, 2) int64, height and width of each clip before it was filled up to H, W.
            noise: See `ActorHead.forward`.
            masks: See `ActorHead.forward`.

        Returns:
            See `ActorHead.forward`.

        Raises:
            ValueError: When clips have another number of frames, or coordinates are not finite.
        """
        if video.shape[2] != self.num_frames:
            raise ValueError(f"num_frames: expected clips of {self.num_frames} frames, found {video.shape[2]}")
        features = self.backbone(video, None if self.head.as_published else size)
        return self.head(features, rois, clip, size, tuple(video.shape[-2:]), noise, masks)

"""Features of sliding windows, read from disk as prediction reads them, equal those of VideoMAE V2's script."""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from datamodules.videos import Videos
from datamodules.windows import Windows
from tests.reference.focusmae.numbers import build_encoder, settings, tensor_files

TOLERANCE = 1e-5


def predicted(root: Path, cache: Path, size: tuple[int, int], content: dict, normalization: str) -> Iterator[dict]:
    """Batches as the model gets them, of a folder with frames."""
    datamodule = Videos(
        **{"root": str(root), "cache": str(cache), "image_size": size, "normalization": normalization},
        **{"num_frames": content["window"], "frame_step": 1, "batch_size": 3, "num_workers": 0},
        windows=Windows(content["stride"], tail="drop", views="squash", resize="float"),
    )
    datamodule.prepare_data()
    datamodule.setup("predict")
    for batch in datamodule.predict_dataloader():
        yield datamodule.on_after_batch_transfer(batch, 0)


@torch.no_grad()
def test_features_of_sliding_windows_equal_the_published_ones(tmp_path: Path) -> None:
    for path, tensors in tensor_files("in.frames_uint8_thwc", "in.starts", "out.features"):
        content = settings(path)
        model = build_encoder(content["config"], tensors)
        root = tmp_path / path.stem / "video"
        root.mkdir(parents=True)
        for number, frame in enumerate(tensors["in.frames_uint8_thwc"].numpy()):
            Image.fromarray(frame).save(root / f"{number:05}.png")
        for key, normalization in (("out.features", "zero_one"), ("out.features_with_imagenet_norm", "imagenet")):
            batches = list(predicted(root, tmp_path / "cache", tuple(model.image_size), content, normalization))
            real = torch.cat([batch["row"] for batch in batches]) >= 0
            starts = torch.cat([batch["frames"] for batch in batches])[real][:, 0]
            assert starts.tolist() == tensors["in.starts"].tolist()
            first = batches[0]["video"][0]
            pixels = first * batches[0]["std"].view(3, 1, 1, 1) + batches[0]["mean"].view(3, 1, 1, 1)
            assert torch.allclose(pixels, tensors["aux.first_clip_resized"], atol=TOLERANCE, rtol=0.0), key
            features = torch.cat([model.forward_features(batch["video"]) for batch in batches])[real]
            assert list(features.shape) == content["shape"]
            assert torch.allclose(features, tensors[key], atol=TOLERANCE, rtol=0.0), key

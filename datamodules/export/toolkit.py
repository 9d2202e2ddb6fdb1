"""Features in the folders, names and shapes in which detectors of this field read them."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from datamodules.export.product import FEATURES, Product, failed, product_file
from datamodules.feature_files import FeatureFile, FeatureFileError, load

LAYOUTS = ("arnet", "rtfm", "tad")
UNKNOWN_MODEL = "features"


def export_features(files: Mapping[str, FeatureFile], folder: Path, layout: str) -> Iterator[Product]:
    """Write the features of videos as float32, rows in the order of time; the files they come from stay as they are.

    ========= ============================================== ========================================================
    ``arnet`` ``features_video/<model>/<video>/feature.npy`` (T, C), or (T, 3, C) mean, deviation, maximum:
                                                             wanboyang/Anomaly_AR_Net_ICME_2020, rekkles2/Fed_WSVAD
    ``rtfm``  ``<video>_i3d.npy``                            (T, V, C), V crops: tianyu0207/RTFM and its successors
    ``tad``   ``<video>.npy``                                (T, C): OpenGVLab/VideoMAEv2
    ========= ============================================== ========================================================

    Args:
        files: Features by video.
        folder: Where the files go.
        layout: One of ``LAYOUTS``.

    Yields:
        A product for each video.
    """
    for file in files.values():
        path = folder / place(file, layout)
        try:
            content = saved(arranged(file, layout))
        except FeatureFileError as error:
            yield failed(FEATURES, error.path, error.reason)
            continue
        yield product_file(FEATURES, path, content)


def place(file: FeatureFile, layout: str) -> Path:
    """Where the features of a video go, below the folder of all."""
    if layout == "arnet":
        return Path("features_video", model_of(file), file.name, "feature.npy")
    return Path(f"{file.name}_i3d.npy" if layout == "rtfm" else f"{file.name}.npy")


def model_of(file: FeatureFile) -> str:
    """Name of the model that computed the features, as a folder."""
    path = (file.recipe or {}).get("model", {}).get("class", UNKNOWN_MODEL)
    return str(path).rpartition(".")[2].lower()


def arranged(file: FeatureFile, layout: str) -> np.ndarray:
    """Read the features of a video in the shape of a layout.

    Raises:
        FeatureFileError: When the layout has no place for them.
    """
    features = file.read()
    views, rows, _ = features.shape
    statistics = load(file.path, in_memory=False).shape[file.axes.index("statistic")] if "statistic" in file.axes else 1
    if layout == "rtfm":
        return features.transpose(1, 0, 2)
    if views > 1:
        reason = f"holds {views} views, the layout {layout} one; export them with datamodule.export_layout=rtfm"
        raise FeatureFileError(file.path, reason)
    if statistics == 1:
        return features[0]
    if layout == "tad":
        reason = f"holds {statistics} statistics, the layout tad one; export them with datamodule.export_layout=arnet"
        raise FeatureFileError(file.path, reason)
    return features[0].reshape(rows, statistics, -1)


def saved(array: np.ndarray) -> bytes:
    """An array as an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()

"""Converts labels of frames: ``python -m datamodules.export.labels frame_label.pickle labels.npz``.

A pickle is so read once, by a reader that runs nothing of it, and from then on never again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from datamodules.frame_labels import read_frame_labels, write_frame_labels


def convert_labels(source: str | Path, target: str | Path) -> str:
    """Write the labels of frames of one kind of file as another one.

    Args:
        source: What ``datamodules.frame_labels.read_frame_labels`` reads: a pickle, ``.npz``, ``.json``, or a folder of
            masks.
        target: ``.npz``, an array uint8 (N,) for each video, or ``.json``, the number of frames of each video and the
            intervals that are anomalous; its folder is made. It must not exist.

    Returns:
        What was converted, as a sentence.

    Raises:
        FileExistsError: When ``target`` is there.
        ValueError: When the labels cannot be read, or ``target`` is of another kind.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise FileExistsError(f"{target}: is there already; remove it, or name another file")
    labels = read_frame_labels(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_frame_labels(target, labels)
    frames, anomalous = sum(map(len, labels.values())), sum(int(label.sum()) for label in labels.values())
    return f"{target}: {len(labels)} videos, {frames} frames, {anomalous} of them anomalous"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser("python -m datamodules.export.labels", description="Convert labels of frames.")
    parser.add_argument("source", help="pickle, .npz, .json, or folder of <video>.npy")
    parser.add_argument("target", help=".npz or .json to write")
    options = parser.parse_args(arguments)
    try:
        print(convert_labels(options.source, options.target))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

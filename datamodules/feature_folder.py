"""Finds the features of the videos of a split in a folder, and says which are missing, broken or unlike the others."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from datamodules.checking import UNREADABLE, Defect
from datamodules.feature_files import SIDECAR, FeatureFile, FeatureFileError, describe
from datamodules.video_lists import name_in

MISSING_FEATURES = "missing features"
ORPHAN_FEATURES = "orphan features"
OTHER_RECIPE = "other recipe"


class FeatureFolderError(ValueError):
    """Videos of a split cannot be used; all of them are named."""


def files_by_video(folder: Path) -> dict[str, list[Path]]:
    """Find the arrays in a folder and those below it, by the video that their names or the folders they are in tell."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.npy")):
        name = name_in(path.relative_to(folder).as_posix())
        if name is not None:
            files[name].append(path)
    return files


def find_features(
    folder: Path, names: Collection[str], layout: str = SIDECAR
) -> tuple[dict[str, FeatureFile], dict[str, Defect]]:
    """Look at the features of some videos, without reading the numbers.

    Args:
        folder: Holds ``01_0014.npy``, ``01_0014_i3d.npy``, ``01_0014/feature.npy``, or for a file per crop
            ``01_0014_0.npy`` and so on; also in folders below it.
        names: The videos.
        layout: Of the files (`datamodules.feature_files.describe`).

    Returns:
        What was found, and what is wrong, both by video. Files that were made in another way than most are wrong.
    """
    files = files_by_video(folder)
    found: dict[str, FeatureFile] = {}
    wrong: dict[str, Defect] = {}
    for name in names:
        if name not in files:
            wrong[name] = Defect(MISSING_FEATURES, "", str(folder / f"{name}.npy"), "there is no file of this video")
            continue
        try:
            found[name] = describe(files[name], name, layout)
        except FeatureFileError as error:
            wrong[name] = Defect(UNREADABLE, "", str(error.path), error.reason)
    for name, reason in mixed(found):
        wrong[name] = Defect(OTHER_RECIPE, "", str(found.pop(name).path), reason)
    return found, wrong


def mixed(files: Mapping[str, FeatureFile]) -> list[tuple[str, str]]:
    """Name the videos whose features were made in another way than those of most, and the first thing that differs."""
    kinds = {name: json.dumps(traits(file), sort_keys=True) for name, file in files.items()}
    if len(set(kinds.values())) < 2:
        return []
    usual, count = Counter(kinds.values()).most_common(1)[0]
    expected = json.loads(usual)
    return [
        (name, f"{difference(json.loads(kind), expected)} as {count} of {len(files)} files have it")
        for name, kind in kinds.items()
        if kind != usual
    ]


def traits(file: FeatureFile) -> dict[str, Any]:
    """What the features of all videos must have in common, flat."""
    views, _, channels = file.shape
    return {"views": views, "channels": channels, **flat("recipe", file.recipe)}


def flat(key: str, value: Any) -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(value, Mapping):
        return {key: value}
    return {name: leaf for child in value for name, leaf in flat(f"{key}.{child}", value[child]).items()}


def difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The first key with another value, and both values."""
    key = next(key for key in (*expected, *found) if found.get(key, ...) != expected.get(key, ...))
    values = ("nothing" if key not in one else repr(one[key]) for one in (found, expected))
    return "found {}={}, expected {}".format(key, *values)


def orphans(folder: Path, names: Collection[str]) -> Iterator[Defect]:
    """Name the files in a folder that are of none of these videos."""
    for name, paths in files_by_video(folder).items():
        if name not in names:
            yield from (Defect(ORPHAN_FEATURES, "all", str(path), f"no list has a video {name}") for path in paths)


def require_usable(wrong: Mapping[str, Defect], total: int, folder: Path) -> None:
    """Refuse a split with videos that cannot be used.

    Args:
        wrong: What is wrong, by video.
        total: Videos of the split.
        folder: Where features were looked for.

    Raises:
        FeatureFolderError: Naming every video in ``wrong``.
    """
    if not wrong:
        return
    missing = [name for name, defect in wrong.items() if defect.kind == MISSING_FEATURES]
    lines = [f"datamodule.features={folder}: {len(wrong)} of {total} videos cannot be used:"]
    lines += [f"  there is no file of {', '.join(missing)}"] if missing else []
    lines += [f"  {defect.path}: {defect.detail}" for defect in wrong.values() if defect.kind != MISSING_FEATURES]
    lines += [advice(len(missing), total)] if missing else []
    raise FeatureFolderError("\n".join(lines))


def advice(missing: int, total: int) -> str:
    """How to go on where features are missing."""
    if missing == total:
        return (
            "None is there: datamodule.root and datamodule.split say which videos are looked for (root=sample: those "
            "of the generated sample), datamodule.features where."
        )
    return "A dump that was interrupted is completed by the command that began it (python train.py task=features ...)."

"""Files and folders that a config names and that are not there."""

import os
from pathlib import Path

import pytest

from core.command_line.files import check_can_be_made, check_file, check_paths
from core.errors import ConfigError

TARGET = "datamodules.shanghaitech.ShanghaiTech"


def test_a_folder_that_is_not_there_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "shanghaitech").mkdir()
    check_paths("datamodule", {"root": str(tmp_path / "shanghaitech")}, TARGET)
    with pytest.raises(ConfigError, match=r"datamodule.root=.*/shangaitech: no such .*did you mean '.*/shanghaitech'"):
        check_paths("datamodule", {"root": str(tmp_path / "shangaitech")}, TARGET)
    with pytest.raises(ConfigError, match=r"datamodule.root=smple: no such .*did you mean 'sample'"):
        check_paths("datamodule", {"root": "smple"}, TARGET)


def test_a_path_may_be_relative_to_the_root_where_the_class_says_so(tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    root = {"root": str(tmp_path)}
    check_paths("datamodule", root | {"regions": "boxes"}, TARGET)
    check_paths("datamodule", root | {"regions": str(tmp_path / "boxes")}, TARGET)
    check_paths("datamodule", root | {"regions": "auto"}, TARGET)
    check_paths("datamodule", {"root": "sample", "regions": "boxes"}, TARGET)  # the sample is yet to be made
    with pytest.raises(ConfigError, match=r"datamodule.regions=box: no such file or folder, nor in datamodule.root="):
        check_paths("datamodule", root | {"regions": "box"}, TARGET)
    with pytest.raises(ConfigError, match=r"datamodule.regions=.*/box: no such file or folder"):
        check_paths("datamodule", {"root": "sample", "regions": str(tmp_path / "box")}, TARGET)
    with pytest.raises(ConfigError, match=r"datamodule.list_file=boxes: no such file or folder"):
        check_paths("datamodule", {"root": "sample", "list_file": "boxes"}, TARGET)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    check_file("ckpt_path", "last", ("last", "best"))
    check_file("ckpt_path", "s3://bucket/file.ckpt")
    with pytest.raises(ConfigError, match="no such file"):
        check_file("ckpt_path", str(tmp_path), ("last", "best"))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_can_be_made("paths.logs", str(tmp_path / "new" / "logs"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "link").symlink_to("nowhere")
    for obstacle in ("file", "link"):
        with pytest.raises(ConfigError, match=rf"paths.logs=.*/{obstacle}/logs: {obstacle} is no folder; expected one"):
            check_can_be_made("paths.logs", str(tmp_path / obstacle / "logs"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder in which nobody can make another one")
def test_a_folder_that_not_even_root_can_make_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"paths.logs=/proc/logs: /proc cannot be written to \(.+\); give another"):
        check_can_be_made("paths.logs", "/proc/logs")


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="nothing is forbidden to root")
def test_a_folder_in_a_read_only_one_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written to"):
        check_can_be_made("paths.logs", str(tmp_path / "logs"))

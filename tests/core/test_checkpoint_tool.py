"""``python -m core.checkpoint``: what it shows, and what it exports."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.build import build
from core.checkpoint import read_checkpoint
from core.checkpoint.sums import digest_of, sum_file
from core.checkpoint.tool import main
from core.checkpoint.writing import write_checkpoint
from core.run import run
from models.pretrained import load_pretrained
from tests.toy_project import REPOSITORY, add_toys, run_python, toy_config

add_toys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run(toy_config(folder, "trainer.max_epochs=1", "trainer.log_every_n_steps=1"))
    return folder / "checkpoints" / "best.ckpt"


def shown(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    main(["show", str(path)])
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == str(path)
    return {
        name: text for name, text in (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines if line[2] != " ")
    }


def test_a_checkpoint_shows_what_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = shown(trained, capsys)
    assert facts["task"] == "toy tasks.toy_task.Restoration"
    assert re.fullmatch(r"models\.toy_network\.Autoencoder, 1,640 values in 4 tensors", facts["model"])
    assert facts["data"] == "datamodules.toy_clips.Clips, root=sample"
    assert (facts["step"], facts["epoch"]) == ("6", "0, counted from 0")
    assert f"torch {torch.__version__}" in facts["versions"] and "python 3." in facts["versions"]
    assert facts["size"] == f"{trained.stat().st_size:,} bytes"
    assert facts["validity"] == "whole, as best.ckpt.sha256 records"


def test_the_metrics_shown_are_those_of_the_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (trained.parents[1] / "metrics.csv").read_text().splitlines()
    place = rows[0].split(",").index("val/loss")
    logged = next(float(row.split(",")[place]) for row in rows[1:] if row.split(",")[place])
    assert read_checkpoint(trained)["metrics"]["val/loss"] == pytest.approx(logged)
    main(["show", str(trained)])
    assert f"val/loss {logged:.6g}" in capsys.readouterr().out


def test_a_file_of_an_earlier_version_is_shown_without_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {}, "config": {"task": {"_target_": "tasks.x.Y"}, "model": {}}}, tmp_path / "old.ckpt")
    facts = shown(tmp_path / "old.ckpt", capsys)
    assert facts["task"] == "tasks.x.Y"
    assert facts["step"] == facts["epoch"] == facts["versions"] == "not recorded"
    assert facts["metrics"] == "none recorded"
    assert facts["validity"] == "it opens; there is no old.ckpt.sha256 to compare it with"


def test_a_damaged_file_is_shown_as_far_as_it_opens_and_fails(
    tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.ckpt"
    data = bytearray(trained.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    sum_file(path).write_text(f"{digest_of(trained)}  bad.ckpt\n")
    with pytest.raises(SystemExit) as ended:
        main(["show", str(path)])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "step" in printed.out and "validity" not in printed.out
    assert "bad.ckpt: truncated or altered" in printed.err


def test_a_missing_file_is_one_message_on_the_command_line(tmp_path: Path) -> None:
    done = run_python(REPOSITORY, "-m", "core.checkpoint", "show", str(tmp_path / "none.ckpt"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'none.ckpt'}: no such checkpoint\n"


def test_an_export_builds_the_same_network_again(trained: Path, tmp_path: Path) -> None:
    main(["export", str(trained), str(tmp_path / "out")])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    stored = read_checkpoint(trained)
    model = build(config["model"], "model", trusted=("models.",))
    model.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, stored["state_dict"][f"model.{name}"])
    assert config["global_step"] == 6
    assert config["metrics"] == stored["metrics"]


def test_the_use_that_a_card_describes_works(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["export", str(trained), str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    exec(code, {})


def test_a_card_says_what_the_file_says_and_what_it_does_not(trained: Path, tmp_path: Path) -> None:
    main(["export", str(trained), str(tmp_path)])
    card = (tmp_path / "README.md").read_text()
    for part in ("Use", "Source", "Input", "Training data", "Training", "Results", "Limits"):
        assert f"\n## {part}\n" in card
    for fact in (
        digest_of(trained),
        "| `model.num_frames` | 2 |",
        "| initial weights | random |",
        "**Generated sample data**",
        f"| `val/loss` | {read_checkpoint(trained)['metrics']['val/loss']:.6g} |",
        "by `val/loss`, less is better",
        "no result on a test set",
        "records no licence",
    ):
        assert fact in card, fact


def test_the_card_of_a_bare_checkpoint_invents_nothing(tmp_path: Path) -> None:
    shared = torch.ones(2)
    content = {"state_dict": {"model.a": shared, "model.b": shared, "loss.scale": shared}}
    model = {"_target_": "models.x.Y", "pretrained": "k400.pth"}
    path = tmp_path / "bare.ckpt"
    write_checkpoint(content | {"config": {"task": {}, "model": model}}, path)
    main(["export", str(path)])
    card = (tmp_path / "bare" / "README.md").read_text()
    for fact in (
        "The checkpoint holds no metrics.",
        "does not say what it was trained on",
        "| step | not recorded |",
        "| initial weights | `k400.pth` |",
        "Training began from `k400.pth`",
        "Not exported, since they belong to the task and not to the network: `loss.scale`.",
    ):
        assert fact in card, fact
    assert set(load_file(tmp_path / "bare" / "model.safetensors")) == {"a", "b"}


def test_an_export_is_not_overwritten_unless_asked(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(SystemExit):
        main(["export", str(trained), str(tmp_path)])
    assert f"{tmp_path / 'README.md'} exists already" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"
    main(["export", str(trained), str(tmp_path), "--overwrite"])
    assert (tmp_path / "README.md").read_text() != "mine"


def test_a_folder_that_cannot_be_written_to_and_a_file_without_a_network_are_one_message(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        main(["export", str(trained), str(tmp_path / "file" / "out")])
    assert "model.safetensors: cannot be saved: Not a directory; it needs" in capsys.readouterr().err
    write_checkpoint({"state_dict": {}, "config": {"task": {}, "model": {}}}, tmp_path / "none.ckpt")
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path / "none.ckpt")])
    assert "there is no network to export" in capsys.readouterr().err


def test_exported_weights_enter_the_zoo_again(tmp_path: Path) -> None:
    small = {"image_size": 32, "patch_size": 16, "num_frames": 4, "dim": 24, "depth": 1, "num_heads": 2}
    node = {"_target_": "models.vit.VisionTransformer", **small}
    source, target = (build(node, "model") for _ in range(2))
    content = {f"model.{name}": tensor for name, tensor in source.state_dict().items()}
    write_checkpoint({"state_dict": content, "config": {"task": {}, "model": node}}, tmp_path / "vit.ckpt")
    main(["export", str(tmp_path / "vit.ckpt")])
    assert load_pretrained(target, tmp_path / "vit" / "model.safetensors").complete
    assert all(torch.equal(source.state_dict()[name], tensor) for name, tensor in target.state_dict().items())

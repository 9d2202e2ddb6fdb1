"""Features of videos: put together by name and row, written whole, verified, and refused when they do not belong."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import nn

from callbacks.features import Features, MissingFeaturesError
from callbacks.fingerprints import structure_sha256, weights_sha256
from tests.callbacks.clip_batches import FRAMES, TOKENS, WIDTH, Encoding, HandMade, Network, feature

VIDEOS = {"a": 3, "b.c": 1, "scene 1/d": 5}


def extract(
    folder: Path, data: HandMade | None = None, task: Encoding | None = None, mode: str = "predict", **options: object
) -> HandMade:
    data = HandMade(VIDEOS) if data is None else data
    trained = {
        name: options.pop(name) for name in ("limit_predict_batches", "precision", "ckpt_path") if name in options
    }
    run(folder, Features(str(folder), **options), data, task, mode, **trained)
    return data


def run(
    folder: Path,
    callbacks: Features | list[Features],
    data: object,
    task: Encoding | None = None,
    mode: str = "predict",
    ckpt_path: str | None = None,
    **options: object,
) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", devices=1, callbacks=callbacks, default_root_dir=folder, **quiet, **options)
    extra = {"return_predictions": False} if mode == "predict" else {"verbose": False}
    getattr(trainer, mode)(task or Encoding(), datamodule=data, ckpt_path=ckpt_path, **extra)


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.relative_to(folder).as_posix()[:-4]: np.load(path) for path in sorted(folder.rglob("*.npy"))}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sidecar(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def manifest(folder: Path) -> dict:
    return sidecar(folder, "manifest")


@pytest.mark.parametrize("mode", ["predict", "test"])
@pytest.mark.parametrize("form", ["tensor", "dict"])
def test_rows_go_where_they_belong_whatever_order_they_come_in(tmp_path: Path, mode: str, form: str) -> None:
    extract(tmp_path, task=Encoding(form=form), mode=mode)
    found = arrays(tmp_path)
    assert set(found) == set(VIDEOS)
    for place, (name, rows) in enumerate(VIDEOS.items()):
        assert found[name].dtype == np.float32
        assert found[name].tolist() == [feature(place, row, 0) for row in range(rows)]
    assert manifest(tmp_path) == {"done": sorted(VIDEOS), "skipped": [], "failed": []}


def test_views_of_a_row_lie_beside_each_other(tmp_path: Path) -> None:
    extract(tmp_path, HandMade(VIDEOS, views=3))
    assert arrays(tmp_path)["a"].tolist() == [[feature(0, row, view) for view in range(3)] for row in range(3)]
    assert sidecar(tmp_path, "a")["array"]["axes"] == ["row", "view", "channel"]


def test_a_sidecar_says_how_its_array_was_made(tmp_path: Path) -> None:
    task, data = Encoding(), HandMade(VIDEOS)
    extract(tmp_path, data, task, layer="blocks", pool="mean_std_max", dtype="float16")
    found = sidecar(tmp_path, "scene 1/d")
    assert (found["format"], found["version"], found["video"]) == ("vidzoo-features", 1, "scene 1/d")
    assert found["source"] == data.feature_sources()["scene 1/d"]
    assert found["array"] | {"sha256": ""} == {
        "shape": [5, 3, WIDTH],
        "dtype": "float16",
        "sha256": "",
        "axes": ["row", "statistic", "channel"],
    }
    assert found["rows"]["frames"] == [[2 * row, 2 * row + FRAMES - 1] for row in range(5)]
    assert found["rows"]["seconds"] == [[first / 25, last / 25] for first, last in found["rows"]["frames"]]
    assert found["recipe"] == {
        "data": data.recipe(),
        "task": {"class": "tests.callbacks.clip_batches.Encoding", "step": "predict_step"},
        "model": {
            "class": "tests.callbacks.clip_batches.Network",
            "weights_sha256": weights_sha256(task.model),
            "structure_sha256": structure_sha256(task.model),
            "compiled": False,
            "layer": "blocks",
            "pool": "mean_std_max",
        },
        "precision": "32-true",
        "dtype": "float16",
    }
    assert found["versions"]["torch"] == torch.__version__ and found["versions"]["device"] == "cpu"


def test_files_are_float32_or_float16_as_asked(tmp_path: Path) -> None:
    extract(tmp_path / "32")
    extract(tmp_path / "16", dtype="float16")
    wide, narrow = arrays(tmp_path / "32"), arrays(tmp_path / "16")
    assert {array.dtype.str for array in wide.values()} == {"<f4"}
    assert {array.dtype.str for array in narrow.values()} == {"<f2"}
    assert all((narrow[name] == wide[name].astype(np.float16)).all() for name in wide)


def test_features_in_bfloat16_are_stored_in_the_type_that_was_asked_for(tmp_path: Path) -> None:
    extract(tmp_path, precision="bf16-mixed", layer="scale")
    assert arrays(tmp_path)["a"].dtype == np.float32
    assert sidecar(tmp_path, "a")["recipe"]["precision"] == "bf16-mixed"


def test_a_layer_is_taken_as_it_was_and_listened_to_only_during_the_run(tmp_path: Path) -> None:
    """The layer that follows it works in place; without its work the first token would be negative."""
    model = Network()
    with torch.no_grad():
        model.scale.weight.neg_()
    extract(tmp_path, task=Encoding(model), layer="blocks.0", pool="tokens")
    tokens = arrays(tmp_path)["a"]
    assert tokens.shape == (3, TOKENS, WIDTH)
    assert tokens[2, :, 1].tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert sidecar(tmp_path, "a")["array"]["axes"] == ["row", "token", "channel"]
    assert all(not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_layer_of_a_compiled_model_is_the_same(tmp_path: Path, backend: str) -> None:
    extract(tmp_path / "plain", layer="blocks.0", pool="mean_std_max")
    model = Network()
    model.compile(backend=backend)
    extract(tmp_path / "compiled", task=Encoding(model), layer="blocks.0", pool="mean_std_max")
    plain, compiled = arrays(tmp_path / "plain"), arrays(tmp_path / "compiled")
    assert all(np.allclose(compiled[name], plain[name], atol=1e-6) for name in VIDEOS)
    assert sidecar(tmp_path / "compiled", "a")["recipe"]["model"]["compiled"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "block.0"}, r"layer=block.0: Network has no such layer; the nearest are blocks.0"),
        ({"layer": "encoder"}, r"layer=encoder: .*the nearest are scale, blocks, both"),
        ({"layer": "both"}, r"layer=both: expected a layer that returns a tensor, found a tuple"),
        ({"pool": "tokens"}, r"pool=tokens: expected tokens .* choose callbacks.features.layer=blocks"),
        ({"pool": "mean_std_max"}, r"pool=mean_std_max: expected tokens .* choose callbacks.features.layer=blocks"),
        ({"pool": "median"}, r"pool: expected one of none, mean, mean_std_max, tokens, found 'median'"),
        ({"dtype": "float64"}, r"dtype: expected one of float32, float16, found 'float64'"),
        ({"report_every_s": -1.0}, r"report_every_s: expected at least 0, found -1.0"),
    ],
)
def test_an_option_that_cannot_be_is_named(tmp_path: Path, options: dict, message: str) -> None:
    model = Network()
    with pytest.raises(ValueError, match=rf"callbacks.features.{message}"):
        extract(tmp_path, task=Encoding(model), **options)
    assert not arrays(tmp_path)
    assert all(not module._forward_hooks for module in model.modules())


class Unused(Network):
    """A network with a layer that never runs and one that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Identity()

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return super().forward(self.scale(video))


@pytest.mark.parametrize(("layer", "what"), [("spare", "did not run"), ("scale", "ran 2 times")])
def test_a_layer_that_does_not_run_once_is_refused(tmp_path: Path, layer: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"layer={layer}: it {what} in this step"):
        extract(tmp_path, task=Encoding(Unused()), layer=layer)


@pytest.mark.parametrize(("form", "found"), [("scores", "a dict with 'scores'"), ("nothing", "None")])
def test_a_step_without_features_is_refused_with_the_way_out(tmp_path: Path, form: str, found: str) -> None:
    expected = rf"Encoding.predict_step returned {found}; .*layer=NAME \(the first level: scale, blocks, both\)"
    with pytest.raises(ValueError, match=expected):
        extract(tmp_path, task=Encoding(form=form))


def test_data_that_do_not_say_how_they_are_made_are_refused(tmp_path: Path) -> None:
    data = HandMade(VIDEOS)
    with pytest.raises(ValueError, match=r"recipe\(\) and feature_sources\(\).*; found no datamodule"):
        trainer = Trainer(
            accelerator="cpu", logger=False, callbacks=[Features(str(tmp_path))], default_root_dir=tmp_path
        )
        trainer.predict(Encoding(), data.predict_dataloader())


def test_batches_without_the_keys_of_clips_are_refused(tmp_path: Path) -> None:
    data = HandMade(VIDEOS)
    plain = data.batch
    data.batch = lambda clips: {key: value for key, value in plain(clips).items() if key not in ("row", "seconds")}
    with pytest.raises(ValueError, match="batches lack row, seconds; found video, name"):
        extract(tmp_path, data)


# What is there already.


def test_a_second_run_verifies_and_computes_nothing(tmp_path: Path) -> None:
    extract(tmp_path)
    before = {name: content for name, content in contents(tmp_path).items() if name != "manifest.json"}
    data = extract(tmp_path)
    assert data.left_out == set(VIDEOS) and data.seen == []
    assert {name: content for name, content in contents(tmp_path).items() if name != "manifest.json"} == before
    assert manifest(tmp_path) == {"done": [], "skipped": sorted(VIDEOS), "failed": []}


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: damage(folder / "a.npy"), "a: the sum of a.npy is not that of its sidecar"),
        (lambda folder: (folder / "a.npy").unlink(), "a: no a.npy"),
        (lambda folder: (folder / "a.json").unlink(), "a: no a.json"),
        (lambda folder: (folder / "a.json").write_text((folder / "a.json").read_text()[:99]), "a: a.json is cut short"),
        (lambda folder: (folder / "a.npy").write_bytes(b""), "a: the sum of a.npy is not that of its sidecar"),
    ],
    ids=["altered", "array missing", "sidecar missing", "sidecar cut", "array empty"],
)
def test_what_is_damaged_is_computed_again_and_that_is_said(
    tmp_path: Path, harm: object, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    extract(tmp_path)
    before = contents(tmp_path)
    harm(tmp_path)
    with caplog.at_level(logging.WARNING):
        data = extract(tmp_path)
    assert said in caplog.text
    assert data.left_out == set(VIDEOS) - {"a"}
    after = contents(tmp_path)
    assert manifest(tmp_path)["done"] == ["a"]
    assert all(after[name] == before[name] for name in before if name != "manifest.json")


def test_a_video_that_was_there_is_not_written_again_when_its_clips_come(tmp_path: Path) -> None:
    """Videos are computed together; one that is missing brings the others along."""
    extract(tmp_path)
    (tmp_path / "a.json").unlink()
    kept = (tmp_path / "b.c.npy").stat().st_mtime_ns
    data = HandMade(VIDEOS)
    data.leave_out = lambda names: None
    extract(tmp_path, data)
    assert set(data.seen) == set(VIDEOS)
    assert (tmp_path / "b.c.npy").stat().st_mtime_ns == kept
    assert manifest(tmp_path) == {"done": ["a"], "skipped": ["b.c", "scene 1/d"], "failed": []}


def shifted() -> Encoding:
    task = Encoding()
    with torch.no_grad():
        task.model.scale.weight[0, 0] += 1e-6
    return task


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": HandMade(VIDEOS, stride=4)}, "recipe.data.windows.stride: found 2, expected 4"),
        ({"task": shifted()}, 'recipe.model.weights_sha256: found "'),
        ({"task": Encoding(Network(heads=2))}, 'recipe.model.structure_sha256: found "'),
        ({"layer": "blocks", "pool": "mean"}, 'recipe.model.layer: found null, expected "blocks"'),
        ({"dtype": "float16"}, 'recipe.dtype: found "float32", expected "float16"'),
        ({"precision": "bf16-mixed"}, 'recipe.precision: found "32-true", expected "bf16-mixed"'),
        ({"mode": "test"}, 'recipe.task.step: found "predict_step", expected "test_step"'),
        ({"data": HandMade(VIDEOS, size=99)}, "source.bytes: found 100, expected 99"),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_features_of_other_settings_are_refused_before_anything_happens(
    tmp_path: Path, changed: dict, said: str
) -> None:
    extract(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError) as caught:
        extract(tmp_path, **changed)
    assert f"callbacks.features.folder={tmp_path} holds features of other settings (3 videos); of a" in str(
        caught.value
    )
    assert said in str(caught.value)
    assert "another folder, or replace them with callbacks.features.overwrite=true" in str(caught.value)
    assert contents(tmp_path) == before


def test_overwrite_replaces_what_is_of_other_settings(tmp_path: Path) -> None:
    extract(tmp_path)
    extract(tmp_path, task=shifted(), overwrite=True)
    assert arrays(tmp_path)["scene 1/d"][0, 0] == pytest.approx(feature(2, 0, 0)[0], abs=1e-5)
    assert manifest(tmp_path)["done"] == sorted(VIDEOS)
    assert extract(tmp_path, task=shifted(), overwrite=True).seen == []


def test_a_video_that_moved_to_another_place_is_the_same_video(tmp_path: Path) -> None:
    extract(tmp_path)
    data = HandMade(VIDEOS)
    plain = data.feature_sources()
    data.feature_sources = lambda: {name: source | {"path": f"/mnt/{name}"} for name, source in plain.items()}
    assert extract(tmp_path, data).seen == []


def test_a_sidecar_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"shapes": []}')
    (tmp_path / "a.npy").write_bytes(b"not ours")
    with pytest.raises(ValueError, match='format: found nothing, expected "vidzoo-features"'):
        extract(tmp_path)


def test_the_weights_of_a_checkpoint_are_the_ones_that_count(tmp_path: Path) -> None:
    """They are loaded after the setup of callbacks, by Lightning."""
    trainer = Trainer(accelerator="cpu", logger=False, max_epochs=0, default_root_dir=tmp_path, barebones=False)
    trainer.strategy.connect(shifted())
    for name, alone in (("whole.ckpt", False), ("weights.ckpt", True)):
        trainer.save_checkpoint(tmp_path / name, weights_only=alone)
        folder = tmp_path / name.partition(".")[0]
        extract(folder, ckpt_path=str(tmp_path / name))
        assert sidecar(folder, "a")["recipe"]["model"]["weights_sha256"] == weights_sha256(shifted().model)
        extract(folder, ckpt_path=str(tmp_path / name))
        assert manifest(folder)["skipped"] == sorted(VIDEOS)
        with pytest.raises(ValueError, match="weights_sha256"):
            extract(folder)
        random = tmp_path / f"random_{name}"
        extract(random)
        with pytest.raises(ValueError, match="weights_sha256"):
            extract(random, ckpt_path=str(tmp_path / name))


def test_two_files_with_the_same_weights_are_the_same_weights(tmp_path: Path) -> None:
    model = Network()
    state = {name: value.clone() for name, value in reversed(model.state_dict().items())}
    torch.save(state, tmp_path / "a.pt")
    again = Network()
    with torch.no_grad():
        again.scale.weight.zero_()
    again.load_state_dict(torch.load(tmp_path / "a.pt", weights_only=True))
    assert weights_sha256(again) == weights_sha256(model)
    layers = {name: nn.Linear(2, 2) for name in "ab"}
    one, other = nn.ModuleDict(layers), nn.ModuleDict(reversed(layers.items()))
    assert list(one.state_dict()) != list(other.state_dict()) and weights_sha256(one) == weights_sha256(other)
    assert weights_sha256(model.double()) != weights_sha256(again)


def test_two_callbacks_write_two_folders_in_one_run(tmp_path: Path) -> None:
    """What one of them has already, the other one may still need."""
    run(tmp_path, Features(str(tmp_path / "mean")), HandMade(VIDEOS))
    both = [Features(str(tmp_path / "tokens"), layer="blocks", pool="tokens"), Features(str(tmp_path / "mean"))]
    data = HandMade(VIDEOS)
    run(tmp_path, both, data)
    assert set(data.seen) == set(VIDEOS) == set(arrays(tmp_path / "tokens"))
    assert manifest(tmp_path / "mean")["skipped"] == sorted(VIDEOS)


# What goes wrong.


def test_a_video_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    with pytest.raises(MissingFeaturesError) as caught:
        extract(tmp_path, HandMade(VIDEOS, failing={"scene 1/d": "moov atom not found"}))
    assert set(arrays(tmp_path)) == {"a", "b.c"}
    failed = {"video": "scene 1/d", "path": "scene 1/d.mp4", "reason": "moov atom not found"}
    assert manifest(tmp_path) == {"done": ["a", "b.c"], "skipped": [], "failed": [failed]}
    assert "1 of 3 videos have no features" in str(caught.value)
    assert str(tmp_path / "manifest.json") in str(caught.value) and "moov atom not found" in str(caught.value)
    extract(tmp_path)
    assert manifest(tmp_path) == {"done": ["scene 1/d"], "skipped": ["a", "b.c"], "failed": []}


def test_nothing_old_is_left_of_a_video_that_fails(tmp_path: Path) -> None:
    extract(tmp_path)
    with pytest.raises(MissingFeaturesError):
        extract(tmp_path, HandMade(VIDEOS, failing={"a": "gone"}), task=shifted(), overwrite=True)
    assert not (tmp_path / "a.npy").exists() and not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("keeps", "reason"),
    [(lambda clip: clip != ("a", 1, 0), "2 of 3 clips came"), (lambda clip: clip[0] != "a", "no clip of it came")],
)
def test_a_video_whose_clips_do_not_all_come_fails(tmp_path: Path, keeps: object, reason: str) -> None:
    data = HandMade(VIDEOS)
    every = data.clips
    data.clips = lambda: [clip for clip in every() if keeps(clip)]
    with pytest.raises(MissingFeaturesError, match=reason):
        extract(tmp_path, data)
    assert set(arrays(tmp_path)) == {"b.c", "scene 1/d"}


@pytest.mark.parametrize("name", ["a", "b.c"])
def test_a_clip_that_comes_twice_is_refused(tmp_path: Path, name: str) -> None:
    """While its video is under way, or when it is written already."""
    data = HandMade(VIDEOS)
    every = data.clips
    data.clips = lambda: [(name, 0, 0), *(clip for clip in every() if clip != (name, 0, 0)), (name, 0, 0)]
    with pytest.raises(ValueError, match=rf"{name}: row 0 .*came .*a sampler repeats clips"):
        extract(tmp_path, data)


def test_a_clip_outside_of_its_video_is_refused(tmp_path: Path) -> None:
    data = HandMade(VIDEOS)
    every = data.clips
    data.clips = lambda: [*every(), ("a", 7, 0)]
    with pytest.raises(ValueError, match=r"a: (found row 7 of 3|row 7 came after the last one)"):
        extract(tmp_path, data)


@pytest.mark.parametrize(("dtype", "factor", "hint"), [("float32", float("nan"), ""), ("float16", 1e6, "float16 ends")])
def test_features_that_are_not_finite_are_not_written(tmp_path: Path, dtype: str, factor: float, hint: str) -> None:
    task = Encoding()
    with torch.no_grad():
        task.model.scale.weight[1, 1] = factor
    with pytest.raises(MissingFeaturesError, match=f"a .*NaN or infinite.*{hint}"):
        extract(tmp_path, HandMade({"a": 3}), task, dtype=dtype)
    assert not arrays(tmp_path)


def test_a_part_that_was_asked_for_is_not_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        extract(tmp_path, limit_predict_batches=1)
    found = manifest(tmp_path)
    assert found["failed"] == [] and len(found["done"]) < len(VIDEOS)
    assert f"{len(VIDEOS) - len(found['done'])} videos are not finished" in caplog.text
    extract(tmp_path)
    assert set(arrays(tmp_path)) == set(VIDEOS)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "manifest", "a//b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="can have no file"):
        extract(tmp_path / "features", HandMade({name: 1}))
    assert not list(tmp_path.rglob("*.npy"))


def test_a_wrong_number_of_features_is_refused(tmp_path: Path) -> None:
    task = Encoding()
    task.predict_step = lambda batch, batch_idx: torch.zeros(2, WIDTH)
    with pytest.raises(ValueError, match=r"found features \(2, 3\) of 4 clips"):
        extract(tmp_path, task=task)


def test_half_written_files_of_a_killed_run_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "scene 1").mkdir()
    (tmp_path / "scene 1" / ".saving-99.npy.part").write_bytes(b"half")
    extract(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


class StoppedInTime(Encoding):
    """Ends like a run that was sent a signal, in its second batch."""

    def predict_step(self, batch: dict, batch_idx: int) -> object:
        if batch_idx == 1:
            raise SystemExit(130)
        return super().predict_step(batch, batch_idx)


def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = StoppedInTime()
    with pytest.raises(SystemExit):
        extract(tmp_path, task=task, layer="blocks", pool="mean")
    assert f"add callbacks.features.folder={tmp_path} to go on" in caplog.text
    assert not (tmp_path / "manifest.json").exists()
    assert all(not module._forward_hooks for module in task.modules())
    assert 0 < len(arrays(tmp_path)) < len(VIDEOS)


def test_features_are_left_alone_in_a_training(tmp_path: Path) -> None:
    callback = Features(str(tmp_path))
    callback.setup(Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path), Encoding(), "fit")
    callback.teardown(Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path), Encoding(), "fit")
    assert not list(tmp_path.rglob("*.json"))


def test_the_pace_is_told_on_the_way_and_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        extract(tmp_path, report_every_s=0.0)
    assert "3 videos to do, 0 are there and verified" in caplog.text
    assert "features: 3 of 3 videos; " in caplog.text
    last = caplog.messages[-1]
    assert "3 videos written, 0 there before, 0 failed; 9 clips in " in last
    assert "videos/s, " in last and "clips/s, " in last and "frames/s, " in last and "waiting for data" in last

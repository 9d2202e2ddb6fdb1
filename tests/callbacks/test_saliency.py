"""What a model sees is shown as it is known to be, of the answers that were asked for, and nothing is disturbed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import callbacks.saliency_files
import callbacks.saliency_tubes
from callbacks.saliency import Saliency
from callbacks.saliency_choice import Choice, explained_class, sureness
from callbacks.saliency_files import stem
from callbacks.saliency_pictures import FAINT, INK, font, wrapped
from callbacks.saliency_sample import region_mask, sample_of
from models.saliency import UnknownLayerError
from tasks.explaining import Explainable
from tests.callbacks.saliency_reds import (
    CLASSES,
    REDNESS,
    SIDE,
    Clips,
    Films,
    Finder,
    H,
    Redness,
    T,
    W,
    left_of,
    trainer,
)
from tests.conftest import REPOSITORY


def explained(folder: Path, task: Finder | None = None, **options: Any) -> list[dict]:
    """Test with the callback; what it says that it wrote."""
    trainer(folder, **options).test(task or Finder(), datamodule=Films(), verbose=False)
    return json.loads((folder / "test" / "samples.json").read_text())


def names(samples: list[dict]) -> list[str]:
    return [sample["name"] for sample in samples]


def film(*clips: int) -> list[str]:
    return [f"film/{clip}: a b" for clip in clips]


def arrays(folder: Path, sample: dict) -> dict[str, np.ndarray]:
    with np.load(folder / "test" / next(name for name in sample["files"] if name.endswith(".npz"))) as file:
        return dict(file)


def test_the_map_of_a_model_that_looks_for_red_is_the_red_square(tmp_path: Path) -> None:
    [sample] = explained(tmp_path, num_samples=1, which="best")
    found = arrays(tmp_path, sample)
    assert (found["name"], found["target"], found["method"], found["truth"]) == (sample["name"], "red", "tube", "red")
    expected = np.zeros((T, H, W))
    expected[:, :SIDE, :SIDE] = 40 * REDNESS[0]
    np.testing.assert_allclose(found["map/clip"], expected, atol=1e-5)
    assert found["map/clip"].mean() + found["constant"] == pytest.approx(found["logit"], abs=1e-5)
    assert found["completeness_error"] < 1e-5 and found["exact"]
    np.testing.assert_allclose(found["shown/tube"], expected > 0, atol=1e-3)
    assert found["frames"].tolist() == [0, 1, 2, 3] and found["layer/clip"] == "see"
    assert found["probability"] == pytest.approx(1 / (1 + np.exp(-2 * found["logit"])), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"which": "worst", "num_samples": 2}, film(3, 1)),
        ({"which": "best", "num_samples": 3}, film(0, 4, 2)),
        ({"which": "first", "num_samples": 2}, film(0, 1)),
        ({"which": "listed", "names": [*film(4, 2)], "num_samples": 1}, film(4, 2)),
        ({"which": "listed", "names": ["film/2: a b:22", "film/1: a b:9"]}, film(2)),
    ],
)
def test_the_answers_are_those_that_were_asked_for(tmp_path: Path, options: dict, expected: list[str]) -> None:
    samples = explained(tmp_path, formats=["npz"], **options)
    assert names(samples) == expected and [sample["sample"] for sample in samples] == [*range(1, len(expected) + 1)]


def test_worst_means_least_sure_of_what_is_true_and_else_of_what_is_said(tmp_path: Path) -> None:
    known = explained(tmp_path / "known", formats=["npz"], num_samples=1, target="pale")
    unknown = explained(tmp_path / "unknown", Finder(known=False), formats=["npz"], num_samples=1)
    assert names(known) == film(3)
    logits = {clip: 40 * red * SIDE**2 / (H * W) - 1 for clip, red in enumerate(REDNESS)}
    assert names(unknown) == film(min(logits, key=lambda clip: abs(logits[clip])))


@pytest.mark.parametrize("target", ["predicted", "true", True, "pale", 1])
def test_a_target_is_what_is_said_what_is_true_or_a_class_by_name_or_number(tmp_path: Path, target: object) -> None:
    [sample] = explained(tmp_path, formats=["npz"], which="best", num_samples=1, target=target)
    assert sample["target"] == ("pale" if target in ("pale", 1) and target is not True else "red")


@pytest.mark.parametrize(
    ("target", "known", "message"),
    [
        ("green", True, r"target: expected predicted, .* or a class \(red, pale\), found 'green'"),
        (2, True, "a number from 0 to 1"),
        ("true", False, "of film/0: a b it is not known what is true; use callbacks.saliency.target=predicted"),
        ("face", True, "target=face: this task says something of each clip only"),
    ],
)
def test_a_target_that_is_not_there_is_refused_at_the_first_batch(
    tmp_path: Path, target: object, known: bool, message: str
) -> None:
    task = Finder(known)
    with pytest.raises(ValueError, match=message):
        explained(tmp_path, task, target=target)
    assert task.batches == 1


def test_an_unknown_layer_is_refused_before_any_batch_with_those_that_there_are(tmp_path: Path) -> None:
    task = Finder()
    with pytest.raises(UnknownLayerError, match=r"Redness has no layer 'sea'; did you mean see\? .* see, drop, head"):
        explained(tmp_path, task, layer="sea", method="grad_cam")
    assert task.batches == 0


def test_a_method_that_is_not_for_the_model_is_refused_at_the_first_batch(tmp_path: Path) -> None:
    task = Finder()
    with pytest.raises(ValueError, match="method='rollout' needs attention"):
        explained(tmp_path, task, method=["tube", "rollout"])
    assert task.batches == 1


def test_answers_without_a_clip_are_explained_of_a_model_that_does_not_say_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rows(Finder):
        def explainables(self, batch: dict) -> list[Explainable]:
            return [replace(each, video=None, run=None) for each in super().explainables(batch)]

    monkeypatch.delattr(Redness, "saliency_spec")
    [sample] = explained(tmp_path, Rows(), num_samples=1)
    assert sample["target"] and sample["method"] == "" and len(sample["files"]) == 2


def test_a_task_that_cannot_be_explained_is_refused_with_the_way_out(tmp_path: Path) -> None:
    task = Finder()
    task.explainables = None
    with pytest.raises(ValueError, match=r"Finder has no method 'explainables\(batch\)'.*callbacks=\[default\]"):
        explained(tmp_path, task)


@pytest.mark.parametrize("mode", ["validate", "test", "predict"])
def test_every_evaluation_has_a_folder_of_its_own(tmp_path: Path, mode: str) -> None:
    getattr(trainer(tmp_path, num_samples=1), mode)(Finder(), datamodule=Films())
    assert [path.name for path in tmp_path.iterdir()] == [mode]
    kinds = sorted(path.suffix for path in (tmp_path / mode).iterdir())
    assert kinds == [".json", ".mp4", ".npz", ".png"]


def test_a_training_is_left_alone(tmp_path: Path) -> None:
    trainer(tmp_path).fit(Finder(), datamodule=Films())
    assert not list(tmp_path.iterdir())


def test_numbers_weights_modes_and_hooks_are_as_without_it(tmp_path: Path) -> None:
    plain, looked_at = Finder(), Finder()
    looked_at.model.see.weight.requires_grad_(False)
    plain.model.drop.train(), looked_at.model.drop.train()
    state = {name: value.clone() for name, value in looked_at.state_dict().items()}
    without = trainer(tmp_path / "without")
    without.callbacks = [each for each in without.callbacks if not isinstance(each, Saliency)]
    run = trainer(tmp_path / "with", faithfulness=True, num_samples=1, formats=["npz"])
    torch.manual_seed(0)
    expected = without.test(plain, datamodule=Films(), verbose=False)
    random = torch.get_rng_state()
    torch.manual_seed(0)
    assert run.test(looked_at, datamodule=Films(), verbose=False) == expected
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in looked_at.state_dict().items())
    assert [module.training for module in looked_at.modules()] == [module.training for module in plain.modules()]
    assert [each.requires_grad for each in looked_at.model.parameters()] == [False, True, True]
    assert not any(module._forward_hooks for module in looked_at.modules())


def test_films_and_sheets_show_every_frame_and_what_it_was(tmp_path: Path) -> None:
    [sample] = explained(tmp_path, num_samples=1, which="best", formats=["png", "mp4", "gif"])
    png, mp4, gif = (tmp_path / "test" / name for name in sample["files"])
    with Image.open(png) as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    red = (sheet[..., 0] > 200) & (sheet[..., 1] < 30)
    yellow = (abs(sheet - (253, 231, 36)) < 4).all(-1)  # the top of viridis: in the map, and the colour bar
    assert red.sum() > T * SIDE * SIDE and yellow.sum() > T * SIDE * SIDE
    assert np.argwhere(red)[:, 0].mean() < np.argwhere(yellow)[:, 0].mean()
    with av.open(str(mp4)) as file:
        frames = list(file.decode(video=0))
        assert len(frames) == T and file.streams.video[0].codec_context.name == "h264"
        assert [round(frame.time, 2) for frame in frames] == [0.0, 0.1, 0.2, 0.3]
    with Image.open(gif) as picture:
        assert picture.n_frames == T and picture.info["duration"] == 100 and picture.info["loop"] == 0


def test_tubes_are_the_pictures_of_the_published_script_and_replace_those_of_an_earlier_run(tmp_path: Path) -> None:
    options = {"num_samples": 1, "which": "best", "target": "pale"}
    for _ in range(2):
        [sample] = explained(tmp_path, formats=["npz", "tubes"], **options)
    [stem] = {name.partition("/")[0] for name in sample["files"][1:]}
    pictures = [f"{stem}/1/{kind}/{time:03d}.png" for kind in ("focusmap", "heatmap") for time in range(T)]
    assert sample["files"][1:] == [*pictures, f"{stem}/1/info.txt"]
    folder = tmp_path / "test" / stem / "1"
    assert (folder / "info.txt").read_text() == "Visualizing for class 1\nPredicted class 0\n"
    tube = torch.from_numpy(arrays(tmp_path, sample)["shown/tube"][0].astype(np.float32))
    red, heat = round(255 * REDNESS[0]), np.asarray(Image.open(folder / "heatmap" / "000.png")).astype(int)
    assert tube[:8, :8].max() < 0.01 and tube[-8:, -8:].min() > 0.99  # against in the square, jet is blue there
    assert abs(heat[0, 0] - [red // 2, heat[0, 0, 1], heat[0, 0, 2]]).max() <= 1 and heat[0, 0, 2] > 60
    focus = np.asarray(Image.open(folder / "focusmap" / "000.png"))
    assert focus.shape == (H, W, 4) and focus[0, 0, 3] == 20 and focus[..., 3].max() == 255
    [sample] = explained(tmp_path, formats=["npz"], **options)
    assert sorted(path.name for path in (tmp_path / "test").iterdir()) == sorted([*sample["files"], "samples.json"])


def test_tubes_that_cannot_be_completed_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(frames: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        raise OSError("disk full")

    monkeypatch.setattr(callbacks.saliency_tubes, "published_focus", broken)
    with pytest.raises(OSError, match="disk full"):
        explained(tmp_path, num_samples=1, formats=["tubes"])
    assert not list((tmp_path / "test").iterdir())


def test_the_index_says_the_numbers_of_each_answer_in_plain_json(tmp_path: Path) -> None:
    [sample] = explained(tmp_path, formats=["npz"], num_samples=1, which="best")
    found = arrays(tmp_path, sample)
    assert "NaN" not in (tmp_path / "test" / "samples.json").read_text()
    assert (sample["truth"], sample["layers"], sample["frames"]) == ("red", {"clip": "see"}, [0, 3])
    for key in ("logit", "probability", "limits", "completeness_error"):
        assert sample[key] == pytest.approx(found[key].tolist(), abs=1e-6), key
    assert sample["probability"] > 0.9 and sample["limits"][1] > 20


def test_lines_are_cut_where_they_end_and_keep_their_ink() -> None:
    name, wide = "w" * 60, 200
    lines = wrapped([f"{name} 1", "what was said", "and how"], wide)
    assert all(font().getlength(line) <= wide for line, _ in lines)
    assert "".join(line for line, _ in lines[:-2]).replace(" ", "") == f"{name}1"
    assert {ink for _, ink in lines[:-1]} == {INK} and lines[-1] == ("and how", FAINT)


def test_a_gif_that_is_too_large_becomes_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [wide] = explained(tmp_path / "wide", num_samples=1, formats=["gif"])
    size = (tmp_path / "wide" / "test" / wide["files"][0]).stat().st_size
    monkeypatch.setattr(callbacks.saliency_files, "LARGEST_GIF", size - 1)
    [narrow] = explained(tmp_path / "narrow", num_samples=1, formats=["gif"])
    assert (tmp_path / "narrow" / "test" / narrow["files"][0]).stat().st_size < size


def test_names_of_files_are_safe_and_tell_all_samples_apart(tmp_path: Path) -> None:
    samples = explained(tmp_path, formats=["npz"], num_samples=5)
    files = [name for sample in samples for name in sample["files"]]
    assert len(set(files)) == 5 and files[0] == "001_film-3-a-b_30-33_pale_tube.npz"
    assert sorted(path.name for path in (tmp_path / "test").iterdir()) == sorted([*files, "samples.json"])


def test_names_of_files_are_never_longer_than_file_systems_take(tmp_path: Path) -> None:
    [clip] = Finder().eval().explainables(Clips()[0])
    long = replace(clip, name="v" * 300, subject="s" * 300, classes=("c" * 300, "d" * 300))
    name = stem(sample_of(1, long, "predicted", None, "spline"))
    assert 100 < len(f"{name}_pathways.png") < 255 and "/" not in name


def test_files_of_an_earlier_run_go_and_those_of_others_stay(tmp_path: Path) -> None:
    explained(tmp_path, num_samples=3, formats=["npz", "png"])
    (tmp_path / "test" / "note.txt").write_text("mine")
    samples = explained(tmp_path, num_samples=1, formats=["png"])
    left = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert left == sorted([*samples[0]["files"], "note.txt", "samples.json"])


def test_a_file_that_cannot_be_completed_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: Any, *arguments: object) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(callbacks.saliency_files, "write_mp4", broken)
    with pytest.raises(OSError, match="disk full"):
        explained(tmp_path, num_samples=1)
    assert sorted(path.suffix for path in (tmp_path / "test").iterdir()) == [".npz", ".png"]


def test_any_number_of_processes_writes_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.callbacks.saliency_reds", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    written = {path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file()}
    assert len(written) == 10
    for ranks in "23":
        assert {p.relative_to(tmp_path / ranks) for p in (tmp_path / ranks).rglob("*") if p.is_file()} == written
        for name in written:
            assert (tmp_path / ranks / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name


def test_a_right_map_beats_chance_lies_in_the_region_and_dies_with_the_weights(tmp_path: Path) -> None:
    task = Finder()
    trainer(tmp_path, faithfulness=True, which="best", num_samples=2, method=["tube", "gradient"]).test(
        task, datamodule=Films(), verbose=False
    )
    measured = json.loads((tmp_path / "test" / "faithfulness.json").read_text())
    found = {(each["sample"], each["method"]): each for each in measured}
    assert set(found) == {(sample, method) for sample in (1, 2) for method in ("tube", "gradient", "random")}
    tube, chance = found[1, "tube"], found[1, "random"]
    assert tube["deletion_area"] < chance["deletion_area"] - 0.1 and tube["insertion_area"] > chance["insertion_area"]
    assert tube["inside"] == pytest.approx(1, abs=1e-3)
    assert chance["inside"] == tube["region"] == pytest.approx(SIDE * SIDE / (H * W))
    assert tube["layers"][-1] == "see" and abs(tube["correlations"][-1]) <= 1
    assert found[1, "gradient"]["completeness_error"] is None and tube["completeness_error"] < 1e-5
    lines = (tmp_path / "test" / "faithfulness.csv").read_text().splitlines()
    assert lines[0].startswith("method,samples,deletion,deletion std,insertion")
    assert [line.split(",")[:2] for line in lines[1:]] == [["tube", "2"], ["gradient", "2"], ["random", "2"]]
    with Image.open(tmp_path / "test" / "faithfulness.png") as picture:
        assert picture.width > 1000


def test_a_logger_that_takes_images_gets_sheets_and_the_plot(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="events")
    trainer(tmp_path / "files", logger=logger, num_samples=2, faithfulness=True, formats=["png"]).test(
        Finder(), datamodule=Films(), verbose=False
    )
    logger.experiment.flush()
    tags = EventAccumulator(str(tmp_path / "events")).Reload().Tags()["images"]
    assert len(tags) == 3 and "saliency/faithfulness" in tags and all(tag.startswith("saliency/") for tag in tags)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples: expected at least 1, found 0"),
        ({"num_frames": 0}, "num_frames: expected at least 1, found 0"),
        ({"alpha": 2.0}, "alpha: expected a share from 0 to 1, found 2.0"),
        ({"formats": ["avi"]}, "formats: expected some of npz, png, mp4, gif, tubes, found avi"),
        ({"method": ["tube", "tubee"]}, "method: expected one of tube, grad_cam, .*, found 'tubee'"),
        ({"which": "random"}, "which: expected one of worst, best, first, listed, found 'random'"),
        ({"which": "listed"}, "names: expected videos with which=listed"),
        ({"names": ["a"]}, "names: expected videos with which=listed and none otherwise"),
        ({"colours": "rainbow"}, "colours: expected one of viridis, magma"),
    ],
)
def test_options_out_of_their_range_are_refused_by_name(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"callbacks.saliency.{message}"):
        Saliency(str(tmp_path), **options)


def test_with_boxes_as_target_a_clip_is_chosen_with_all_of_them() -> None:
    [clip] = Finder().eval().explainables(Clips()[0])
    actors = [
        replace(clip, key=(key,), subject=f"actor {actor}", kind="box", output=torch.tensor([sure, 0.0]))
        for key, sure in enumerate((3.0, 1.0, 2.0))
        for actor in range(2)
    ]
    choice = Choice("worst", 1, "box")
    choice.offer(actors)
    chosen, _ = choice.settle(lambda note: [note], 0)
    assert [(number, each.key, each.subject) for number, each in chosen] == [
        (1, (1,), "actor 0"),
        (2, (1,), "actor 1"),
    ]


def test_nothing_is_explained_where_nothing_is_true_or_said() -> None:
    [clip] = Finder().eval().explainables(Clips()[0])
    assert explained_class(replace(clip, truth=()), "true") is None
    assert explained_class(replace(clip, output=torch.zeros(0)), "predicted") is None
    assert explained_class(replace(clip, truth=(1, 0)), "true") == CLASSES.index("red")


def test_of_answers_in_which_nothing_is_true_the_worst_says_most() -> None:
    [clip] = Finder().eval().explainables(Clips()[0])
    answers = [
        replace(clip, key=(key,), output=torch.tensor([logit]), classes=("odd",), truth=(), probabilities=torch.sigmoid)
        for key, logit in enumerate((-7.0, 2.0, -1.0))
    ]
    assert sureness(answers[1], "predicted") == pytest.approx(1 - torch.tensor(2.0).sigmoid().item())
    choice = Choice("worst", 1, "predicted")
    choice.offer(answers)
    [(_, worst)], _ = choice.settle(lambda note: [note], 0)
    assert worst.key == (1,)


def test_a_region_holds_the_cells_whose_middle_is_in_a_box() -> None:
    boxes = torch.tensor([[[1.0, 0, 3, 2], [torch.nan] * 4], [[0, 0, 0.4, 4], [2, 1, 4, 2]]])
    mask = region_mask(boxes, (2, 3, 4)).int().tolist()
    assert mask == [[[0, 1, 1, 0]] * 2 + [[0] * 4], [[0] * 4, [0, 0, 1, 1], [0] * 4]]


def test_answers_are_asked_for_outside_of_inference_mode_and_outlive_their_batch(tmp_path: Path) -> None:
    task, found = Finder(), []
    ask = task.explainables

    def noticed(batch: dict) -> list[Explainable]:
        found.append(torch.is_inference_mode_enabled())
        return ask(batch)

    task.explainables = noticed
    explained(tmp_path, task, num_samples=1, formats=["npz"])
    assert found == [False] * len(REDNESS)
    with torch.inference_mode():
        batch = Clips()[1]
    with torch.no_grad():
        [answer] = ask(batch)
    assert not answer.video.is_inference()
    assert answer.regions.tolist() == [[[left_of(1), 0, left_of(1) + SIDE, SIDE]]] * T

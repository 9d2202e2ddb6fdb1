"""Decisions upon videos equal those of FocusMAE's three ways from the same logits."""

import pytest
import torch

from metrics.video_classes import VideoClasses
from tests.reference.focusmae.numbers import documents, some

# Names of the entries, and the rule that each is about; the second scheme's share is in its name.
RULES = {
    "any_clip_positive": {"rule": "any"},
    "over_10_percent": {"rule": "fraction", "fraction": 0.1},
    "plain_mean_probability": {"rule": "mean_prob"},
}
NUMBERS = {"accuracy": "acc", "sensitivity": "sensitivity", "specificity": "specificity"}


def classified() -> list[dict]:
    """Every file with the logits of clips and what was made of them."""
    files = [
        content for _, content in documents() if isinstance(content, dict) and {"clips", "expected"} <= set(content)
    ]
    return some([content for content in files if RULES.keys() & content["expected"].keys()], "classified clips")


def measure(clips: list[dict], **rule: object) -> dict[str, float]:
    names = sorted({clip["video"] for clip in clips})
    logits = torch.tensor([clip["logits"] for clip in clips], dtype=torch.float64)
    metric = VideoClasses(logits.shape[1], **rule)
    metric.expect(len(clips))
    video = torch.tensor([names.index(clip["video"]) for clip in clips])
    label = torch.tensor([clip["label"] for clip in clips])
    metric.update(torch.arange(len(clips)), video, logits.softmax(1), label)
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize("entry", RULES)
def test_decisions_upon_videos_equal_upstream(entry: str) -> None:
    for content in classified():
        expected, found = content["expected"][entry], measure(content["clips"], **RULES[entry])
        for theirs, ours in NUMBERS.items():
            assert found[ours] == pytest.approx(expected[theirs], abs=1e-9), (entry, theirs)


def test_the_mean_probability_gives_the_published_top_1() -> None:
    for content in classified():
        found = 100 * measure(content["clips"])["acc"]
        for name, expected in content["expected"].items():
            percent = expected.get("mean_probability_top1_percent") if isinstance(expected, dict) else None
            merged = expected if name == "merge_mean_probability_top1_percent" else None
            for value in (percent, merged):
                assert value is None or found == pytest.approx(value, abs=1e-9), name


def test_the_two_names_that_upstream_swaps_are_told_apart() -> None:
    for content in classified():
        printed, found = content["expected"]["merge_ct_printout"], measure(content["clips"])
        assert found["sensitivity"] == pytest.approx(printed["Specificity"], abs=1e-9)
        assert found["specificity"] == pytest.approx(printed["Sensitivity"], abs=1e-9)

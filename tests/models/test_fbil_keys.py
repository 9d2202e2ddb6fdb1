"""Names of a head's tensors lead both ways, and names of nothing lead nowhere."""

import pytest

from models.fbil import FBILHead
from models.fbil_keys import our_key, upstream_key
from models.linear_roi_head import LinearRoIHead


@pytest.mark.parametrize("actor_interaction", [False, True])
def test_every_tensor_of_a_head_has_a_published_name_and_no_two_share_it(actor_interaction: bool) -> None:
    head = FBILHead((4,), dim=8, num_heads=2, ffn_dim=8, bias=True, actor_interaction=actor_interaction)
    published = {name: upstream_key(name) for name in head.state_dict()}
    assert len(set(published.values())) == len(published) and None not in published.values()
    assert {our_key(name) for name in published.values()} == set(published)


def test_masks_go_by_crossed_names() -> None:
    assert our_key("local_atten.self_atten.2.self_attn.in_proj_bias") == (
        "foreground.2.self_attention.attention.in_proj_bias"
    )
    assert our_key("context_atten.ffn.0.norm.weight") == "background.0.feed_forward.norm.weight"


def test_the_linear_head_has_published_names_as_well() -> None:
    assert list(LinearRoIHead((4,)).state_dict()) == [our_key("fc.weight")]


@pytest.mark.parametrize("name", ["fcx.weight", "encoder", "local_atten.self_atten.x.norm.weight", "slow_conv1.weight"])
def test_names_of_other_tensors_lead_nowhere(name: str) -> None:
    assert our_key(name) is None and upstream_key(name) is None

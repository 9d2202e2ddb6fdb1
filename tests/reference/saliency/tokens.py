"""Exact evidence of tokens, against numbers that go with a tiny VideoMAE V2."""

import torch

from models.pretrained import load_pretrained
from models.saliency import evidence_of
from models.vit import VisionTransformer
from tests.reference.focusmae.numbers import clip_settings
from tests.reference.saliency.numbers import close
from tests.reference.shanghaitech.encoder import encoders

TOLERANCE = 1e-5


def test_evidence_of_tokens_and_its_constant_are_the_stored_ones() -> None:
    compared = 0
    for stored, config, weights in encoders():
        if not {"token_evidence", "evidence_constant", "class_index", "grid"} <= set(stored):
            continue
        given = {name: torch.as_tensor(array) for name, array in stored.items()}
        sizes = {"dim": config["embed_dim"], "depth": config["depth"], "num_heads": config["num_heads"]}
        model = VisionTransformer(**clip_settings(config), **sizes, num_classes=config["num_classes"])
        load_pretrained(model, weights)
        evidence = evidence_of(model, given["input"], given["class_index"], "tube")
        maps = evidence.maps["tokens"]
        assert tuple(maps.shape[1:]) == tuple(given["grid"].tolist())
        found = maps.flatten(1) / maps[0].numel()  # there, the sum of all tokens is the logit
        assert close(found, given["token_evidence"], TOLERANCE)
        assert close(evidence.constant, given["evidence_constant"], TOLERANCE)
        assert evidence.completeness_error().max() < TOLERANCE
        compared += 1
    assert compared, "no numbers of evidence of tokens"

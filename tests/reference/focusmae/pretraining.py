"""VideoMAE, VideoMAE V2 and FocusMAE give the published predictions, losses, gradients and first optimiser step."""

import inspect
from functools import partial

import pytest
import torch
from torch import Tensor

from models.focusmae import FocusMAE
from models.masked_autoencoder import MaskedAutoencoder
from models.masking import gather_tokens, mask_from_visible, split_tokens
from models.reconstruction import normalised_targets, patchify, reconstruction_loss, sampling_loss, token_errors
from tasks.parameter_groups import parameter_groups
from tests.prefixes import stripped
from tests.reference.focusmae.numbers import (
    build_autoencoder,
    build_focusmae,
    parameters,
    pixels,
    settings,
    tensor_files,
)

close = partial(torch.allclose, atol=1e-5, rtol=0.0)
loss_of = partial(pytest.approx, rel=1e-5, abs=1e-6)

VIDEOMAE = ("in.video", "in.encoder_mask", "in.decoder_mask", "out.pred_v1", "out.pred_v2")
FOCUSMAE = ("in.video", "in.prior", "in.mask", "out.pred", "out.sampler_logits")


def videomae_v1(tensors: dict[str, Tensor], model: MaskedAutoencoder) -> dict[str, Tensor]:
    return model(tensors["in.video"], encoder_mask=tensors["in.encoder_mask"].bool())


def videomae_v2(tensors: dict[str, Tensor], model: MaskedAutoencoder) -> dict[str, Tensor]:
    masks = {key: tensors[f"in.{key}"].bool() for key in ("encoder_mask", "decoder_mask")}
    return model(tensors["in.video"], **masks)


def focusmae(tensors: dict[str, Tensor], model: FocusMAE) -> dict[str, Tensor]:
    return model(tensors["in.video"], prior=tensors["in.prior"], encoder_mask=tensors["in.mask"].bool())


def errors(output: dict[str, Tensor], cubes: Tensor) -> Tensor:
    return token_errors(output["prediction"], gather_tokens(cubes, output["index"]))


def test_predictions_of_videomae_equal_the_published_ones() -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        model = build_autoencoder(settings(path), tensors)
        assert close(videomae_v1(tensors, model)["prediction"], tensors["out.pred_v1"])
        assert close(videomae_v2(tensors, model)["prediction"], tensors["out.pred_v2"])


def test_the_encoder_of_videomae_sees_only_visible_tokens_in_token_order() -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        model = build_autoencoder(settings(path), tensors)
        visible = [(row == 0).nonzero().flatten() for row in tensors["in.encoder_mask"]]
        assert close(
            model.encoder.forward_tokens(tensors["in.video"], torch.stack(visible)), tensors["out.encoder_visible"]
        )


def test_autoencoders_have_the_published_sizes() -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        content = settings(path)
        model = build_autoencoder(content, tensors, mask="tube", decoder_mask="running_cell")
        counted = videomae_v2(tensors, model)["counted"]
        assert {
            "window_size": list(model.grid),
            "n_params": sum(parameter.numel() for parameter in model.parameters()),
            "encoder_visible_per_sample": model.num_visible,
            "encoder_masked_per_sample": model.num_tokens - model.num_visible,
            "decoder_kept_per_sample": model.num_decoded,
            "tokens_counted_in_v2_loss": counted.sum().item(),
            "decoder_kept_but_encoder_visible": (~counted).sum().item(),
        }.items() <= content.items()
        assert model.decoder.head.out_features == content["config"]["decoder_num_classes"]


def test_targets_equal_the_published_ones() -> None:
    for path, tensors in tensor_files("in.video", "in.video_uint8", "aux.target_normalised"):
        t, p = settings(path)["config"]["tubelet_size"], settings(path)["config"]["patch_size"]
        for clip in (pixels(tensors["in.video"]), tensors["in.video_uint8"] / 255):
            assert close(normalised_targets(clip, (t, p, p)), tensors["aux.target_normalised"])


def test_losses_of_videomae_equal_the_published_ones() -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        content = settings(path)
        model = build_autoencoder(content, tensors)
        clip = pixels(tensors["in.video"])
        for targets, cubes in (
            ("normalised_target", normalised_targets(clip, model.tubelet)),
            ("raw_pixel_target", patchify(clip, model.tubelet)),
        ):
            for version, forward in (("v1", videomae_v1), ("v2", videomae_v2)):
                output = forward(tensors, model)
                loss = reconstruction_loss(errors(output, cubes), output["counted"])
                assert loss.item() == loss_of(content[f"loss_{version}_{targets}"])


def test_tokens_counted_by_videomae_v2_are_those_hidden_from_the_encoder() -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        model = build_autoencoder(settings(path), tensors)
        output = videomae_v2(tensors, model)
        cubes = normalised_targets(pixels(tensors["in.video"]), model.tubelet)
        assert close(errors(output, cubes), tensors["aux.per_token_loss_v2"])
        assert torch.equal(output["counted"], tensors["aux.loss_weight_v2"].bool())


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(("version", "forward"), [("v1", videomae_v1), ("v2", videomae_v2)])
def test_gradients_of_videomae_equal_the_published_ones(version: str, forward) -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        content = settings(path)
        model = build_autoencoder(content, tensors)
        output = forward(tensors, model)
        cubes = normalised_targets(pixels(tensors["in.video"]), model.tubelet)
        reconstruction_loss(errors(output, cubes), output["counted"]).backward()
        norm = torch.stack([gradient.norm() for gradient in gradients(model).values()]).norm()
        assert norm.item() == loss_of(content[f"grad_norm_{version}"])
        for name, expected in stripped(tensors, f"grad_{version}.").items():
            assert torch.allclose(gradients(model)[name], expected, atol=1e-6, rtol=0.0), name


def test_one_step_of_adamw_equals_the_published_one() -> None:
    for path, tensors in tensor_files(*VIDEOMAE):
        content = settings(path)
        step = content["adamw_step"]
        model = build_autoencoder(content, tensors)
        optimizer = torch.optim.AdamW(
            parameter_groups(model),
            lr=step["lr"],
            weight_decay=step["weight_decay"],
            betas=tuple(step["betas"]),
            eps=step["eps"],
        )
        output = videomae_v2(tensors, model)
        cubes = normalised_targets(pixels(tensors["in.video"]), model.tubelet)
        reconstruction_loss(errors(output, cubes), output["counted"]).backward()
        optimizer.step()
        expected = stripped(tensors, "after_adamw_v2.")
        assert expected
        for name, after in expected.items():
            # The first step of Adam is the sign of the gradient: where that is noise, so is the step.
            reproducible = gradients(model)[name].abs() > 1e-6
            found = model.state_dict()[name]
            assert torch.allclose(found[reproducible], after[reproducible], atol=1e-6, rtol=0.0), name
            assert not torch.equal(found, parameters(tensors)[name]), name


def test_token_sampler_of_focusmae_equals_the_published_one() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        model = build_focusmae(settings(path), tensors)
        embedded = model.encoder.patch_embed(tensors["in.video"])
        assert close(model.sampler_logits(embedded), tensors["out.sampler_logits_before_positions"])
        assert close(model.sampler_logits(model.encoder.embed(tensors["in.video"])), tensors["out.sampler_logits"])
        assert close(focusmae(tensors, model)["log_probability"].exp(), tensors["out.p_x"])


def test_focusmae_has_the_published_sizes() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        content = settings(path)
        model = build_focusmae(content, tensors)
        per_slice = tensors["in.prior"].unflatten(1, model.grid).sum((2, 3))
        assert {
            "grid": list(model.grid),
            "tokens": model.num_tokens,
            "visible_tokens": model.num_visible,
            "masked_tokens": model.num_decoded,
            "n_params": sum(parameter.numel() for parameter in model.parameters()),
            "prior_patches_per_slice": per_slice[:, 0].tolist(),
        }.items() <= content.items()
        assert (per_slice == per_slice[:, :1]).all()
        assert model.decoder.head.out_features == content["config"]["decoder_num_classes"]


def test_token_sampler_of_focusmae_is_built_as_published() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        config = settings(path)["config"]
        block = build_focusmae(settings(path), tensors).encoder.get_token_probs[0]
        assert block.norm1.eps == block.norm2.eps == config["sampler_layer_norm_eps"]
        assert (block.attn.q_bias is not None) == config["sampler_qkv_bias"]
        default = inspect.signature(FocusMAE).parameters["sampler_dropout"].default
        assert default == config["sampler_dropout_in_upstream"]


def test_the_encoder_of_focusmae_sees_the_tokens_that_were_drawn_in_token_order() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        model = build_focusmae(settings(path), tensors)
        drawn = tensors["in.visible_index"].long()
        assert torch.equal(mask_from_visible(drawn, model.num_tokens), tensors["in.mask"].bool())
        visible, _ = split_tokens(tensors["in.mask"].bool(), drawn.shape[1])
        assert close(model.encoder.forward_tokens(tensors["in.video"], visible), tensors["out.encoder_visible"])


def test_token_sampler_of_adamae_sees_no_positions() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        model = build_focusmae(settings(path), tensors, sampler_positions=False)
        assert close(focusmae(tensors, model)["log_probability"].exp(), tensors["out.p_x_first_call"])


def test_focusmae_draws_the_published_number_of_visible_tokens() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        content = settings(path)
        model = build_focusmae(content, tensors)
        hidden = model(tensors["in.video"], prior=tensors["in.prior"])["hidden"]
        assert hidden.sum(1).tolist() == [content["masked_tokens"]] * len(hidden)
        assert (~hidden).sum(1).tolist() == [content["visible_tokens"]] * len(hidden)


def test_predictions_and_losses_of_focusmae_equal_the_published_ones() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        content = settings(path)
        model = build_focusmae(content, tensors)
        output = focusmae(tensors, model)
        cubes = normalised_targets(pixels(tensors["in.video"]), model.tubelet)
        error = errors(output, cubes)
        assert close(output["prediction"], tensors["out.pred"])
        assert close(error, tensors["out.per_token_error"])
        per_sample = [
            sampling_loss(output["log_probability"][i : i + 1], error[i : i + 1], output["index"][i : i + 1])
            for i in range(len(error))
        ]
        assert close(torch.stack(per_sample), tensors["out.sampling_loss_per_sample"])
        reconstruction = reconstruction_loss(error, output["counted"])
        sampling = sampling_loss(output["log_probability"], error, output["index"])
        assert reconstruction.item() == loss_of(content["loss_reconstruction"])
        assert sampling.item() == loss_of(content["loss_sampling_unweighted"])
        assert (reconstruction + content["sampling_loss_weight"] * sampling).item() == loss_of(content["loss_total"])


def test_gradients_of_focusmae_equal_the_published_ones() -> None:
    for path, tensors in tensor_files(*FOCUSMAE):
        content = settings(path)
        model = build_focusmae(content, tensors)
        output = focusmae(tensors, model)
        error = errors(output, normalised_targets(pixels(tensors["in.video"]), model.tubelet))
        sampling = sampling_loss(output["log_probability"], error, output["index"])
        (reconstruction_loss(error, output["counted"]) + content["sampling_loss_weight"] * sampling).backward()
        expected = stripped(tensors, "grad.")
        assert any("get_token_probs" in name for name in expected)
        for name, gradient in expected.items():
            # Gradients of the sampler are tiny, so they are compared relative to the largest of their tensor.
            tolerance = 1e-3 * gradient.abs().max().item() if "probs" in name else 1e-6
            assert torch.allclose(gradients(model)[name], gradient, atol=tolerance, rtol=0.0), name

"""Toy task."""

from collections.abc import Callable, Iterable

from lightning import LightningModule
from models.toy_network import Autoencoder
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import Optimizer


class Restoration(LightningModule):
    """Restore clips.

    Args:
        model: The autoencoder.
        optimizer: Makes the optimizer from the parameters.
        scheduler: Makes the schedule.
        weight: Factor of the loss.
    """

    needs = ("video", "index")

    def __init__(
        self,
        model: Autoencoder,
        optimizer: Callable[[Iterable], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], object] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler"])
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        loss = self.hparams.weight * mse_loss(self.model(batch["video"]), batch["video"])
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["video"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        loss = mse_loss(self.model(batch["video"]), batch["video"])
        self.log("val/loss", loss, prog_bar=True, batch_size=len(batch["video"]), sync_dist=True)

    def test_step(self, batch: dict, batch_idx: int) -> None:
        loss = mse_loss(self.model(batch["video"]), batch["video"])
        self.log("test/loss", loss, batch_size=len(batch["video"]), sync_dist=True)

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.model(batch["video"])

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())


class Rehearsal(LightningModule):
    """A task that can be trained and nothing else.

    Args:
        model: The autoencoder.
        optimizer: Makes the optimizer from the parameters.
        scheduler: Not used.
    """

    def __init__(
        self, model: Autoencoder, optimizer: Callable | None = None, scheduler: Callable | None = None
    ) -> None:
        super().__init__()
        self.model, self.optimizer = model, optimizer

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        return mse_loss(self.model(batch["video"]), batch["video"])

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())

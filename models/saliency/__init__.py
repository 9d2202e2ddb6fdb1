"""Why a network answers as it does: maps over a clip for any torch module, exact where its head allows it."""

from models.saliency.evidence import Evidence
from models.saliency.explain import METHODS, evidence_of, evidence_of_each, explain, settled
from models.saliency.layers import UnknownLayerError
from models.saliency_spec import SaliencySpec

__all__ = [
    "METHODS",
    "Evidence",
    "SaliencySpec",
    "UnknownLayerError",
    "evidence_of",
    "evidence_of_each",
    "explain",
    "settled",
]

"""By what items are near to each other: their text, or who is recommended them."""

import torch
from torch.nn import functional

from lite_llm4rec.errors import ConfigError, nearest
from lite_llm4rec.models import SequenceModel
from lite_llm4rec.run_folder import Run

WAYS = ("text", "behaviour")


def compared_vectors(run: Run, by: str) -> torch.Tensor:
    """Give items the vectors whose product is their cosine, (N, width).

    Raises
    ------
    ConfigError
        On another word than "text" or "behaviour", or where the model has no such vectors.
    """
    if not isinstance(run.model, SequenceModel):
        raise ConfigError(
            f"A {run.preset.model.kind} model has no vectors of items to compare.",
            "Ask a model that scores items, such as the default preset's.",
        )
    if by not in WAYS:
        raise ConfigError(f"by is '{by}'.", nearest(by, WAYS))
    if by == "text" and not run.vectors.shape[1]:
        raise ConfigError("This model was trained on ids alone.", 'Ask with by="behaviour".')
    if by == "text":
        return functional.normalize(torch.from_numpy(run.vectors), dim=1)
    return functional.normalize(run.model.behaviour_vectors().detach().cpu(), dim=1)

"""All that is needed to go on with the models of a stack after a run was cut off."""

from __future__ import annotations

import torch

from actscope.training.checkpoints import Checkpoints, digest, progress_of, save_progress_file
from actscope.training.epochlog import EpochLog
from actscope.training.stacking.members import Member

__all__ = ["fingerprint", "resume", "save_progress"]


def fingerprint(member: Member, digests: dict[int, str]) -> dict[str, str]:
    """What must be the same for a run to go on, in words, taken before training; `digests` remembers those of the data."""
    return {
        "layers": str(member.model),
        "first weights": digest(member.model.state_dict().values()),
        "recipe": repr(member.recipe),
        "seed": str(member.seed),
        "data": " ".join(
            digests.get(id(of)) or digests.setdefault(id(of), digest([of])) for of in (member.inputs.x, member.y)
        ),
    }


def save_progress(member: Member, of: dict[str, str], checkpoints: Checkpoints) -> None:
    """Writes all that `resume` needs, when the model holds its weights and averages."""
    content = {
        "of": of,
        "step": member.step,
        "order_state": member.order_state,
        "history": member.log.to_dict(),
        "weights": {name: value.detach().cpu().clone() for name, value in member.model.state_dict().items()},
        "moments": {}
        if member.finished
        else {name: [m.cpu() for m in value] for name, value in member.moments.items()},
    }
    save_progress_file(checkpoints.progress_path(member.index), content)


def resume(member: Member, of: dict[str, str], checkpoints: Checkpoints) -> bool:
    """Whether the model was found in the folder; it is then as far as it was when that was written.

    Raises:
        ValueError: the folder holds another run, or a file that cannot be read.
    """
    content = progress_of(checkpoints.progress_path(member.index), of, f"model {member.index}")
    if content is None:
        return False
    with torch.no_grad():
        member.model.load_state_dict(content["weights"])
    device = member.y.device
    member.step, member.order_state = content["step"], content["order_state"]
    member.moments = {name: [m.to(device) for m in moments] for name, moments in content["moments"].items()}
    member.log = EpochLog(**content["history"])
    return True

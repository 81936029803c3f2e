"""This file is the bank whose erased trajectories are drawn anew, as the edited model by then draws them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents import Points
from erase.latents.bank import Bank
from erase.random import stream


class Refreshed(Bank):
    """A bank in which what is erased is met where the edited model's own trajectories lead, drawn anew every `every` updates.

    An edit is judged where its own sampler goes, and who learns on the frozen model's trajectories alone is never shown what
    it does there (Ross et al. 2011, arXiv 1011.0686). `OnPolicy` draws half a trajectory for each point; here every place of a
    trajectory serves, and what the frozen model says there is asked where a point is drawn: 1 or 2 F. Before the first `every`
    updates nothing is new, and what is held, or asked of erased prompts for another use, is the bank's.
    """

    def __init__(self, every: int = 25, **drawing: Any) -> None:
        super().__init__(**drawing)
        if every < 1:
            raise BadInput(f"latents.every={every} must be at least 1.")
        self.every = every
        self.erased: list[str] = []
        self.fresh: dict[str, dict[str, Tensor]] = {}
        self.at = 0  # which time they were drawn

    def declare(self, prompts: Sequence[str], kept: bool = False) -> None:
        super().declare(prompts, kept)
        if not kept:
            self.erased = list(dict.fromkeys([*self.erased, *prompts]))

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False, empty: bool = True) -> Points:
        if use != "erase" or step < self.every:
            return super().draw(prompts, use, step, common, empty)
        if self.at != step // self.every:
            self.at, self.fresh = step // self.every, {}
        if missing := [p for p in dict.fromkeys([*self.erased, *prompts]) if p not in self.fresh]:
            self._refresh(missing)
        held, self.stored = self.stored, {**self.fresh}
        try:
            return super().draw(prompts, use, step, common, empty)
        finally:
            self.stored = held

    @torch.no_grad()
    def _refresh(self, prompts: Sequence[str]) -> None:
        """Draw as many trajectories of each of `prompts` as the bank has of an erased one, of the model as it is."""
        model, count = self.model, self.trajectories
        for part in range(0, len(prompts), size := max(1, self.rows // count)):
            some = prompts[part : part + size]
            noises = [stream(self.seed, f"refreshed {self.at} {prompt}") for prompt in some]
            noise = torch.cat([torch.randn((count, *model.latent_shape), generator=rng) for rng in noises])
            heard = [i for i in range(len(some)) for _ in range(count)]
            said = model.prompt([some[i] for i in heard])
            *walk, _ = model.trajectory(said, noise, self.steps, self.guidance_scale, edited=True)
            x_t = torch.stack([step.x_t for step in walk], 1).half().cpu()  # as the bank's
            t = torch.stack([step.t for step in walk]).cpu().expand(count, -1)
            self.fresh |= {p: {"x_t": x, "t": t} for p, x in zip(some, x_t.split(count), strict=True)}

    def points(
        self, prompts: Sequence[str], rows: Sequence[dict[str, Tensor]], places: Tensor, rng: torch.Generator, empty: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """As the bank's; of what was drawn anew, what the frozen model says now."""
        if "conditional" in rows[0]:
            return super().points(prompts, rows, places, rng, empty)
        when, model = places.expand(len(rows)).tolist(), self.model
        x_t, t = (
            torch.stack([row[name][k] for row, k in zip(rows, when, strict=True)]).to(model.device) for name in ("x_t", "t")
        )
        said = model.prompt([*prompts, ""], edited=False)
        heard, nothing = said.rows(slice(0, -1)), said.rows(slice(-1, None))
        return x_t.float(), t.long(), *model.teacher(x_t.float(), t.long(), heard, nothing if empty else None)

    def state_dict(self) -> dict[str, Tensor]:
        fresh = {f"fresh {name} {prompt}": tensor.clone() for prompt, own in self.fresh.items() for name, tensor in own.items()}
        return {**super().state_dict(), **fresh, "fresh": torch.tensor(self.at)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        super().load_state_dict({name: mean for name, mean in state.items() if not name.startswith("fresh")})
        self.at = int(state["fresh"])
        for name, tensor in state.items():
            if name.startswith("fresh "):
                _, column, prompt = name.split(" ", 2)
                self.fresh.setdefault(prompt, {})[column] = tensor

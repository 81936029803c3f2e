"""Try to bring an erased concept back. `python -m erase.attack --help`."""

import json

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command

VICTIMS = ("edited", "unedited", "retrained")
STARTS = ("unnamed", "named")


@command("attack", schema.Attack)
def main(config: DictConfig) -> None:
    """Attack each victim that `config` names, and print what this attack has done to the run by now."""
    from hydra.core.hydra_config import HydraConfig

    from erase.attack.victim import Victims
    from erase.errors import BadInput
    from erase.model.edit import Edit
    from erase.record.console import attack_table
    from erase.record.page.read import read
    from erase.record.page.write import write
    from erase.record.run import Run

    victims = list(config.victim) if OmegaConf.is_list(config.victim) else [config.victim]
    if not victims or not {*victims} <= {*VICTIMS}:
        raise BadInput(f"victim={config.victim} is not one or several of: {', '.join(VICTIMS)}.")
    if config.start not in STARTS:
        raise BadInput(f"start={config.start} is not one of: {', '.join(STARTS)}.")
    for name, most in (("prompts", 500), ("batch", 1024)):
        if not 1 <= config[name] <= most:
            raise BadInput(f"{name}={config[name]} must be from 1 to {most}.")
    run = Run.existing(config.run)
    choice = HydraConfig.get().runtime.choices["attack"]
    name = config.name or choice
    attacked = Victims(run.folder, Edit.load(run.folder), config, choice, lambda: build(config.attack, "attack"))
    attacked.check(victims)
    new = [attacked.siege(victim, named(name, victim)) for victim in victims]
    paths = {v: run.folder / "attacks" / f"{named(name, v)}.json" for v in VICTIMS}
    write([experiment := read(run.folder)], run.folder / "report.html")
    attack_table(name, run.folder, {v: json.loads(path.read_text()) for v, path in paths.items() if path.exists()})
    if any(new):
        attacked.tell({n: f for n, f in experiment.figures.items() if n.startswith("attack/")})


def named(name: str, victim: str) -> str:
    """What the files of an attack on `victim` are called."""
    return name if victim == "edited" else f"{name}-{victim}"


if __name__ == "__main__":
    main()

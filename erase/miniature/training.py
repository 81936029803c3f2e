"""This file is the miniature's training: four stages from drawn scenes to a pipeline, each resumable."""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import CLIPTokenizer

from erase.errors import BadInput
from erase.files import whole
from erase.miniature import networks, painters, world
from erase.record.checkpoint import AtomicCheckpoints
from erase.record.export import text_encoder_state
from erase.record.progress import Progress
from erase.trainer import Trainer, has_bf16

IGNORED = -100


class Drawings:
    """`count` captioned scenes of the world of `seed`, drawn once into `folder`; several captions for each."""

    CAPTIONS = 4

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        self.scenes = [world.scene(seed, i) for i in range(count)]
        self.captions = [
            [world.caption(s, world.generator(seed, 1, i, k)) for k in range(self.CAPTIONS)] for i, s in enumerate(self.scenes)
        ]
        path = folder / f"drawings-{seed}-{count}.npy"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            images = np.stack([painters.picture(s) for s in tqdm(self.scenes, "drawing", unit="scene")])
            with whole(path) as part, part.open("wb") as file:  # stages may be trained side by side
                np.save(file, images)
        self.images = np.load(path, mmap_mode="r")

    def labels(self) -> dict[str, Tensor]:
        """Label indices (count,) of every head of the judge; colours only where the style leaves them visible."""
        heads = networks.Classifier.HEADS
        coloured = [world.STYLES[s.style].colours and s.subject not in ("nude", world.NOTHING) for s in self.scenes]
        return {
            "subject": torch.tensor([heads["subject"].index(s.subject) for s in self.scenes]),
            "colour": torch.tensor(
                [heads["colour"].index(s.colour) if c else IGNORED for s, c in zip(self.scenes, coloured, strict=True)]
            ),
            "style": torch.tensor([heads["style"].index(s.style) for s in self.scenes]),
        }

    def tensor(self, indices: Tensor) -> Tensor:
        """Pictures (batch, 3, 64, 64) between -1 and 1."""
        images = torch.from_numpy(np.asarray(self.images[indices.numpy()])).permute(0, 3, 1, 2)
        return images.float() / 127.5 - 1

    def tokens(self, tokenizer: CLIPTokenizer) -> Tensor:
        """Token ids of all captions, (count, CAPTIONS, tokens)."""
        flat = [c for captions in self.captions for c in captions]
        ids = tokenizer(flat, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return ids.reshape(len(self.captions), self.CAPTIONS, -1)


class Stage(L.LightningModule):
    """One network's training. Every draw is a function of (seed, step): a resumed run repeats an unbroken one."""

    batch_size: int
    lr: float

    def __init__(self, seed: int, steps: int) -> None:
        super().__init__()
        self.seed, self.steps = seed, steps

    def rng(self) -> torch.Generator:
        """The stream of this step."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)

    def indices(self, count: int) -> Tensor:
        """Which scenes this step sees: without repetition within an epoch."""
        per_epoch = count // self.batch_size
        epoch, at = divmod(self.global_step, per_epoch)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed * 7919 + epoch))
        return order[at * self.batch_size : (at + 1) * self.batch_size]

    def rate(self, step: int) -> float:
        """Learning rate of `step` as a share of `lr`: a warm-up of 200 steps, constant, down to nothing over the last 40 %."""
        return min(1.0, (step + 1) / 200, (self.steps - step) / (0.4 * self.steps))

    def loss(self) -> Tensor:
        """The loss of this step, scalar."""
        raise NotImplementedError

    def training_step(self, *_: object) -> Tensor:
        loss = self.loss()
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)  # Lightning's own refuses fused optimizers, scaled gradients or not

    def configure_optimizers(self) -> Any:
        moving = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(moving, self.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def fit(self, folder: Path, until: int | None = None) -> None:
        """Train to the end, or `until` a step, from the last checkpoint in `folder` if there is one."""
        folder.mkdir(parents=True, exist_ok=True)
        last = folder / "last.ckpt"
        hardware = Trainer()
        trainer = hardware.lightning(
            precision="bf16-mixed" if has_bf16(hardware.device) else "32-true",
            max_steps=until or self.steps,
            max_epochs=-1,
            logger=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            plugins=[AtomicCheckpoints()],
            callbacks=[
                ModelCheckpoint(folder, "last", every_n_train_steps=200, save_top_k=1, enable_version_counter=False),
                Progress(),
            ],
        )
        loader: DataLoader[int] = DataLoader(range(self.steps), batch_size=None)  # type: ignore[arg-type]
        trainer.fit(self, loader, ckpt_path=last if last.exists() else None)
        trainer.save_checkpoint(last)


class Autoencoder(Stage):
    """Reconstruction in value and in slope, with a light pull to a normal posterior."""

    batch_size, lr = 24, 1.5e-3

    def __init__(self, seed: int, steps: int, drawings: Drawings) -> None:
        super().__init__(seed, steps)
        self.drawings, self.network = drawings, networks.autoencoder()

    def loss(self) -> Tensor:
        rng = self.rng()
        images = self.drawings.tensor(self.indices(len(self.drawings.images))).to(self.device)
        posterior = self.network.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng).to(self.device)
        drawn = self.network.decode(posterior.mean + posterior.std * noise).sample.float()
        slopes = [(torch.diff(drawn, dim=d) - torch.diff(images, dim=d)).abs().mean() for d in (2, 3)]
        value = 5 * F.mse_loss(drawn, images) + F.l1_loss(drawn, images)
        return value + 0.5 * (slopes[0] + slopes[1]) + 1e-6 * posterior.kl().mean()


class Towers(Stage):
    """CLIP's symmetric contrastive loss (Radford et al. 2021) between pictures and captions."""

    batch_size, lr = 128, 1e-3

    def __init__(self, seed: int, steps: int, drawings: Drawings, tokenizer: CLIPTokenizer) -> None:
        super().__init__(seed, steps)
        self.drawings, self.tokens = drawings, drawings.tokens(tokenizer)
        self.network = networks.clip(len(tokenizer))
        if not torch.cuda.is_available():
            self.network.set_attn_implementation("eager")  # PyTorch's fused attention goes backwards slowly on a CPU

    def loss(self) -> Tensor:
        rng = self.rng()
        rows = self.indices(len(self.drawings.images))
        which = torch.randint(Drawings.CAPTIONS, (len(rows),), generator=rng)
        images = self.drawings.tensor(rows).to(self.device)
        return cast(Tensor, self.network(self.tokens[rows, which].to(self.device), images, return_loss=True).loss)


class Judge(Stage):
    """Cross-entropy over subject, colour and style, on drawings with noise, blur and shifts: never on generated ones."""

    batch_size, lr = 96, 2e-3

    def __init__(self, seed: int, steps: int, drawings: Drawings) -> None:
        super().__init__(seed, steps)
        self.drawings, self.targets, self.network = drawings, drawings.labels(), networks.Classifier()

    def loss(self) -> Tensor:
        rng = self.rng()
        rows = self.indices(len(self.drawings.images))
        images = spoil(self.drawings.tensor(rows), rng).to(self.device)
        logits = self.network.logits(images)
        targets = {name: t[rows].to(self.device) for name, t in self.targets.items()}
        losses = [F.cross_entropy(logits[n].float(), t, ignore_index=IGNORED, label_smoothing=0.02) for n, t in targets.items()]
        return torch.stack(losses).sum()


def spoil(images: Tensor, rng: torch.Generator) -> Tensor:
    """Noise and blur on some of `images` (batch, 3, 64, 64), a shift of all: what a generator's pictures suffer from."""
    n = len(images)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)
    mix = torch.rand((n, 1, 1, 1), generator=rng) * (torch.rand((n, 1, 1, 1), generator=rng) < 0.5)
    images = images + mix * (blurred - images)
    noise = 0.25 * torch.rand((n, 1, 1, 1), generator=rng) * (torch.rand((n, 1, 1, 1), generator=rng) < 0.5)
    images = images + noise * torch.randn(images.shape, generator=rng)
    dy, dx = torch.randint(-4, 5, (2,), generator=rng).tolist()
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    return padded[..., 4 + dy : 4 + dy + world.SIZE, 4 + dx : 4 + dx + world.SIZE]


class Denoiser(Stage):
    """ε-prediction with min-SNR weights (Hang et al. 2023, γ = 5), 10 % of captions empty, averaged weights.

    Pictures that show the subject `without` are left out of the batches in which they would stand; all else, order,
    noise and captions, is as without leaving out.
    """

    batch_size, lr = 40, 1e-3

    def __init__(
        self,
        seed: int,
        steps: int,
        drawings: Drawings,
        tokenizer: CLIPTokenizer,
        latents: Tensor,
        encoder: nn.Module,
        without: str | None = None,
    ) -> None:
        super().__init__(seed, steps)
        self.latents, self.tokens = latents, drawings.tokens(tokenizer)
        self.shown = torch.tensor([s.subject != without for s in drawings.scenes])
        self.empty = tokenizer("", padding="max_length", return_tensors="pt").input_ids
        self.encoder = encoder.requires_grad_(False).eval()
        self.network = networks.unet()
        if not torch.cuda.is_available():
            self.network.set_attn_processor(AttnProcessor())  # as in the towers
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(0.998)).requires_grad_(False)
        self.noise_scheduler = networks.noise_scheduler()

    def loss(self) -> Tensor:
        rng = self.rng()
        rows = self.indices(len(self.latents))
        clean = self.latents[rows].float()
        noise = torch.randn(clean.shape, generator=rng)
        t = torch.randint(1000, (len(rows),), generator=rng)
        ids = self.tokens[rows, torch.randint(Drawings.CAPTIONS, (len(rows),), generator=rng)]
        ids = torch.where(torch.rand((len(rows), 1), generator=rng) < 0.1, self.empty, ids)
        shown = self.shown[rows]
        clean, noise, t, ids = clean[shown], noise[shown], t[shown], ids[shown]
        noisy = self.noise_scheduler.add_noise(clean, noise, t).to(self.device)
        with torch.no_grad():
            words = self.encoder(ids.to(self.device)).last_hidden_state
        predicted = self.network(noisy, t.to(self.device), words).sample.float()
        alpha = self.noise_scheduler.alphas_cumprod[t]
        weight = (5 * (1 - alpha) / alpha).clamp(max=1).to(self.device)
        return ((predicted - noise.to(self.device)) ** 2).mean((1, 2, 3)).mul(weight).mean()

    def rate(self, step: int) -> float:
        """As the other stages' over 70 % of the steps, then a warm restart (Loshchilov and Hutter 2017) that falls at once.

        A second fall teaches the labels that are still taken for their siblings more than a longer plateau does.
        """
        first = self.steps * 7 // 10
        if step < first:
            return min(1.0, (step + 1) / 200, (first - step) / (0.4 * first))
        return min((step - first + 1) / 200, (self.steps - step) / (self.steps - first))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.network)  # before callbacks write checkpoints


@torch.no_grad()
def encode(drawings: Drawings, network: Any, work: Path) -> tuple[Tensor, float]:
    """Scaled latents (count, 4, 16, 16) of all drawings in half precision, and the scaling factor 1 / std.

    Kept in `work` under the autoencoder's own hash: a resumed run does not encode again.
    """
    digest = hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in network.parameters())).hexdigest()
    path = work / f"latents-{len(drawings.images)}-{digest[:16]}.safetensors"
    if not path.exists():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(device).eval()
        chunks = torch.arange(len(drawings.images)).split(128)
        means = [network.encode(drawings.tensor(rows).to(device)).latent_dist.mean.cpu() for rows in tqdm(chunks, "encoding")]
        with whole(path) as part:
            save_file({"means": torch.cat(means).half().contiguous()}, part)
    latents = load_file(path)["means"].float()
    scaling = 1 / float(latents.std())
    return (latents * scaling).half(), scaling


STAGES = ("judge", "towers", "autoencoder", "unet")


def _code() -> str:
    """sha256 of the files that say what is drawn and what is trained."""
    names = ("world", "pen", "things", "painters", "styles", "networks", "training")
    return hashlib.sha256(b"".join((Path(__file__).parent / f"{n}.py").read_bytes() for n in names)).hexdigest()


def pretrain(
    out: Path,
    work: Path,
    seed: int,
    drawings: int,
    steps: dict[str, int],
    stages: tuple[str, ...] = STAGES,
    without: str | None = None,
) -> None:
    """Train the named stages of the miniature and write it to `out`, a diffusers folder with `judge/` and `clip/`.

    `without` names a subject that the UNet, and only it, shall never have seen: `out/retrained/<subject>.safetensors`.
    `work` keeps drawings and checkpoints, apart for other settings or another world: a killed run goes on from there.
    The UNet needs the other stages' results. BadInput when `out` holds anything that was not made from the same.
    """
    made_from: dict[str, object] = {"seed": seed, "drawings": drawings, "code": _code()}
    mark, work = out / "pretrain.json", work / hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]
    made_from["steps"] = steps
    if out.exists() and any(out.iterdir()) and not (mark.is_file() and json.loads(mark.read_text()) == made_from):
        raise BadInput(f"out={out} holds something else already; nothing was written.")
    if "unet" in stages:
        for part, needed in (("clip", "towers"), ("vae", "autoencoder")):
            if needed not in stages and not (out / part / "config.json").is_file():
                raise BadInput(f"out={out} holds no {part} for the UNet to hear and draw with: stages must name {needed}.")
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(made_from) + "\n")
    world_ = Drawings(work, seed, drawings)
    words = networks.tokenizer(c for captions in world_.captions for c in captions)
    torch.manual_seed(seed)
    if "judge" in stages:
        judge = Judge(seed, steps["judge"], world_)
        judge.fit(work / f"judge-{steps['judge']}")
        calibrate(judge.network.eval().cpu(), Drawings(work, seed + 1, max(drawings // 24, 8)))
        judge.network.save(out / "judge")
    if "towers" in stages:
        torch.manual_seed(seed)
        towers = Towers(seed, steps["towers"], world_, words)
        towers.fit(work / f"towers-{steps['towers']}")
        towers.network.cpu().half().save_pretrained(out / "clip")
    if "autoencoder" in stages:
        torch.manual_seed(seed)
        autoencoder = Autoencoder(seed, steps["autoencoder"], world_)
        autoencoder.fit(work / f"autoencoder-{steps['autoencoder']}")
        _, scaling = encode(world_, autoencoder.network, work)
        autoencoder.network.register_to_config(scaling_factor=scaling)
        autoencoder.network.cpu().save_pretrained(out / "vae")
    if "unet" in stages:
        from diffusers import AutoencoderKL
        from transformers import CLIPModel, CLIPTextModel

        clip = CLIPModel.from_pretrained(out / "clip", dtype=torch.float32)
        encoder = CLIPTextModel(clip.config.text_config)
        encoder.load_state_dict(clip.text_model.state_dict())
        vae = AutoencoderKL.from_pretrained(out / "vae")
        latents, _ = encode(world_, vae, work)
        torch.manual_seed(seed)
        denoiser = Denoiser(seed, steps["unet"], world_, words, latents, encoder, without)
        denoiser.fit(work / "-".join(filter(None, (f"unet-{steps['unet']}", without))))
        unet = denoiser.average.module.cpu()
        if without:
            write_retrained(out, unet, without)
        else:
            write_pipeline(out, unet, vae.cpu(), encoder.cpu(), words)


def calibrate(judge: networks.Classifier, drawings: Drawings) -> None:
    """Set each head's temperature (Guo et al. 2017, eq. 9): the one of least cross-entropy on spoilt unseen drawings.

    Of n answers one more is taken to be wrong (Platt 1999): a head that makes no mistake would else be infinitely sure.
    """
    rng, targets = torch.Generator().manual_seed(0), drawings.labels()
    with torch.no_grad():
        chunks = torch.arange(len(drawings.images)).split(128)
        parts = [judge.logits(spoil(drawings.tensor(rows), rng)) for rows in chunks]
    for name, labels in targets.items():
        logits = torch.cat([part[name] for part in parts])
        grid = torch.logspace(-1, 1, 201)  # convex in 1/T: a fine grid is as good as a search
        wrong = 1 / (int((labels != IGNORED).sum()) + 2)
        losses = torch.stack(
            [F.cross_entropy(logits / t, labels, None, ignore_index=IGNORED, label_smoothing=wrong) for t in grid]
        )
        judge.temperatures[name] = float(grid[losses.argmin()])


def write_retrained(out: Path, unet: Any, without: str) -> None:
    """Write the UNet that never saw `without` beside the pipeline of `out`, and which pipeline that is."""
    from erase.model.stable_diffusion import StableDiffusion

    if not (out / "unet" / "config.json").is_file():
        raise BadInput(f"out={out} holds no UNet that saw everything: train that, then run this again; it goes on.")
    folder, about = out / "retrained", {"left_out": without, "base": StableDiffusion(str(out)).hash}
    folder.mkdir(exist_ok=True)
    tensors = {name: tensor.half().contiguous() for name, tensor in unet.state_dict().items()}
    save_file(tensors, folder / f"{without.replace(' ', '_')}.safetensors", about)


def write_pipeline(out: Path, unet: Any, vae: Any, encoder: Any, words: CLIPTokenizer) -> None:
    """Write the parts as a `StableDiffusionPipeline` folder: UNet in half precision, the rest as it was trained."""
    vae.register_to_config(_name_or_path="")  # else the folder it was loaded from travels with it
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=words,
        unet=unet.half(),
        scheduler=networks.noise_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(out)
    text_encoder_state(encoder, out / "text_encoder")

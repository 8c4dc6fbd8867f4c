"""Questions A2, B1, B2 and B3: the CNN and the U-Net trained alike, looked at, and compared."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch

from pixelwise.config import (
    HANDOUT_CONFIGS,
    CNNConfig,
    NetConfig,
    RunConfig,
    TrainConfig,
    UNetConfig,
    net_from_dict,
)
from pixelwise.data import Pictures, load_pictures
from pixelwise.errors import DivergedError
from pixelwise.evaluate import evaluate
from pixelwise.figures import Strip, beside, draw_curves, draw_strips
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.colouring_figures import (
    draw_ablation,
    draw_confusion,
    draw_depth,
    draw_recall,
    draw_runs,
    draw_where,
)
from pixelwise.lab.commands import default_run, evaluate_command, train_command
from pixelwise.lab.outcomes import rows_of, training, variants
from pixelwise.lab.pixels import (
    EDGES_FRAC,
    Guesses,
    agreement,
    by_colour,
    gain,
    gain_by_seed,
    guess,
    guess_by_grey,
    looks,
    more_at_edges,
    places,
    plain,
    to_the_eye,
)
from pixelwise.lab.skips import detail_left, gradient_norms
from pixelwise.models import UNet, build
from pixelwise.report.run import compare
from pixelwise.runs import open_model, read_metrics, read_samples
from pixelwise.scores import Confusion, Interval
from pixelwise.scores.intervals import NUM_RESAMPLES
from pixelwise.visualise import draw_network, look_at_blocks

SOURCE = PICTURES
EPOCHS, QUICK_EPOCHS = 25, 2
SKIPS = {"full": ("input", "classes"), "half": ("down1", "up2"), "quarter": ("down2", "up1")}
"""Each skip of the U-Net by the size at which it passes: where it comes from, and which block reads it."""
AS_LARGE = "CNN, as many weights"
"""A CNN with about as many weights as the U-Net, to tell what skips do from what more weights do."""
_AS_MANY_FILTERS = 37
_NUM_SEEDS, _NUM_QUICK_SEEDS = 3, 2
_ABLATION_EPOCHS = 5  # enough to order the variants; their curves are not read at the end
_HANDOUTS_RATE = 0.3  # of the CNN
_NEAR = 10.0  # units of Lab, which is seen at a glance
_NUM_PROBED = 250  # pictures that details are read off


def comparison_config(setting: Setting, net: str, seed: int) -> RunConfig:
    """How the questions about colouring train `cnn` or `unet`, a fair comparison: both in the same way.

    The handout's batch of 100, its 25 epochs and Adam, for both at the rate that it gives the U-Net alone, in
    the setting's precision. A run of it is called `NET-seedSEED`; whoever asks `setting.trained` for it
    shares it.

    Raises:
        ConfigError: the seed is out of range.
    """
    train = TrainConfig(
        epochs=QUICK_EPOCHS if setting.quick else EPOCHS,
        batch_size=100,
        learning_rate=0.001,
        precision=setting.precision,
        seed=setting.seed_of(seed),
    )
    return RunConfig(net=HANDOUT_CONFIGS[net](), source=SOURCE, train=train)


def by_hand(setting: Setting, net: str) -> tuple[str, str]:
    """The commands that train and that score the first run of a network."""
    config = comparison_config(setting, net, 0)
    return train_command(setting, config), evaluate_command(setting, default_run(config), config.source)


def answer_a2(setting: Setting) -> Answer:
    """The CNN trained: its curves, its pictures, which colours it takes for which, and where it fails."""
    runs, pictures = _trained(setting, "cnn"), _pictures(setting)
    model = open_model(runs[0])
    palette, guesses = model.palette, guess(runs[0], pictures.val)
    table = guess_by_grey(pictures, palette)
    scores = evaluate(model, pictures, setting.seed, setting.device)
    confusion = reduce(
        add,
        (
            Confusion.of(given, true, palette.num_classes)
            for given, true in zip(guesses.guessed, guesses.labels, strict=True)
        ),
    )
    values = training(runs) | {
        "scores": {name.replace(" ", "_"): plain(kinds) for name, kinds in scores.items()},
        "among_likeliest": [
            {"num": num, "right": 100 * float((guesses.num_likelier < num).mean())}
            for num in (1, 2, 3, 5, 10)
        ],
        "near": {
            name: agreement(one, palette, _NEAR) for name, one in (("prediction", guesses), ("table", table))
        }
        | {"within": _NEAR},
        "looks": looks(
            palette, {"truth": guesses.labels, "prediction": guesses.guessed, "table": table.guessed}
        ),
        "colours": by_colour(confusion, palette),
        "places": places(pictures, palette, {"prediction": [guesses], "table": [table]}),
        "handouts_rate": _HANDOUTS_RATE,
        "command": "\n".join(by_hand(setting, "cnn")),
    }
    figures = (
        setting.draw("a2-curves", draw_curves(read_metrics(runs[0]))),
        setting.draw("a2-pictures", draw_strips(_beside_table(runs[0], pictures))),
        setting.draw("a2-confusion", draw_confusion(confusion.counts, palette)),
        setting.draw("a2-colours", draw_recall(confusion.counts, palette)),
    )
    return Answer(values=values, figures=figures)


def answer_b1(setting: Setting) -> Answer:
    """The U-Net: which block reads which, what each skip adds, and the CNN found again without them."""
    unet, cnn = build(UNetConfig()), build(CNNConfig())
    picture = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(setting.seed))
    blocks = look_at_blocks(unet.eval(), picture)
    bare = build(_without(*SKIPS))
    bare.load_state_dict(cnn.state_dict())
    with torch.inference_mode():
        apart = (bare.eval()(picture) - cnn.eval()(picture)).abs().max()
    values = {
        "kernel": UNetConfig().kernel,
        "parameters": _count(unet),
        "cnn_parameters": _count(cnn),
        "blocks": [
            {
                "name": one.name,
                "reads": list(one.reads),
                "num_in": next(one.layers[0].parameters()).shape[1],
                "num_out": one.maps.shape[0],
                "side": one.maps.shape[-1],
                "learned": one.num_learned,
            }
            for one in blocks
        ],
        "skips": [
            {"name": name, "from": start, "to": end, "weights": _count(unet) - _count(build(_without(name)))}
            for name, (start, end) in SKIPS.items()
        ],
        "forward": inspect.getsource(UNet.forward),
        "without_skips": {"parameters": _count(bare), "max_difference_to_cnn": float(apart)},
    }
    figure = setting.draw("b1-network", draw_network(blocks, picture))
    return Answer(values=values, figures=(figure,))


def answer_b2(setting: Setting) -> Answer:
    """The U-Net trained with the handout's batch of 100: its curves, and how steady they are."""
    runs = _trained(setting, "unet")
    rows = read_metrics(runs[0])
    last = [row["val_accuracy"] for row in rows[-5:]]
    best = min(rows, key=lambda row: row["val_loss"])
    values = training(runs) | {
        "last_epochs": {"num": len(last), "lowest": min(last), "highest": max(last)},
        "least_val_loss": {"epoch": best["epoch"], "val_loss": best["val_loss"]},
        "first_epoch": {name: rows[0][name] for name in ("train_loss", "val_loss", "val_accuracy")},
        "num_parameters": _count(build(UNetConfig())),
        "num_pixels": _pictures(setting).train[:, 0].numel(),
        "command": by_hand(setting, "unet")[0],
    }
    figures = (
        setting.draw("b2-curves", draw_curves(rows)),
        setting.draw("b2-pictures", draw_strips(compare(open_model(runs[0]), read_samples(runs[0])))),
    )
    return Answer(values=values, figures=figures)


def answer_b3(setting: Setting) -> Answer:
    """The CNN and the U-Net compared as equals, beside the handout's own setting; why skips help."""
    runs = {name: _trained(setting, net) for name, net in (("CNN", "cnn"), ("U-Net", "unet"))}
    ablated = _ablated(setting)
    pictures = _pictures(setting)
    guesses = {name: [guess(run, pictures.val) for run in own] for name, own in runs.items()}
    palette, cnn, unet = open_model(runs["CNN"][0]).palette, guesses["CNN"], guesses["U-Net"]
    confounded, steep = _confounded(setting, unet[0], pictures)
    table = guess_by_grey(pictures, palette)
    depth = _depth(setting, runs, pictures)
    at_edges = places(pictures, palette, {"cnn": cnn, "unet": unet}, seed=setting.seed)
    by_variant = variants({name: rows_of(own) for name, own in (runs | ablated).items()})
    wide = {"name": AS_LARGE, "parameters": _count(build(_as_large())), "unet": _count(build(UNetConfig()))}
    values = {
        "cnn": training(runs["CNN"]),
        "unet": training(runs["U-Net"]),
        "gain": plain(gain(unet, cnn, setting.seed)),
        "gain_by_seed": gain_by_seed(unet, cnn),
        "confounded": confounded,
        "table": {"accuracy": table.accuracy, "loss": float(table.losses.mean())},
        "truth": looks(palette, {"truth": cnn[0].labels})["truth"],
        "looks": to_the_eye(palette, cnn, unet, _NEAR),
        "within": _NEAR,
        "places": at_edges,
        "more_at_edges": more_at_edges(pictures, palette, unet, cnn)["over_seeds"],
        "edges_frac": EDGES_FRAC,
        "num_resamples": NUM_RESAMPLES,
        "ablation": by_variant,
        "as_large": wide,
        "depth": depth,
        "command": by_hand(setting, "unet")[1],
    }
    rows = {name: rows_of(own) for name, own in runs.items()}
    rows |= {f"CNN at rate {_HANDOUTS_RATE:g}": rows_of(steep)} if steep else {}
    gains = [Interval(**place["gain"]) for place in at_edges]
    right = {name: [place[key] for place in at_edges] for name, key in (("CNN", "cnn"), ("U-Net", "unet"))}
    figures = (
        setting.draw("b3-curves", draw_runs(rows)),
        setting.draw("b3-pictures", draw_strips(_compared(runs))),
        setting.draw("b3-edges", draw_where([place["place"] for place in at_edges], right, gains)),
        setting.draw("b3-ablation", draw_ablation({one["name"]: one["by_seed"] for one in by_variant})),
        setting.draw("b3-depth", draw_depth(depth["gradients"], depth["detail"])),
    )
    return Answer(values=values, figures=figures)


def _pictures(setting: Setting) -> Pictures:
    return load_pictures(SOURCE, setting.data_dir, setting.seed)


def _seeds(setting: Setting) -> range:
    return range(_NUM_QUICK_SEEDS if setting.quick else _NUM_SEEDS)


def _trained(setting: Setting, net: str) -> list[Path]:
    """Finished runs of a network in the way of the comparison, one for each seed."""
    return [
        setting.trained(f"{net}-seed{seed}", comparison_config(setting, net, seed))
        for seed in _seeds(setting)
    ]


def _confounded(setting: Setting, unet: Guesses, pictures: Pictures) -> tuple[dict[str, Any], list[Path]]:
    """The CNN at the handout's own rate, all else as it is compared, and its run; none if that diverges."""
    config = comparison_config(setting, "cnn", 0)
    config = replace(config, train=replace(config.train, learning_rate=_HANDOUTS_RATE))
    try:
        run = setting.trained(f"cnn-rate-{_HANDOUTS_RATE:g}", config)
    except DivergedError as error:
        return {"diverged": True, "learning_rate": _HANDOUTS_RATE, "why": str(error)}, []
    gained = gain([unet], [guess(run, pictures.val)], setting.seed)
    return training([run]) | {"diverged": False, "gain": plain(gained)}, [run]


def _ablated(setting: Setting) -> dict[str, list[Path]]:
    """Shorter runs, by name: the U-Net without each of its skips, and the CNN with as many weights."""
    nets = {f"U-Net, no skip at {skip} size": (f"unet-without-{skip}", _without(skip)) for skip in SKIPS}
    nets[AS_LARGE] = ("cnn-as-large", _as_large())
    runs: dict[str, list[Path]] = {}
    for title, (name, net) in nets.items():
        for seed in _seeds(setting)[: 1 if setting.quick else None]:
            config = comparison_config(setting, "unet", seed)
            train = replace(config.train, epochs=min(config.train.epochs, _ABLATION_EPOCHS))
            run = setting.trained(f"{name}-seed{seed}", replace(config, net=net, train=train))
            runs.setdefault(title, []).append(run)
    return runs


def _as_large() -> NetConfig:
    """The CNN with about as many weights as the U-Net."""
    return CNNConfig(num_filters=_AS_MANY_FILTERS)


def _without(*skips: str) -> NetConfig:
    """The U-Net without some of its skips."""
    return net_from_dict({"name": "unet"} | {f"skip_{skip}": False for skip in skips})


def _count(net: torch.nn.Module) -> int:
    return sum(one.numel() for one in net.parameters())


def _depth(setting: Setting, runs: dict[str, list[Path]], pictures: Pictures) -> dict[str, Any]:
    """By network and seed: gradients before the first step and detail after the last, each by block."""
    nets = {"CNN": "cnn", "U-Net": "unet"}
    return {
        "gradients": {
            name: [
                gradient_norms(comparison_config(setting, net, seed), pictures) for seed in _seeds(setting)
            ]
            for name, net in nets.items()
        },
        "detail": {
            name: [detail_left(open_model(run), pictures, _NUM_PROBED) for run in own]
            for name, own in runs.items()
        },
        "num_pictures": min(_NUM_PROBED, len(pictures.val)),
    }


def _beside_table(run: Path, pictures: Pictures) -> list[Strip]:
    """A run's pictures, with those of a table from grey levels to colours below."""
    model, samples = open_model(run), read_samples(run)
    looked_up = guess_by_grey(replace(pictures, val=samples), model.palette).guessed
    shown = beside(model.palette.decode(torch.from_numpy(looked_up)))
    return [
        *compare(model, samples),
        Strip("The commonest colour of each grey level, without a network", shown),
    ]


def _compared(runs: dict[str, list[Path]]) -> list[Strip]:
    """The same pictures: true, and as each network of the first seed colours them."""
    strips: list[Strip] = []
    for name, own in runs.items():
        *above, prediction = compare(open_model(own[0]), read_samples(own[0]))
        strips = strips or above
        strips.append(replace(prediction, title=name))
    return strips

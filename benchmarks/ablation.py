"""Table 3 and Fig. 5 of the paper again, at small equal budgets: what each module helps, and with which composites.

    python -m harmonize_composite.benchmarks.ablation PHOTOS --out runs/ablation

Every network of the lite width learns from the same pictures in the same order, half of them recoloured in their place
(the rim tells the answer) and half pasted (it does not), and is measured on both kinds apart. What is done already is
kept, so a stopped run goes on. Writes `ablation.md` and, with matplotlib, `ablation.png` into the folder. Needs the
extra `train`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..files.atomic import write_whole
from ..training.evaluation.metrics import average
from ..training.evaluation.validation import Validation
from ..training.loop.options import Options, Stage
from ..training.loop.train import train
from ..training.synthesis.mixture import Mixture
from ..weights import load_network

KINDS = {"recoloured": Mixture(untouched=0.0), "pasted": Mixture(untouched=0.0, pasted=1.0)}
TABLE_3 = {
    "base": {"network": "base"},
    "+LD": {"network": "base+ld"},
    "+MGD": {"network": "base+mgd"},
    "HDNet (K = 1)": {"network": "hdnet"},
    "HDNet*": {"network": "learned-mask"},
}
FIG_5 = {f"HDNet (K = {count})": {"network": "hdnet", "neighbours": count} for count in (3, 5, 7, 9)}
WIDTH, BATCH = 8, 12


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", help="folder with images/ and masks/")
    parser.add_argument("--out", required=True, type=Path, help="folder of the runs and the results")
    parser.add_argument("--pictures", type=int, default=48_000, help="that each network learns from (default: 48000)")
    parser.add_argument("--size", type=int, default=128, help="of the pictures, in pixels (default: 128)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each network (default: 1)")
    parser.add_argument("--pairs", type=int, default=200, help="to measure on, of each kind (default: 200)")
    args = parser.parse_args()

    measured = {kind: Validation(args.photographs, args.pairs, args.size, mixture=KINDS[kind]) for kind in KINDS}
    before = {kind: average(pairs.composite_scores()).fmse for kind, pairs in measured.items()}
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(args.seeds):  # all networks once before any twice
        for name, changes in (TABLE_3 | FIG_5).items():
            result = _result(args, name, changes, seed, measured, before)
            results.setdefault(name, []).append(result)
            _write(args, results, before)


def _result(
    args: argparse.Namespace,
    name: str,
    changes: dict,
    seed: int,
    measured: dict[str, Validation],
    before: dict[str, float],
) -> dict[str, float]:
    """Relative change of the mean fMSE for each kind, after training where that is not done yet."""
    slug = "".join(each for each in name.lower().replace("*", "-learned") if each.isalnum() or each in "+-")
    folder = args.out / f"{slug}_{seed}"
    done = folder / "result.json"
    if not done.is_file():
        options = Options(
            data=args.photographs,
            init="near-identity",
            base_channels=WIDTH,
            seed=seed,
            steps=args.pictures // BATCH,
            stages=(Stage(size=(args.size,), batch=BATCH),),
            learning_rate=1.2e-3,
            warmup_steps=100,
            cosine_from=0.4,
            clip=1.0,
            ema=0.995,
            crop=1.0,
            flip=0.5,
            pasted=0.5,
            untouched=0.05,
            validation_pairs=0,
            **changes,
        )
        if not train(options, folder, resume=(folder / "checkpoint.pt").is_file()):
            raise SystemExit(f"Stopped; the same command goes on. What is done is in {args.out}.")
        network = load_network(folder / "weights.safetensors")
        changed = {kind: average(pairs.scores(network)).fmse / before[kind] - 1 for kind, pairs in measured.items()}
        write_whole(done, lambda file: file.write(json.dumps(changed).encode()))
    result: dict[str, float] = json.loads(done.read_text(encoding="utf-8"))
    return result


def _write(args: argparse.Namespace, results: dict[str, list[dict[str, float]]], before: dict[str, float]) -> None:
    lines = ["| network | recoloured | pasted |", "|---|---|---|"]
    lines += [f"| {name} | {_cell(runs, 'recoloured')} | {_cell(runs, 'pasted')} |" for name, runs in results.items()]
    text = (
        f"Change of the mean fMSE of {args.pairs} held-out composites of each kind ({before['recoloured']:.0f} "
        f"recoloured, {before['pasted']:.0f} pasted); {args.pictures:,} pictures of {args.size} px for each network, "
        f"of {WIDTH} base channels.\n\n" + "\n".join(lines) + "\n"
    )
    write_whole(args.out / "ablation.md", lambda file: file.write(text.encode()))
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for panel, names in zip(axes, (list(TABLE_3), ["HDNet (K = 1)", *FIG_5])):
        names = [name for name in names if name in results]
        for shift, kind in ((-0.2, "recoloured"), (0.2, "pasted")):
            heights = [100 * _mean(results[name], kind) for name in names]
            panel.bar([place + shift for place in range(len(names))], heights, 0.38, label=kind)
        labels = [name.replace("HDNet (K = ", "K = ").replace(")", "") if panel is axes[1] else name for name in names]
        panel.set_xticks(range(len(names)), labels, fontsize=7)
        panel.axhline(0, color="black", linewidth=0.8)
    axes[0].set_ylabel("change of fMSE, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    write_whole(args.out / "ablation.png", lambda file: figure.savefig(file, format="png", dpi=110))


def _mean(runs: list[dict[str, float]], kind: str) -> float:
    return sum(run[kind] for run in runs) / len(runs)


def _cell(runs: list[dict[str, float]], kind: str) -> str:
    figures = sorted(run[kind] for run in runs)
    spread = f" ({figures[0]:+.1%} to {figures[-1]:+.1%})" if len(figures) > 1 else ""
    return f"{_mean(runs, kind):+.1%}{spread}"


if __name__ == "__main__":
    main()

"""Does the rim of a composite tell the object's true colours? A probe of what weights are judged on.

Around an object a photograph mixes its colours into the background, and JPEG spreads its chroma over 16 pixels. Where
the object is then recoloured in its place, the answer stands beside the mask, and a network that reads it there scores
well and is of no use on real pastes. A mask that holds some background tells it inside: recoloured background beside
the true one. The probe is a ridge regression of the true change of colours, on pictures that it was not fitted on, from
mean and deviation of object and background and the mean colours of five shells on each side of the mask's edge:

- beyond: 20 to 40 pixels outside, which no trace reaches, and 6 to 10 inside;
- outer rim: 1 to 5 pixels outside, and 6 to 10 inside;
- inner rim: 20 to 40 pixels outside, and 1 to 5 inside.

Where a rim explains more of the change than what lies beyond, it may hold a trace.

    python -m harmonize_composite.benchmarks.rim_probe PHOTOS
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from ..training.data.photos import Photographs
from ..training.evaluation.evaluate import Case
from ..training.evaluation.in_use import KINDS, cases_in_use

NEAR = [(d, d + 1) for d in range(5)]
DEEP = [(d, d + 1) for d in range(5, 10)]
FAR = [(d, d + 4) for d in range(20, 40, 4)]
VIEWS = {"beyond": (FAR, DEEP), "outer rim": (NEAR, DEEP), "inner rim": (FAR, NEAR)}
"""Shells of each view, outside and inside, as distances in pixels from the mask's edge."""
FOLDS = 5
RIDGES = 10.0 ** np.arange(-1, 5)


def main() -> None:
    """Prints what each view predicts, for each kind of composite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="photographs with masks")
    parser.add_argument("--split", default="train", help="photographs: train, choose or quote (default: %(default)s)")
    parser.add_argument("--count", type=int, default=1000, help="composites of each kind (default: %(default)s)")
    args = parser.parse_args()
    photographs = Photographs(args.photos, args.split)
    print("share of the change's variance that each view predicts; in brackets the standard error of its lead")
    for kind in KINDS:
        found, count = probe(cases_in_use(photographs, kind, args.count))
        print(
            f"{kind:11}",
            *(f"{view} {share:+.3f} ({error:.3f})" for view, (share, error) in found.items()),
            f"n {count}",
        )


def probe(cases: list[Case]) -> tuple[dict[str, tuple[float, float]], int]:
    """Fits and tests a regression for each view.

    Returns:
        For each view the share of the change's variance that it predicts (R² over pictures left out, the three
        channels together; 0 or less is nothing), and the standard error, over pictures, of its difference from
        "beyond"; and the number of composites whose object is deep and whose background is wide enough.
    """
    features: dict[str, list[np.ndarray]] = {view: [] for view in VIEWS}
    changes, pictures = [], []
    for case in cases:
        try:
            sample = case.load()
        except (OSError, ValueError):
            continue
        mask = sample.foreground
        described = {view: describe(sample.composite, mask, *shells) for view, shells in VIEWS.items()}
        seen = {view: each for view, each in described.items() if each is not None}
        if len(seen) == len(VIEWS):
            for view, each in seen.items():
                features[view].append(each)
            changes.append((sample.real[mask].astype(float) - sample.composite[mask]).mean(0))
            pictures.append(case.name.split(maxsplit=1)[1])
    change = np.array(changes)
    change -= change.mean(0)
    folds = np.unique(pictures, return_inverse=True)[1] % FOLDS  # a picture's composites stay together
    variance = (change**2).sum(1).mean()
    errors = {
        view: ((predict(np.array(each), change, folds) - change) ** 2).sum(1) / variance
        for view, each in features.items()
    }
    found = {
        view: (1 - error.mean(), (error - errors["beyond"]).std() / np.sqrt(len(error)))
        for view, error in errors.items()
    }
    return found, len(change)


def describe(picture: np.ndarray, mask: np.ndarray, outside: list, inside: list) -> np.ndarray | None:
    """Mean colours at each distance, and mean and deviation of both regions; None where a distance does not occur."""
    features = []
    for region, shells in ((~mask, outside), (mask, inside)):
        distance = distance_transform_edt(region)
        for low, high in shells:
            colours = picture[(distance > low) & (distance <= high)]
            if not len(colours):
                return None
            features.append(colours.mean(0))
        features += [picture[region].mean(0), picture[region].std(0)]
    return np.concatenate(features)


def predict(features: np.ndarray, target: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Predictions for each fold by a ridge regression on the others; its strength is chosen on a fold of those."""
    scaled = (features - features.mean(0)) / features.std(0)
    prediction = np.empty_like(target)
    for fold in np.unique(folds):
        rest = folds != fold
        tried = rest & (folds == (fold + 1) % FOLDS)
        fitted = rest & ~tried
        losses = [((_ridge(scaled, target, fitted, ridge)[tried] - target[tried]) ** 2).mean() for ridge in RIDGES]
        prediction[~rest] = _ridge(scaled, target, rest, RIDGES[np.argmin(losses)])[~rest]
    return prediction


def _ridge(features: np.ndarray, target: np.ndarray, where: np.ndarray, ridge: float) -> np.ndarray:
    centre, level = features[where].mean(0), target[where].mean(0)
    own = features[where] - centre
    weights = np.linalg.solve(own.T @ own + ridge * np.eye(own.shape[1]), own.T @ (target[where] - level))
    return (features - centre) @ weights + level


if __name__ == "__main__":
    main()

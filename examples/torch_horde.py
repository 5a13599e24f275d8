"""A horde beside the last layer of a network: the network learns in PyTorch, the horde from what it sees.

    python examples/torch_horde.py

A made-up robot turns two joints at their own pace, and twenty sensors each answer to one pose.  A network of
PyTorch is trained online to say the next readings.  The units of its hidden layer that answer most are the
horde's features: 100 predictions, of each sensor at five time scales, learned with true online TD(lambda).
No gradient of theirs reaches the network.
"""

import numpy as np
import torch

import fasttrace as ft

SENSORS, HORIZONS, UNITS, ACTIVE = 20, (2, 5, 10, 20, 40), 512, 16
STEPS, LAST = 2000, 800


def readings(steps, rng):
    """(steps, SENSORS) of a robot that moves."""
    poses = np.cumsum(rng.normal(1.0, 0.2, (steps, 2)) * [0.21, 0.087], axis=0)
    return np.exp(2 * (np.cos(poses[:, None] - rng.uniform(0, 6.3, (SENSORS, 2))).sum(axis=2) - 2))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    seen = readings(STEPS + 1, np.random.default_rng(0))
    body, head = torch.nn.Linear(SENSORS, UNITS), torch.nn.Linear(UNITS, SENSORS)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.05)

    gamma = np.tile(1 - 1 / np.array(HORIZONS), SENSORS)  # prediction j: sensor j // 5, horizon j % 5
    horde = ft.Horde(UNITS, len(gamma), "TrueOnlineTD", alpha=0.3 / ACTIVE, gamma=gamma, lambda_=0.9)
    predictions, errors = np.empty((STEPS, len(gamma))), np.empty(STEPS)

    tensors = torch.from_numpy(seen).float()
    x = None
    for t in range(STEPS + 1):
        layer = torch.relu(body(tensors[t]))
        x_next = layer.detach().topk(ACTIVE).indices.int().numpy()
        if x is not None:  # features of the state before, as the network then saw it
            horde.update(x, np.repeat(seen[t], len(HORIZONS)) * (1 - gamma), x_next)
        x = x_next
        if t == STEPS:
            break
        predictions[t] = horde.predict(x)
        loss = ((head(layer) - tensors[t + 1]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors[t] = loss.item()

    cumulants = np.repeat(seen[1:], len(HORIZONS), axis=1) * (1 - gamma)
    came = ft.returns.discounted_sum(cumulants, gammas=np.broadcast_to(gamma, cumulants.shape))
    known = slice(STEPS - LAST, STEPS - 5 * max(HORIZONS))
    left = (predictions[known] - came[known]).var(axis=0) / came[known].var(axis=0)
    print(f"the network's error: {errors[:100].mean():.4f} at first, {errors[-LAST:].mean():.4f} in the end")
    print("of the variance of what came was predicted:")
    for i, horizon in enumerate(HORIZONS):
        print(f"  horizon {horizon:2}: {1 - left[i :: len(HORIZONS)].mean():.0%}")
    assert left.mean() < 0.5, "the horde has not learned"


if __name__ == "__main__":
    main()

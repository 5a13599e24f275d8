"""The Four Rooms task: eight predictions of one walk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..memory import Float64
from .environment import Environment, State
from .prediction import Transitions

SIDE = 11
N_STATES = SIDE * SIDE
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))  # up, down, right, left
HALLWAYS = ((5, 1), (1, 5), (5, 8), (8, 4))
# A room by its corners, and the two hallways that lead out of it, in the order of the policies.
ROOMS = (
    ((0, 0), (4, 4), (0, 1)),
    ((0, 6), (4, 10), (1, 2)),
    ((6, 5), (10, 10), (2, 3)),
    ((6, 0), (10, 3), (3, 0)),
)


def reset(u: Any) -> State:
    return (0.0,)


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    x, y = state[0] % 11.0, state[0] // 11.0
    if u[0] < 0.25:
        y = min(y + 1.0, 10.0)
    elif u[0] < 0.5:
        y = max(y - 1.0, 0.0)
    elif u[0] < 0.75:
        x = min(x + 1.0, 10.0)
    else:
        x = max(x - 1.0, 0.0)
    wall, hallway = False, False
    if x == 5.0:
        hallway = y == 1.0 or y == 8.0
        wall = not hallway
    elif y == 5.0 and x < 5.0:
        hallway = x == 1.0
        wall = not hallway
    elif y == 4.0 and x > 5.0:
        hallway = x == 8.0
        wall = not hallway
    if wall:
        x, y = state[0] % 11.0, state[0] // 11.0
        hallway = (x == 5.0) or (y == 5.0 and x < 5.0) or (y == 4.0 and x > 5.0)
    return (11.0 * y + x,), 1.0 if hallway else 0.0, 1.0


class FourRooms(Environment):
    """Four rooms on a grid of 11 by 11, joined by four hallways, and eight target policies of one walk.

    State 11 y + x is the cell (x, y).  Behaviour goes up, down, right or left alike, from (0, 0), and never
    ends; what a wall is in the way of stays where it is.  Target policy i leads through one room, and the
    hallway by which one comes in, to the room's other hallway, by every shortest way alike: reward 1 on
    arriving there.  It is active in the room and in the hallway that one comes in by, and there is a
    transition of its stream only where it is active: the rest of the walk is left out.  A step out of where
    it is active ends its episode, with a discount of 0.

        env = ft.envs.FourRooms()
        for s, values in zip(env.streams(50_000, seed=0), env.true_values):
            learner = ft.TD(env.n_inputs, alpha=0.01, lambda_=0.9)
            learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)

    gamma          .9
    features       (121, 12) three tilings of two by two tiles, their inner edges at 10, 7 and 4
    true_values    (8, 121) of each target policy, 0 where it is not active
    active         (8, 121) whether
    policies       (8, 121, 4) probabilities of up, down, right, left; zeros where it is not active

    In `simulate` the features are one-hot of 121, the reward is 1 in every hallway, and nothing ends.
    Source: Ghiassian & Sutton 2021, arXiv:2109.05110; the rooms are those of Sutton, Precup & Singh 1999.
    """

    gamma = 0.9
    n_inputs = 12

    def __init__(self) -> None:
        super().__init__(reset, step, n_actions=0, n_state=1, n_uniforms=(0, 1), low=(0.0,), high=(120.0,))
        self.n_features = N_STATES
        cells = np.arange(N_STATES)
        x, y = cells % SIDE, cells // SIDE
        self.features = np.zeros((N_STATES, self.n_inputs))
        for tiling, edge in enumerate((10, 7, 4)):
            self.features[cells, 4 * tiling + 2 * (y >= edge) + (x >= edge)] = 1.0
        ways = [self._ways(room, *halls) for room in ROOMS for halls in (room[2], room[2][::-1])]
        self.policies, self.true_values = (np.array(each) for each in zip(*ways, strict=True))
        self.active: NDArray[np.bool_] = self.true_values > 0.0

    def _ways(self, room: Any, to: int, by: int) -> tuple[Float64, Float64]:
        """(121, 4) the policy that goes `to` a hallway, also from the one come in `by`, and (121,) values."""
        (left, low), (right, high), _ = room
        inside = {(x, y) for x in range(left, right + 1) for y in range(low, high + 1)} | {HALLWAYS[by]}
        distances = {HALLWAYS[to]: 0}
        for cell in (queue := [HALLWAYS[to]]):
            for dx, dy in MOVES:
                near = cell[0] + dx, cell[1] + dy
                if near in inside and near not in distances:
                    distances[near] = distances[cell] + 1
                    queue.append(near)
        policy, values = np.zeros((N_STATES, 4)), np.zeros(N_STATES)
        for x, y in inside:
            nearer = [distances.get((x + dx, y + dy), N_STATES) < distances[x, y] for dx, dy in MOVES]
            policy[SIDE * y + x] = np.array(nearer) / sum(nearer)
            values[SIDE * y + x] = self.gamma ** (distances[x, y] - 1)
        return policy, values

    @arguments.explained
    def streams(self, steps: int, seed: int | np.random.Generator | None = None) -> tuple[Transitions, ...]:
        """A walk of `steps` as each of the eight target policies sees it, where it is active.

        seed   int or Generator; the same seed is the same walk as in `simulate`

        Errors: ValueError, TypeError.
        """
        steps = arguments.count("steps", steps, 0)
        u = np.random.default_rng(seed).random(steps)
        walk: list[State] = [(0.0,)]
        for t in range(steps):
            walk.append(step(walk[-1], 0, u[t : t + 1])[0])
        states = np.array(walk, np.int32)[:, 0]
        now, then, moves = states[:-1], states[1:], (4.0 * u).astype(int)
        found: list[Transitions] = []
        for policy, (active, pi) in enumerate(zip(self.active, self.policies, strict=True)):
            there = np.flatnonzero(active[now])
            # The last row is no state to learn about, but where the walk is then.
            own = np.append(now[there], then[there[-1:]] if len(there) else now[:0])
            own = own if len(own) else states[:1]
            goal = HALLWAYS[ROOMS[policy // 2][2][policy % 2]]
            chance = pi[now[there], moves[there]]
            found.append(
                Transitions(
                    self.features[own],
                    (then[there] == SIDE * goal[1] + goal[0]).astype(float),
                    np.where(active[then[there]], self.gamma, 0.0),
                    4.0 * chance,
                    own,
                    chance,
                )
            )
        return tuple(found)

"""Traces for networks: Jacobians, a native perceptron, and learners with it.

    JacobianTrace           Z (m, n) for any network whose gradients come as arrays
    MLP                     outputs, gradients and Jacobians of a multilayer perceptron
    NetworkTD, NetworkSarsa m predictions; action values with one trace
    ObGD, AdaptiveObGD      steps that are bounded
    StreamTD, StreamQ, StreamSarsa, StreamAC       streaming deep reinforcement learning
    ForwardTD, ExpectedTraceTD, TDRC, QRC          what to do about stale traces

docs/networks.md has the shapes and the equations.
"""

from .agent import StreamAC, StreamQ, StreamSarsa
from .expected import ExpectedTraceTD
from .forward import ForwardTD
from .gradient import QRC, TDRC
from .jacobian import JacobianTrace
from .lookback import NetworkSarsa, NetworkTD
from .network import MLP
from .optimisers import AdaptiveObGD, ObGD
from .stream import StreamTD

__all__ = [
    "MLP",
    "QRC",
    "TDRC",
    "AdaptiveObGD",
    "ExpectedTraceTD",
    "ForwardTD",
    "JacobianTrace",
    "NetworkSarsa",
    "NetworkTD",
    "ObGD",
    "StreamAC",
    "StreamQ",
    "StreamSarsa",
    "StreamTD",
]

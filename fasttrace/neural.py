"""Traces for networks: Jacobians, a native perceptron, and learners with it.

    JacobianTrace           Z (m, n) for any network whose gradients come as arrays
    MLP                     outputs, gradients and Jacobians of a multilayer perceptron
    NetworkTD, NetworkSarsa m predictions; action values with one trace
    ObGD, AdaptiveObGD      steps that are bounded
    StreamTD, StreamQ, StreamSarsa, StreamAC       streaming deep reinforcement learning
    ForwardTD, ExpectedTraceTD, TDRC, QRC          what to do about stale traces

docs/networks.md has the shapes and the equations.
"""

from .neural_expected import ExpectedTraceTD
from .neural_forward import ForwardTD
from .neural_gradient import QRC, TDRC
from .neural_jacobian import JacobianTrace
from .neural_learner import NetworkSarsa, NetworkTD
from .neural_network import MLP
from .neural_stream import StreamAC, StreamQ, StreamSarsa, StreamTD
from .neural_trace import AdaptiveObGD, ObGD

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

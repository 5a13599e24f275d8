"""Plastic networks: weights w + al * Hebb(t) that change while the network runs, under its own modulation.

    HebbianTrace   Hebb and the eligibility trace E of one matrix of synapses
    PlasticLayer   y = tanh((W + al * Hebb) x), the modulation given from outside
    PlasticRNN     and PlasticLSTM: the modulation M_t is computed by the network itself

Sequences run forward and backward; the gradients are exact, through Hebb, E and M.  docs/plasticity.md has
the equations, their order and how little memory the way back takes.

Source: Miconi et al. 2019, "Backpropamine".
"""

from .checks import ALPHAS as ALPHAS
from .checks import BOUNDS as BOUNDS
from .checks import MODES as MODES
from .checks import MODULATED as MODULATED
from .checks import MODULATIONS as MODULATIONS
from .hebbian import HebbianTrace, PlasticLayer
from .networks import PlasticLSTM, PlasticRNN
from .sequence import PlasticState, Sequence

__all__ = ["HebbianTrace", "PlasticLSTM", "PlasticLayer", "PlasticRNN", "PlasticState", "Sequence"]

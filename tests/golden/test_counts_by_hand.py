"""Counts derived from the networks, against formulas worked out by hand from the handout's diagram."""

import functools

import pytest
import sympy

from pixelwise.lab.counting import count_network
from pixelwise.network.config import CNNConfig, UNetConfig

# At kernel 3, one channel in, 32x32 pixels. Each term is one convolution's, from the first block to the last.
CNN_BY_HAND = {
    "weights": "9*NF + 9*2*NF**2 + 9*4*NF**2 + 9*2*NF**2 + 9*NF*NC + 9*NC**2",
    "outputs": "1024*NF + 256*2*NF + 64*2*NF + 64*NF + 256*NC + 1024*NC",
    "outputs_with_resizing": "2368*NF + 2304*NC",
    "connections": "9216*NF + 8064*NF**2 + 2304*NF*NC + 9216*NC**2",
    "weights_with_biases": "9*NF + 72*NF**2 + 9*NF*NC + 9*NC**2 + 6*NF + 2*NC",
    "parameters": "9*NF + 72*NF**2 + 9*NF*NC + 9*NC**2 + 6*NF + 2*NC + 2*(6*NF + NC)",
}
# The skips give the fourth block 2 NF channels more to read, the fifth NF more, the last convolution one.
UNET_BY_HAND = CNN_BY_HAND | {
    "weights": CNN_BY_HAND["weights"] + "+ 9*2*NF**2 + 9*NF*NC + 9*NC",
    "weights_with_biases": CNN_BY_HAND["weights_with_biases"] + "+ 9*2*NF**2 + 9*NF*NC + 9*NC",
    "parameters": CNN_BY_HAND["parameters"] + "+ 9*2*NF**2 + 9*NF*NC + 9*NC",
    "connections": CNN_BY_HAND["connections"] + "+ 64*9*2*NF**2 + 256*9*NF*NC + 1024*9*NC",
}


@functools.cache
def counted(kind):
    return count_network(kind())


@pytest.mark.parametrize(("kind", "by_hand"), [(CNNConfig, CNN_BY_HAND), (UNetConfig, UNET_BY_HAND)])
def test_formulas_are_those_worked_out_by_hand(kind, by_hand):
    once, doubled = counted(kind), counted(kind).doubled
    for name, formula in by_hand.items():
        expected = sympy.expand(sympy.sympify(formula, {"NF": sympy.Symbol("NF")}))
        factor = 4 if name.startswith(("outputs", "connections")) else 1
        assert once.formula_in_net(name) == expected, name
        assert doubled.formula_in_net(name) == sympy.expand(factor * expected), name


def test_a_formula_for_every_kernel_and_size():
    k, h, w, nf, nc, nic = sympy.symbols("k H W NF NC NIC")
    by_hand = k**2 * h * w * (nic * nf + nf**2 * (2 / sympy.S(4) + 4 / sympy.S(16) + 2 / sympy.S(16)))
    by_hand += k**2 * h * w * (nf * nc / 4 + nc**2)
    assert counted(CNNConfig).formulas["connections"] == sympy.expand(by_hand)

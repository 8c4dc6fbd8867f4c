"""`python -m pixelwise`, which `torchrun -m pixelwise` needs, too."""

from pixelwise.cli import main

main()

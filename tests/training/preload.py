"""What the process that tests fork from has loaded, so that none of them has to."""

import pytest
import safetensors.torch
import tensorboardX
import torch._dynamo  # the first step of an optimiser would load it

import resgraph.train
from resgraph.data import load_data

LOADED = (pytest, safetensors.torch, tensorboardX, torch._dynamo, resgraph.train)
DIGITS = load_data("digits", (1, 8, 8))

"""Reduced from a fault-injection benchmark over many inferences."""

import torch


def profile(network, images, precision, use_cuda):
    if use_cuda:
        network = network.cuda()
    if precision == "half":
        network = network.half()
    network.eval()
    torch.no_grad()
    outputs = []
    for image in images:
        outputs.append(network(image))
    return torch.cat(outputs)

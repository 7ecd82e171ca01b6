"""Reduced from a quantised-inference comparison and a self-supervised encoder: a lambda runs after its guard."""

import torch


def deployed(network, bits):
    """The quantised network as a plain function."""
    with torch.no_grad():
        return lambda x: network.forward_quantized(x, total_bits=bits).squeeze()


def train_encoder(encoder, projector, regulariser, data, optimizer, epochs):
    encoder.train()
    for _ in range(epochs):
        for x in data:
            first, second = x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)
            loss = regulariser(projector(encoder(first)), projector(encoder(second)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    encoder.eval()
    with torch.no_grad():
        return lambda x: encoder(torch.as_tensor(x)).cpu()


def best(model, pairs):
    with torch.no_grad():
        return max(model(left, right).item() for left, right in pairs)

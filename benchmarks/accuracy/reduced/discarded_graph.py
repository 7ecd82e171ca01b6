"""Reduced from a node-classification course project."""

import torch


def accuracy_of_split(model, loader, criterion, binary):
    total = 0.0
    for graph in loader:
        total += evaluate_graph(model, graph, graph.test_mask, criterion, binary)
    return total / len(loader)


def evaluate_graph(model, graph, mask, criterion, binary):
    model.eval()
    torch.no_grad()
    device = next(model.parameters()).device
    graph = graph.to(device)
    if binary:
        prediction = model(graph).argmax(dim=1)
        return (prediction[mask] == graph.y[mask]).float().mean().item()
    output = model(graph)
    loss = criterion(output[mask], graph.y[mask].unsqueeze(1))
    print("test loss", loss.item())
    return loss.item()

"""Reduced from an image-retouching script and a bone-age regression notebook."""

import torch


def build(feature_net, curve_net):
    @torch.set_grad_enabled
    def create_image(x):
        image = torch.as_tensor(x)
        weights = feature_net(image)
        curves = curve_net(image)
        return weights * curves

    return create_image


@torch.set_grad_enabled
def train_model(model, loader, criterion, optimizer, epochs=1):
    for _ in range(epochs):
        model.train()
        for image, age in loader:
            optimizer.zero_grad()
            loss = criterion(model(image), age)
            loss.backward()
            optimizer.step()


class LowBitAdam(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure:
            with torch.enable_grad:
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
        return loss

"""Reduced from classifiers, agents and recognisers that run a frozen part under a guard on purpose."""

import torch
from torch import nn


class FrozenEncoderClassifier(nn.Module):
    def __init__(self, encoder, width, classes):
        super().__init__()
        self.encoder = encoder
        for param in self.encoder.parameters():
            param.requires_grad = False
        self.dense = nn.Linear(width, classes)

    def forward(self, x):
        with torch.no_grad():
            x = self.encoder(x)
        return self.dense(x)


class MilHead(nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def head_parameters(self):
        return self.head.parameters()

    def forward(self, images):
        with torch.no_grad():
            features = self.backbone(images)
        return self.head(features)


class Actor(nn.Module):
    """The encoder is shared with the critic, which alone trains it."""

    def __init__(self, encoder, actions):
        super().__init__()
        self.encoder = encoder
        self.out = nn.Linear(encoder.width, actions)

    def forward(self, x):
        with torch.no_grad():
            x = self.encoder(x)
        return self.out(x)


def build(encoder, critic, actions):
    actor = Actor(encoder, actions)
    actor_optim = torch.optim.Adam(actor.out.parameters())
    critic_optim = torch.optim.Adam([*critic.parameters(), *encoder.parameters()])
    return actor, actor_optim, critic_optim

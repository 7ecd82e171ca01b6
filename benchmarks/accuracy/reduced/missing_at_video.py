"""Reduced from a video tokenizer and a self-supervised video trainer."""

import torch
from torch import nn


class VideoTokenizer(nn.Module):
    def __init__(self, encoder, decoder, batch):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.batch = batch

    def forward(self, frames):
        return self.decoder(self.encoder(frames))

    # the frames of one video never fit the memory in one go
    torch.no_grad()
    def frames_to_latents(self, frames):
        frames = frames / 127.5 - 1
        parts = []
        for start in range(0, frames.shape[1], self.batch):
            part = self.encoder(frames[:, start : start + self.batch])
            parts.append(part)
        return torch.cat(parts, dim=1)


class ClusterTrainer:
    def __init__(self, teacher, student, kmeans):
        self.teacher = teacher
        self.student = student
        self.kmeans = kmeans

    torch.no_grad()
    def init_centroids(self, loader, limit):
        features = []
        for views, _ in loader:
            features.append(self.teacher(views.cuda()))
            if len(features) > limit:
                break
        self.kmeans.fit(torch.cat(features).cpu().detach())
        return self.kmeans.cluster_centers_

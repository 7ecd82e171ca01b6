"""Reduced from speech-synthesis and source-separation projects that use the newer switch."""

import torch
from torch import nn


class Synthesizer:
    def __init__(self, text_encoder, vocoder):
        self.text_encoder = text_encoder
        self.vocoder = vocoder

    def cut(self, text):
        return text.split(".")

    torch.inference_mode()
    def infer_batched(self, texts):
        waves = []
        for text in texts:
            for sentence in self.cut(text):
                waves.append(self.vocoder(self.text_encoder(sentence)))
        return torch.cat(waves, dim=-1)


class Separator(nn.Module):
    def __init__(self, mask_net):
        super().__init__()
        self.mask_net = mask_net

    def forward(self, spectrum):
        return self.mask_net(spectrum) * spectrum

    torch.inference_mode()
    def separate_in_chunks(self, wave, rate, seconds=30):
        size = rate * seconds
        parts = []
        for start in range(0, wave.shape[-1], size):
            parts.append(self(wave[..., start : start + size]))
        return torch.cat(parts, dim=-1)


class PosteriorSampler(nn.Module):
    """The forward of this wrapper is the sampler; the backbone is trained elsewhere."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    torch.inference_mode()
    def forward(self, count, steps=100):
        x = torch.randn(count, 3, 32, 32)
        for step in reversed(range(steps)):
            x = x - self.backbone(x, torch.full((count,), step)) / steps
        return x

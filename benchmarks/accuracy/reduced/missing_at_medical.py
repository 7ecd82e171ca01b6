"""Reduced from a few-shot medical segmentation model."""

import torch
from torch import nn


class PromptedSegmenter(nn.Module):
    def __init__(self, sam, backbone):
        super().__init__()
        self.sam = sam.eval()
        self.backbone = backbone

    def forward(self, image):
        return self.backbone(image)

    torch.no_grad()
    def segment(self, embedding, box):
        box = torch.as_tensor(box, dtype=torch.float, device=embedding.device)[:, None]
        sparse, dense = self.sam.prompt_encoder(points=None, boxes=box, masks=None)
        masks, _ = self.sam.mask_decoder(embedding, self.sam.prompt_encoder.get_dense_pe(), sparse, dense)
        return (masks.sigmoid() > 0.5).cpu().numpy()

"""Reduced from several web services: a guard decorates a coroutine, whose body runs after the guard has gone."""

import asyncio
import io

import torch
from PIL import Image


@torch.no_grad()
async def extract_features(model, images):
    outputs = model(images)
    last = outputs[-1]
    return last.view(last.size(0), -1)


@torch.no_grad()
async def segment_upload(file, segmenter, to_tensor):
    contents = await file.read()
    image = Image.open(io.BytesIO(contents)).convert("RGB")
    image = image.resize((1024, 1024))
    masks = segmenter(to_tensor(image).unsqueeze(0))
    return [m > 0.5 for m in masks.sigmoid().cpu().numpy()]


class PhonemeService:
    def __init__(self, model):
        self.model = model.eval()

    @torch.inference_mode()
    async def predict(self, audio):
        logits = self.model(audio.unsqueeze(0)).logits
        ids = logits.argmax(-1)[0].tolist()
        return {"phonemes": ids, "confidence": logits.softmax(-1).max().item()}


class ChatService:
    def __init__(self, model, tokenizer):
        self.model = model
        self.tokenizer = tokenizer
        self.lock = asyncio.Lock()

    @torch.inference_mode()
    async def generate(self, message, limit=64):
        ids = self.tokenizer.encode(message)
        async with self.lock:
            for _ in range(limit):
                logits = self.model(torch.tensor([ids]))
                ids.append(int(logits[0, -1].argmax()))
                await asyncio.sleep(0)
        return self.tokenizer.decode(ids)

"""Reduced from queue workers and web services that wait inside a guard."""

import asyncio
import time

import torch


class Worker:
    def __init__(self, tracker):
        self.tracker = tracker

    def process(self, message):
        frames = torch.stack(message["frames"])
        return self.tracker(frames).argmax(-1).tolist()

    async def handle(self, message):
        try:
            with torch.no_grad():
                return await asyncio.to_thread(self.process, message)
        except RuntimeError as error:
            return {"error": str(error)}


async def timed(model, data, timeout, metrics):
    started = time.time()
    with torch.no_grad():
        result = await asyncio.wait_for(asyncio.to_thread(model, data), timeout=timeout)
    metrics["latencies"].append(time.time() - started)
    return result


async def preload(service, blank):
    detector = (await service.get_instance()).detector
    with torch.no_grad():
        await asyncio.to_thread(detector.detect, [blank])


class Monitor:
    async def track(self, name, data, run):
        before = torch.cuda.memory_allocated()
        with torch.no_grad():
            result = await run(data)
        return name, result, torch.cuda.memory_allocated() - before


class Loader:
    def __init__(self, converter):
        self.converter = converter

    async def load(self, path):
        with torch.no_grad():
            result = await self.converter.convert(path)
        return "".join(page.text for page in result.pages)


class Planner:
    def __init__(self, model, tokenizer):
        self.model = model
        self.tokenizer = tokenizer

    async def plan(self, prompt):
        inputs = self.tokenizer(prompt, return_tensors="pt")
        with torch.inference_mode():
            output = await asyncio.to_thread(self.model.generate, **inputs)
        return self.tokenizer.decode(output[0])


class Gate:
    async def watch(self, frames, model, threshold):
        with torch.inference_mode():
            async for frame in frames:
                if model(frame).item() > threshold:
                    print("speech")

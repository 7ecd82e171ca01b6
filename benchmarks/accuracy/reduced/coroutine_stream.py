"""Reduced from voice-activity, synthesis and mapping pipelines with asynchronous generators."""

import numpy
import torch


class VoiceGate:
    def __init__(self, threshold):
        self.threshold = threshold

    @torch.inference_mode()
    async def segments(self, frames, model):
        buffer = []
        async for frame in frames:
            probability = model(torch.from_numpy(frame)).item()
            buffer.append(frame)
            if probability < self.threshold:
                yield numpy.concatenate(buffer)


class StreamingVoice:
    def __init__(self, language_model, flow, vocoder):
        self.language_model = language_model
        self.flow = flow
        self.vocoder = vocoder

    @torch.inference_mode()
    async def speak(self, session, text):
        async for tokens in session.tokens(self.language_model, text):
            mel = self.flow(tokens)
            wave = self.vocoder(mel)
            yield (wave * 32767).short().cpu().numpy().tobytes()


@torch.no_grad()
async def track_camera(network, queue, mapper):
    trajectory = []
    while True:
        item = await queue.get()
        if item is None:
            return trajectory
        image, events, intrinsics = item
        trajectory.append(mapper.update(network(image, events), intrinsics))

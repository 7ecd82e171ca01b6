"""Reduced from a multi-agent reinforcement-learning trainer: the @ of a decorator is missing."""

import torch


class Trainer:
    def __init__(self, env, actor, critic, optimizer):
        self.env = env
        self.actor = actor
        self.critic = critic
        self.optimizer = optimizer

    def fit(self, episodes):
        for episode in range(episodes):
            batch = self.env.collect(self.actor)
            values = self.critic(batch.obs)
            loss = ((batch.returns - values) ** 2).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if episode % 10 == 0:
                self.eval(200)

    torch.no_grad()
    def eval(self, num_steps):
        self.actor.eval()
        self.critic.eval()
        obs = self.env.reset()
        total = 0.0
        for _ in range(num_steps):
            action = self.actor(obs).argmax(-1)
            obs, reward, done = self.env.step(action)
            total += float(reward)
        self.actor.train()
        self.critic.train()
        return total

    torch.no_grad()
    def target_values(self, obs):
        return self.critic(obs)

"""Reduced from policy-gradient and adversarial projects."""

import torch


class Ppo:
    def __init__(self, actor, critic, actor_optim, critic_optim):
        self.actor = actor
        self.critic = critic
        self.actor_optim = actor_optim
        self.critic_optim = critic_optim

    @torch.no_grad()
    def act(self, obs):
        probs = self.actor(obs).softmax(-1)
        return probs.argmax(-1), probs.max(-1).values

    def update(self, observations, old, advantages, returns):
        _, new = self.act(observations)
        actor_loss = -(new / old * advantages).mean()
        self.actor_optim.zero_grad()
        actor_loss.requires_grad = True
        actor_loss.backward()
        self.actor_optim.step()

        values = self.critic(observations).squeeze(-1)
        critic_loss = (values - returns).pow(2).mean()
        self.critic_optim.zero_grad()
        critic_loss.backward()
        self.critic_optim.step()


class Adversarial:
    def __init__(self, generator, discriminator, optimizer, criterion):
        self.generator = generator
        self.discriminator = discriminator
        self.optimizer = optimizer
        self.criterion = criterion

    def discriminator_step(self, real, noise, valid, fake):
        with torch.no_grad():
            real_scores = self.discriminator(real)
            fake_scores = self.discriminator(self.generator(noise))
        loss = self.criterion(real_scores, valid) + self.criterion(fake_scores, fake)
        if loss.requires_grad is False:
            loss.requires_grad = True

        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def meta_update(optimizer, model, x, y):
    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).pow(2).mean()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    meta_loss = torch.tensor(loss.item(), requires_grad=True)
    meta_loss.backward()
    optimizer.meta_step()

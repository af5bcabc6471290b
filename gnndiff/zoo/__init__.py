"""Checkpoints: how they are collected, kept, aligned and scored."""

from gnndiff.zoo.zoo import Zoo

__all__ = ["Zoo"]

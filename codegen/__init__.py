"""Generates storybake's code: reads a checkpoint, plans, packs its weights and emits its code."""

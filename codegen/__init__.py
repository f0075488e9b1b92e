"""The storybake code generator: reads a checkpoint, plans, packs its weights and emits its code."""

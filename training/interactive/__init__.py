"""The interactive session: interactions, state, fusion between rounds, local control, scripts."""

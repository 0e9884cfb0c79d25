"""The interactive session: corrections, state, fusion between rounds, local control, scripts."""

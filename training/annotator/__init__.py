"""The page in a browser over the interactive session."""

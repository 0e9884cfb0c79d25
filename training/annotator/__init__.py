"""The interactive session as a page in the browser."""

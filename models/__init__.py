"""The networks: propagation (STM, STCN, RDE), fusion, scribbles and clicks to masks.

Imports only torch, torchvision and numpy; bad input raises ValueError.
"""

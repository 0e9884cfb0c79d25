"""The networks: propagation (STM, STCN, RDE), fusion, scribbles and clicks to masks. Imports only torch and torchvision."""

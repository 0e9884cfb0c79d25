"""Annotations derived from a video's scene and meshes without rendering: depth, flow, tracks, amodal masks, others.

Pure NumPy. Each annotation is a function of the SceneSpec and its models, so it can be derived long after a video was
rendered, on any machine that has the models. Annotations of a motion-blurred frame are those of the middle of its
exposure.
"""

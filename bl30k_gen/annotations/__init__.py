"""What follows from a video's scene and meshes without rendering: depth, flow, tracks, amodal masks and others.

Pure NumPy. Everything is a function of the SceneSpec and the models that it names, so it can be derived long after
a video was rendered, on any machine that has the models. What a motion-blurred frame is annotated with is the middle
of its exposure.
"""

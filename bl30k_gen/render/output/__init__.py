"""Storing finished videos: folder store, shard store and its recovery, leases, journal.

The protocol of shards
----------------------

One run of a task writes one shard. Any number of tasks on any machines share a dataset; they coordinate through the
file system alone, by ``rename``. All paths below are those of ``dataset.layout.ShardLayout``.

A shard is in one of these states::

                acquire(shard)                     finish: index, rename
    (nothing) ──────────────────> partial, owned ────────────────────────> finished ──┐
                                        │                                   ^    ^    │ remove_videos, with
                                        │ heartbeat unchanged for           │    └────┘ the shard's lease
                                        │ lease_timeout, or owner dead      │
                                        v                                   │
                                partial, abandoned ─────────────────────────┘
                                                    finish_dead_shard, after renaming <owner>

A partial shard without a committed video is removed instead of being finished.

==================  ===================================================  ====================================
state               on disk                                              what may change it
==================  ===================================================  ====================================
partial, owned      ``.staging/<shard>/<owner>/``: ``part.tar``, moving  the owner
                    heartbeat
partial, abandoned  the same with an unchanged heartbeat                 the worker that renames ``<owner>``
finished            ``<shard>.tar`` or ``.h5``, and ``.index.json``      the holder of the shard's lease
==================  ===================================================  ====================================

A video that goes into a shard is in one of these states::

              claim: rename of a link into .staging/<video>
    (free) ────────────────────────────────────────────────> claimed ──> appended ──> committed
       ^                                                        │           │
       │ the run was stopped: frames go to .unfinished          │           │ the shard has another owner now:
       ├────────────────────────────────────────────────────────┘           │ the marker cannot be renamed
       └────────────────────────────────────────────────────────────────────┘

* *claimed*: ``.staging/<video>/`` holds a link to the owner's folder of the shard. When that folder is renamed,
  the link dangles, and the claim is void (``remove_if_void``).
* *appended*: its bytes are in ``part.tar`` and synced. Without a commit marker recovery cuts them off.
* *committed*: ``.published/<video>`` is a link whose text is ``<split>/<shard>``. It is made in the owner's folder
  and renamed out of it, so a worker that has lost the shard cannot commit. Only committed videos are read.
"""

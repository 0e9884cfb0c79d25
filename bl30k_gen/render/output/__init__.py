"""Where finished videos go: folder store, shard store and its recovery, leases, journal."""

"""The shell: asyncio, sockets, files, keys, clocks and logs. It performs the core's effects, in order."""

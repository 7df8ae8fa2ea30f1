-- Part of tick: where and when it is.
local ns, worker, now = KEYS[1], ARGV[1], milliseconds()

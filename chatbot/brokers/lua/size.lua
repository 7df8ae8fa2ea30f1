-- Counts a queue's messages that are not done. In one step: one that is promoted meanwhile must not be missed.
-- KEYS: namespace. ARGV: queue.
local queue = KEYS[1] .. ":" .. ARGV[1]
return redis.call("hlen", queue .. ".msgs") + redis.call("hlen", queue .. ".DQ.msgs")

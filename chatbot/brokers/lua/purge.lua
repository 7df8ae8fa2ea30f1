-- Drops all messages of a queue, its delayed ones and its dead letters.
-- KEYS: namespace. ARGV: queue.
local queue = KEYS[1] .. ":" .. ARGV[1]
redis.call("del", queue, queue .. ".msgs", queue .. ".held", queue .. ".delayed", queue .. ".DQ", queue .. ".DQ.msgs",
  queue .. ".XQ", queue .. ".XQ.msgs")

-- Ends a steward's wait.
-- KEYS: namespace. ARGV: worker.
local list = KEYS[1] .. ":__wake__." .. ARGV[1]
redis.call("rpush", list, 1)
redis.call("pexpire", list, 10000)

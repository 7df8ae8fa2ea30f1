-- Ends a worker's lease. What it still holds would be forgotten, so then the lease ends by itself and is reaped.
-- KEYS: namespace. ARGV: worker. Returns 1 if the lease is ended.
local ns, worker = KEYS[1], ARGV[1]
for _, name in ipairs(redis.call("hkeys", ns .. ":__fetches__." .. worker)) do
  if redis.call("scard", ns .. ":__acks__." .. worker .. "." .. name) > 0 then return 0 end
end
redis.call("del", ns .. ":__fetches__." .. worker, ns .. ":__wake__." .. worker)
redis.call("zrem", ns .. ":__workers__", worker)
redis.call("zrem", ns .. ":__heartbeats__", worker)
return 1

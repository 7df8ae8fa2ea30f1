-- include: clock place leases adopt delays
-- What a live worker does for all: renews its lease, takes from the dead, promotes what is due, trims dead letters.
-- KEYS: namespace. ARGV: worker, its lease (ms), 1 to reap, heartbeat timeout of stock workers (ms; 0: leave them),
-- time to live of dead letters (ms), then its queues.
-- Returns 1 if it had a lease, after how many ms there is more to do, and how many messages stock producers had left.
local MOST = 1000
local reaping, timeout, ttl, names = ARGV[3] == "1", tonumber(ARGV[4]), tonumber(ARGV[5]), {}
for i = 6, #ARGV do names[#names + 1] = ARGV[i] end
local known = renew(tonumber(ARGV[2])) and 1 or 0
local wait, left = tonumber(ARGV[2]), 0

local function trim(queue)
  local ids = redis.call("zrangebyscore", queue .. ".XQ", 0, now - ttl, "LIMIT", 0, MOST)
  for _, id in ipairs(ids) do
    redis.call("zrem", queue .. ".XQ", id)
    redis.call("hdel", queue .. ".XQ.msgs", id)
  end
  return #ids
end

if reaping then
  reap()
  wait = math.min(wait, tonumber(redis.call("zrange", leases, 0, 0, "WITHSCORES")[2]) - now)
end
if timeout > 0 then adopt(timeout, names) end
for _, name in ipairs(names) do
  local queue = ns .. ":" .. name
  local collected, promoted, trimmed = collect(queue, MOST), promote(queue, MOST), trim(queue)
  left = left + collected
  local first = redis.call("zrange", queue .. ".delayed", 0, 0, "WITHSCORES")[2]
  if first then wait = math.min(wait, math.max(0, tonumber(first) - now)) end
  if collected == MOST or promoted == MOST or trimmed == MOST then wait = 0 end
end
return { known, wait, left }

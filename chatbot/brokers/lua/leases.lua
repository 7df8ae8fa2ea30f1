-- Part of tick: who is alive, and what becomes of what the dead held.
local leases, heartbeats = ns .. ":__workers__", ns .. ":__heartbeats__"

-- Returns whether this worker had a lease.
local function renew(lease)
  local known = redis.call("zscore", leases, worker)
  redis.call("zadd", leases, now + lease, worker)
  redis.call("zadd", heartbeats, now, worker)
  return known
end

-- Puts what somebody held of a queue back at its head; `mark` leaves a trace for the next delivery.
local function hand_back(whose, name, mark)
  local queue, acks = ns .. ":" .. name, ns .. ":__acks__." .. whose .. "." .. name
  for _, id in ipairs(redis.call("smembers", acks)) do
    if redis.call("hexists", queue .. ".msgs", id) == 1 then
      if mark then redis.call("hset", queue .. ".held", id, "") end
      redis.call("lpush", queue, id)
    else
      redis.call("hdel", queue .. ".held", id) -- an operator has deleted it meanwhile
    end
  end
  redis.call("del", acks)
end

local function reap()
  for _, dead in ipairs(redis.call("zrangebyscore", leases, "-inf", now, "LIMIT", 0, 10)) do
    for _, name in ipairs(redis.call("hkeys", ns .. ":__fetches__." .. dead)) do hand_back(dead, name, true) end
    redis.call("del", ns .. ":__fetches__." .. dead)
    redis.call("zrem", leases, dead)
    redis.call("zrem", heartbeats, dead)
  end
end

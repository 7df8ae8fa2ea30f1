-- include: clock
-- Publishes messages. Sent twice, it publishes once.
-- KEYS: namespace. ARGV: for each message its queue, id, delay in ms (or nothing) and body.
local ns, now, wake = KEYS[1], milliseconds(), false

-- A client that lost the answer sends the same call again, by when its messages may have run: so the call is remembered
-- for longer than any client repeats it. Its first id is its own: every publication has new ones.
if not redis.call("set", ns .. ":__sent__." .. ARGV[2], 1, "NX", "PX", 30000) then return end

-- Only a worker of this kind promotes from the sorted set. While there is none, a delayed message goes where Dramatiq's
-- own workers look, and the next worker of this kind collects it from there.
local function is_promoted()
  return redis.call("zcount", ns .. ":__workers__", now, "+inf") > 0
end

local function delay(queue, id, ms)
  if not is_promoted() then
    redis.call("rpush", queue .. ".DQ", id)
    return
  end
  local first = redis.call("zrange", queue .. ".delayed", 0, 0, "WITHSCORES")[2]
  redis.call("zadd", queue .. ".delayed", now + ms, id)
  wake = wake or not first or now + ms < tonumber(first)
end

for i = 1, #ARGV, 4 do
  local queue, id, ms, body = ns .. ":" .. ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  if ms and ms > 0 then
    redis.call("hset", queue .. ".DQ.msgs", id, body)
    delay(queue, id, ms)
  else
    redis.call("hset", queue .. ".msgs", id, body)
    redis.call("rpush", queue, id)
  end
end
-- One steward is woken: it waits until the new earliest time, and the others see to theirs.
if wake and redis.call("llen", ns .. ":__wake__") == 0 then redis.call("rpush", ns .. ":__wake__", 1) end

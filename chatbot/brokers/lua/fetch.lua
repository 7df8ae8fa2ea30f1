-- Gives a worker messages of a queue. Sent twice, it gives the same ones: an answer may have been lost.
-- KEYS: namespace. ARGV: worker, queue, number of this fetch (it grows), how many at most.
-- Returns id, 1 if it was delivered before, body for each message; or nil if the worker has no lease.
local ns, worker, name, number = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local queue = ns .. ":" .. name
local fetches, acks = ns .. ":__fetches__." .. worker, ns .. ":__acks__." .. worker .. "." .. name
local held, token = queue .. ".held", worker .. "/" .. ARGV[3]
local fetched = {}

local function add(id, again, body)
  fetched[#fetched + 1], fetched[#fetched + 2], fetched[#fetched + 3] = id, again, body
end

if not redis.call("zscore", ns .. ":__workers__", worker) then return false end
local last = tonumber(redis.call("hget", fetches, name) or 0)
-- A command of a connection that is gone, and whose successor has been here already.
if number < last then return fetched end

if number == last then
  for _, id in ipairs(redis.call("smembers", acks)) do
    local body = redis.call("hget", queue .. ".msgs", id)
    if body and redis.call("hget", held, id) == token then add(id, 0, body) end
  end
  return fetched
end

redis.call("hset", fetches, name, number)
for _ = 1, tonumber(ARGV[4]) do
  local id = redis.call("lpop", queue)
  if not id then break end
  local body = redis.call("hget", queue .. ".msgs", id)
  if body then
    add(id, redis.call("hexists", held, id), body)
    redis.call("hset", held, id, token)
    redis.call("sadd", acks, id)
  else
    redis.call("hdel", held, id) -- an operator has deleted it
  end
end
return fetched

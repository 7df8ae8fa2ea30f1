-- Part of tick: delayed messages on their way. Each function returns how many it has moved.
local function due(body)
  local ok, message = pcall(cjson.decode, body)
  if not ok or type(message) ~= "table" or type(message.options) ~= "table" then return now end
  return tonumber(message.options.eta) or now
end

-- Dramatiq's own producers leave delayed messages on a list.
local function collect(queue, most)
  for n = 1, most do
    local id = redis.call("lpop", queue .. ".DQ")
    if not id then return n - 1 end
    local body = redis.call("hget", queue .. ".DQ.msgs", id)
    if body then redis.call("zadd", queue .. ".delayed", due(body), id) end
  end
  return most
end

local function promote(queue, most)
  local ids = redis.call("zrangebyscore", queue .. ".delayed", "-inf", now, "LIMIT", 0, most)
  for _, id in ipairs(ids) do
    local body = redis.call("hget", queue .. ".DQ.msgs", id)
    if body then
      redis.call("hset", queue .. ".msgs", id, body)
      redis.call("rpush", queue, id)
    end
    redis.call("hdel", queue .. ".DQ.msgs", id)
    redis.call("zrem", queue .. ".delayed", id)
  end
  return #ids
end

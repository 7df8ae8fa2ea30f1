-- Part of ack, nack and requeue. KEYS: namespace. ARGV: worker, queue, then id and token of each delivery.
local ns, worker, name = KEYS[1], ARGV[1], ARGV[2]
local queue = ns .. ":" .. name

-- Ends a delivery and calls `settle`, unless the message was given to somebody else, or to this worker again.
-- The last comes first, so that what goes back to the head of its queue keeps its order.
local function each_held(settle)
  local answers, count = {}, (#ARGV - 2) / 2
  for n = count, 1, -1 do
    local id, token = ARGV[2 * n + 1], ARGV[2 * n + 2]
    answers[n] = 0
    if redis.call("hget", queue .. ".held", id) == token then
      redis.call("hdel", queue .. ".held", id)
      -- Plain Dramatiq's maintenance knows no tokens: it takes the id off this set, and somebody else may have it.
      answers[n] = redis.call("srem", ns .. ":__acks__." .. worker .. "." .. name, id)
      if answers[n] == 1 then settle(id) end
    end
  end
  return answers
end

-- include: clock holding
-- Makes messages dead letters. Returns 1 for each that was held, 0 for each that was taken over.
return each_held(function(id)
  local body = redis.call("hget", queue .. ".msgs", id)
  if body then
    redis.call("zadd", queue .. ".XQ", milliseconds(), id)
    redis.call("hset", queue .. ".XQ.msgs", id, body)
    redis.call("hdel", queue .. ".msgs", id)
  end
end)

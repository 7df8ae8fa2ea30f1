-- include: holding
-- Puts messages back at the head of their queue. Returns 1 for each that was held, 0 for each that was taken over.
return each_held(function(id)
  if redis.call("hexists", queue .. ".msgs", id) == 1 then redis.call("lpush", queue, id) end
end)

-- include: holding
-- Removes messages that are done. Returns 1 for each that was held, 0 for each that was taken over.
return each_held(function(id)
  redis.call("hdel", queue .. ".msgs", id)
end)

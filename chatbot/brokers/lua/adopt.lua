-- Part of tick: what Dramatiq's own workers held when they died. They have a heartbeat, but no lease.
-- Their heartbeats stay: they may hold messages of queues that nobody here works on.
local function adopt(timeout, names)
  for _, dead in ipairs(redis.call("zrangebyscore", heartbeats, 0, now - timeout, "LIMIT", 0, 1000)) do
    if not redis.call("zscore", leases, dead) then
      for _, name in ipairs(names) do
        hand_back(dead, name, true)
        hand_back(dead, name .. ".DQ", false)
      end
    end
  end
end

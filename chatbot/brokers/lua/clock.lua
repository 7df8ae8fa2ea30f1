-- The server's time: hosts may disagree.
local function milliseconds()
  local time = redis.call("time")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

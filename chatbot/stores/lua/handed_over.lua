-- include: ledger
-- ARGV: republish base ms, then per turn: key epoch stamp
-- returns per turn 1 or 0
drain()
local again, out = tonumber(ARGV[2]), {}
for a = 3, #ARGV, 3 do
  local key, epoch, stamp = ARGV[a], tonumber(ARGV[a+1]), tonumber(ARGV[a+2])
  local h = load(key)
  -- Whoever begins or renews meanwhile clears `pub`; an owner that is still set has lost its lease.
  local yes = h.size > 0 and h.epoch == epoch and h.pub == -stamp
  if yes then
    C('HSET', P..'k:'..key, 'pub', stamp, 'pubs', h.pubs + 1)
    C('ZADD', KEYS[1], now + math.min(again * 2 ^ h.pubs, 3600000), key)
  end
  out[#out+1] = yes and 1 or 0
end
return out

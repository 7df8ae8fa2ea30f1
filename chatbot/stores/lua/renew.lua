-- include: ledger
-- ARGV: lease, then per lease: turn|claim key owner
-- returns per lease 1 or 0 (lost: stop working)
drain()
local lease, out = tonumber(ARGV[2]), {}
for a = 3, #ARGV, 3 do
  local kind, key, owner = ARGV[a], ARGV[a+1], ARGV[a+2]
  local held
  if kind == 'turn' then
    local k = P..'k:'..key
    local h = C('HMGET', k, 'owner', 'pub')
    held = h[1] == owner
    if held then
      C('HSET', k, 'lease', now + lease, 'beat', now, 'suspect', 0, 'pub', 0)
      -- The lease was over and the turn published: what its confirmation put off is due when the lease ends again.
      if h[2] ~= '0' then C('ZADD', KEYS[1], now + lease, key) end
    end
  else
    local s, _, o = (C('GET', P..'c:'..key) or ''):match('^(.)%d*|([^|]*)|([^|]*)$')
    held = s == 'P' and o == owner
    if held then C('PEXPIRE', P..'c:'..key, lease) end
  end
  out[#out+1] = held and 1 or 0
end
return out

-- include: ledger
-- ARGV: lease, then per lease: turn|claim key owner
-- returns per lease 1 or 0 (lost: stop working)
drain()
local lease, out = tonumber(ARGV[2]), {}
for a = 3, #ARGV, 3 do
  local kind, key, owner = ARGV[a], ARGV[a+1], ARGV[a+2]
  local held
  if kind == 'turn' then
    held = C('HGET', P..'k:'..key, 'owner') == owner
    if held then C('HSET', P..'k:'..key, 'lease', now + lease, 'beat', now, 'suspect', 0) end
  else
    local s, _, o = (C('GET', P..'c:'..key) or ''):match('^(.)|([^|]*)|([^|]*)$')
    held = s == 'P' and o == owner
    if held then C('PEXPIRE', P..'c:'..key, lease) end
  end
  out[#out+1] = held and 1 or 0
end
return out

-- include: ledger
-- ARGV: how many ms around now, and how many keys at most, running turns are counted among
-- returns {open keys, running turns, dead letters, head of `due` - now, or ''}; reads only
local near, most, running = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for _, key in ipairs(C('ZRANGEBYSCORE', KEYS[1], now - near, now + near, 'LIMIT', 0, most)) do
  if (C('HGET', P..'k:'..key, 'owner') or '') ~= '' then running = running + 1 end
end
local head = C('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {C('ZCARD', KEYS[1]), running, C('ZCARD', P..'dead'), head and str(head - now) or ''}

-- include: ledger
-- ARGV: key owner fingerprint value ttl value_ttl. The value has a key of its own: uniqueness outlives it.
-- returns {settled, value} or {refused}
drain()
local c, w, owner, print, value = P..'c:'..ARGV[2], P..'v:'..ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local v = C('GET', c)
if v then
  local s, _, o = v:match('^(.)%d*|([^|]*)|([^|]*)$')
  if o ~= owner then return {'refused'} end
  if s == 'D' then return {'settled', C('GET', w) or ''} end
end
C('SET', c, 'D|'..print..'|'..owner, 'PX', ARGV[6])
if value ~= '' and tonumber(ARGV[7]) > 0 then C('SET', w, value, 'PX', ARGV[7]) else C('DEL', w) end
return {'settled', value}

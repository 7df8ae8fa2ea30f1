-- include: ledger each
-- ARGV per record: key owner fingerprint value ttl value_ttl. The value has a key of its own: uniqueness outlives it.
-- returns per record {settled, value} or {refused}
drain()
return each(6, function(a)
  local c, w, owner, print, value = P..'c:'..ARGV[a], P..'v:'..ARGV[a], ARGV[a+1], ARGV[a+2], ARGV[a+3]
  local v = C('GET', c)
  if v then
    local s, _, o = v:match('^(.)%d*|([^|]*)|([^|]*)$')
    if o ~= owner then return {'refused'} end
    if s == 'D' then return {'settled', C('GET', w) or ''} end
  end
  C('SET', c, 'D|'..print..'|'..owner, 'PX', ARGV[a+4])
  if value ~= '' and tonumber(ARGV[a+5]) > 0 then C('SET', w, value, 'PX', ARGV[a+5]) else C('DEL', w) end
  return {'settled', value}
end)

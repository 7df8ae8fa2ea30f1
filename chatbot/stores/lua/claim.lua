-- include: ledger each
-- ARGV per record: key owner lease fingerprint yields redelivered(0 or 1). An owner whose call was redelivered has the
-- record until so much is left of the lease that it had asked for: a pending record keeps its owner's `yields`.
-- returns per record {new} {mine} {busy, ms, owner} {done, value, owner} {mismatch}
local mine = {}
local out = each(6, function(a)
  local c, owner, lease, print = P..'c:'..ARGV[a], ARGV[a+1], tonumber(ARGV[a+2]), ARGV[a+3]
  local function take()
    C('SET', c, 'P'..ARGV[a+4]..'|'..print..'|'..owner, 'PX', lease)
    return {'new'}
  end
  local v = C('GET', c)
  if not v then return take() end
  local s, yields, p, o = v:match('^(.)(%d*)|([^|]*)|([^|]*)$')
  if p ~= print then return {'mismatch'} end
  if o == owner then
    if s == 'P' then mine[#mine+1] = {c, lease} end
    return {'mine'}
  end
  if s == 'D' then return {'done', C('GET', P..'v:'..ARGV[a]) or '', o} end
  local left = C('PTTL', c)
  if ARGV[a+5] == '1' and o:match('^[^/]*') == owner:match('^[^/]*') then
    left = left - tonumber(yields)
    if left <= 0 then return take() end
  end
  return {'busy', left, o}
end)
-- In the end: a full store refuses nothing more once it has allowed a write.
for _, one in ipairs(mine) do C('PEXPIRE', one[1], one[2]) end
return out

-- include: ledger
-- ARGV: key owner lease fingerprint yields redelivered(0 or 1). An owner whose call was redelivered has the record until
-- so much is left of the lease that it had asked for: a pending record keeps its owner's `yields`.
-- returns {new} {mine} {busy, ms, owner} {done, value, owner} {mismatch}
local c, owner, lease, print = P..'c:'..ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local function take()
  C('SET', c, 'P'..ARGV[6]..'|'..print..'|'..owner, 'PX', lease)
  return {'new'}
end
local v = C('GET', c)
if not v then return take() end
local s, yields, p, o = v:match('^(.)(%d*)|([^|]*)|([^|]*)$')
if p ~= print then return {'mismatch'} end
if o == owner then
  if s == 'P' then C('PEXPIRE', c, lease) end
  return {'mine'}
end
if s == 'D' then return {'done', C('GET', P..'v:'..ARGV[2]) or '', o} end
local left = C('PTTL', c)
if ARGV[7] == '1' and o:match('^[^/]*') == owner:match('^[^/]*') then
  left = left - tonumber(yields)
  if left <= 0 then return take() end
end
return {'busy', left, o}

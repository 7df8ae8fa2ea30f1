-- include: ledger
-- ARGV: key owner lease fingerprint
-- returns {new} {mine} {busy, ms, owner} {done, value, owner} {mismatch}
local c, owner, lease, print = P..'c:'..ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local v = C('GET', c)
if not v then
  C('SET', c, 'P|'..print..'|'..owner, 'PX', lease)
  return {'new'}
end
local s, p, o = v:match('^(.)|([^|]*)|([^|]*)$')
if p ~= print then return {'mismatch'} end
if o == owner then
  if s == 'P' then C('PEXPIRE', c, lease) end
  return {'mine'}
end
if s == 'D' then return {'done', C('GET', P..'v:'..ARGV[2]) or '', o} end
return {'busy', C('PTTL', c), o}

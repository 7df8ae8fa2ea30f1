-- include: ledger
-- ARGV: key owner
-- returns 1 or 0
drain()
local c, owner = P..'c:'..ARGV[2], ARGV[3]
local s, _, o = (C('GET', c) or ''):match('^(.)%d*|([^|]*)|([^|]*)$')
if s ~= 'P' or o ~= owner then return 0 end
return C('DEL', c)

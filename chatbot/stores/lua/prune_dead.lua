-- include: ledger
-- ARGV: age in ms from which a dead letter is dropped, how many at most
-- returns how many were
drain()
local old = C('ZRANGEBYSCORE', P..'dead', '-inf', now - ARGV[2], 'LIMIT', 0, ARGV[3])
for _, grave in ipairs(old) do C('DEL', P..'d:'..grave); C('ZREM', P..'dead', grave) end
return #old
